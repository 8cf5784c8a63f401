"""Modules and functions that are recorded in their parts, as each part has a rule.

What is written here runs on the recorder's proxies, in the place of the module. The parts read the
module's own tensors, so that its state dict stays what it is.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

#: Modules of torch whose own code is recorded: it calls modules that have rules.
RECORDED_INSIDE: tuple[type[nn.Module], ...] = (
    nn.Transformer,
    nn.TransformerEncoder,
    nn.TransformerDecoder,
    nn.TransformerEncoderLayer,
    nn.TransformerDecoderLayer,
)


def gate(x: Any, dim: int = -1) -> Any:
    """``glu``: the first half times the sigmoid of the second."""
    halves = x.chunk(2, dim)
    return halves[0] * halves[1].sigmoid()


def _gate_module(module: Any, x: Any) -> Any:
    return gate(x, module.dim)


def _add_product(x: Any, one: Any, two: Any, *, value: Any = 1) -> Any:
    """``addcmul``."""
    product = one * two
    return x + (product if value == 1 else product * value)


def _add_batched(x: Any, one: Any, two: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """``baddbmm``."""
    product = torch.matmul(one, two)
    return (x if beta == 1 else x * beta) + (product if alpha == 1 else product * alpha)


def _bilinear(module: Any, one: Any, two: Any) -> Any:
    """``x^T W_o y`` for each output o, as two sums of products."""
    mixed = torch.einsum("...i,oij->...oj", one, module.weight)
    product = torch.einsum("...oj,...j->...o", mixed, two)
    return product if module.bias is None else product + module.bias


def _attend(attention: Any, *args: Any, **kwargs: Any) -> Any:
    """``nn.MultiheadAttention``: linear layers, attention, another layer; without its weights.

    The projections of queries, keys and values are one matrix where they have the same size. It is
    applied as a whole, and its part is taken: to all three at once where they are the same.

    Raises:
        NotImplementedError: it adds keys of its own, or has a mask of padding.
    """
    names = ("query", "key", "value", "key_padding_mask", "need_weights", "attn_mask")
    given = dict(zip(names, args, strict=False)) | kwargs
    if attention.bias_k is not None or attention.add_zero_attn:
        raise NotImplementedError("attention with keys of its own has no rule")
    if given.get("key_padding_mask") is not None:
        raise NotImplementedError("attention with a mask of padding has no rule")
    how = _mask(attention, given)
    query, key, value = (given[name] for name in names[:3])
    if not attention.batch_first:
        is_one = query is key
        query = query.transpose(0, 1)
        key, value = (query, query) if is_one and key is value else _both_transposed(key, value)
    projected = _projected(attention, query, key, value)
    shape = (attention.num_heads, attention.head_dim)
    q, k, v = (one.reshape(one.size(0), one.size(1), *shape).transpose(1, 2) for one in projected)
    mixed = functional.scaled_dot_product_attention(q, k, v, **how)
    out = attention.out_proj
    result = functional.linear(mixed.transpose(1, 2).flatten(2), out.weight, out.bias)
    return (result if attention.batch_first else result.transpose(0, 1)), None


def _mask(attention: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """Which keys a query may attend to, as ``scaled_dot_product_attention`` is told."""
    if given.get("is_causal") and not given.get("need_weights", True):
        return {"is_causal": True}  # torch does not read the mask then
    mask: Any = given.get("attn_mask")
    if isinstance(mask, Tensor) and mask.dtype == torch.bool:
        mask = ~mask  # there True means to leave out, here to attend
    if isinstance(mask, Tensor) and mask.ndim == 3:
        mask = mask.reshape(-1, attention.num_heads, *mask.shape[1:])
    return {"attn_mask": mask}


def _both_transposed(key: Any, value: Any) -> tuple[Any, Any]:
    first = key.transpose(0, 1)
    return first, first if key is value else value.transpose(0, 1)


def _projected(attention: Any, query: Any, key: Any, value: Any) -> list[Any]:
    """Queries, keys and values of all heads side by side."""
    bias, size = attention.in_proj_bias, attention.embed_dim
    inputs = (query, key, value)
    if attention.in_proj_weight is None:
        weights = (attention.q_proj_weight, attention.k_proj_weight, attention.v_proj_weight)
        found = [functional.linear(x, w) for x, w in zip(inputs, weights, strict=True)]
        parts = [slice(at * size, (at + 1) * size) for at in range(3)]
        if bias is None:
            return found
        return [one + operator.getitem(bias, part) for one, part in zip(found, parts, strict=True)]
    whole: dict[int, Any] = {}
    for x in inputs:
        if id(x) not in whole:
            whole[id(x)] = functional.linear(x, attention.in_proj_weight, bias).chunk(3, -1)
    return [whole[id(x)][at] for at, x in enumerate(inputs)]


def _recur(module: Any, x: Any, state: Any = None) -> Any:
    """``nn.RNN``, ``nn.GRU`` and ``nn.LSTM``: one step after another.

    Raises:
        NotImplementedError: it reads packed sequences.
    """
    if isinstance(x, nn.utils.rnn.PackedSequence) or not hasattr(x, "transpose"):
        raise NotImplementedError("a packed sequence has no rule")
    if not module.batch_first:
        x = x.transpose(0, 1)
    is_long = isinstance(module, nn.LSTM)
    ends: list[tuple[Any, ...]] = []
    directions = 2 if module.bidirectional else 1
    for layer in range(module.num_layers):
        outputs = []
        for direction in range(directions):
            at = layer * directions + direction
            given = None
            if state is not None:
                given = tuple(one[at] for one in state) if is_long else (state[at],)
            names = f"_l{layer}{'_reverse' if direction else ''}"
            found, end = _one_direction(module, x, names, given, is_reverse=bool(direction))
            outputs.append(found)
            ends.append(end)
        x = outputs[0] if directions == 1 else torch.cat(outputs, -1)
    lasts = [torch.stack(list(one), 0) for one in zip(*ends, strict=True)]
    if not module.batch_first:
        x = x.transpose(0, 1)
    return x, tuple(lasts) if is_long else lasts[0]


def _one_direction(
    module: Any, x: Any, names: str, state: tuple[Any, ...] | None, *, is_reverse: bool
) -> tuple[Any, tuple[Any, ...]]:
    """All outputs along axis 1, and the last state."""
    weights = _weights(module, names)
    projected = functional.linear(x, weights["ih"], weights["bias_ih"])
    if state is None:
        state = _zero_state(module, x[:, 0], weights)
    steps = range(x.shape[1])
    outputs = []
    for at in reversed(steps) if is_reverse else steps:
        state = _step(module, projected[:, at], state, weights)
        outputs.append(state[0])
    return torch.stack(outputs[::-1] if is_reverse else outputs, 1), state


def _weights(module: Any, names: str) -> dict[str, Any]:
    return {
        "ih": getattr(module, f"weight_ih{names}"),
        "hh": getattr(module, f"weight_hh{names}"),
        "hr": getattr(module, f"weight_hr{names}", None),
        "bias_ih": getattr(module, f"bias_ih{names}") if module.bias else None,
        "bias_hh": getattr(module, f"bias_hh{names}") if module.bias else None,
    }


def _zero_state(module: Any, x: Any, weights: Mapping[str, Any]) -> tuple[Any, ...]:
    """Zeros for each example."""
    zero = x[..., :1] * 0
    hidden = zero.expand(-1, weights["hh"].shape[1])
    if not isinstance(module, nn.LSTM | nn.LSTMCell):
        return (hidden,)
    return hidden, zero.expand(-1, module.hidden_size)


def _step(
    module: Any, projected: Any, state: tuple[Any, ...], weights: Mapping[str, Any]
) -> tuple[Any, ...]:
    """The next state, by the formulas of torch's documentation."""
    hidden = state[0]
    own = functional.linear(hidden, weights["hh"], weights["bias_hh"])
    if isinstance(module, nn.LSTM | nn.LSTMCell):
        gates = (projected + own).chunk(4, -1)
        kept = gates[1].sigmoid() * state[1]
        cell = kept + gates[0].sigmoid() * gates[2].tanh()
        hidden = gates[3].sigmoid() * cell.tanh()
        if weights["hr"] is not None:
            hidden = functional.linear(hidden, weights["hr"])
        return hidden, cell
    if isinstance(module, nn.GRU | nn.GRUCell):
        new, old = projected.chunk(3, -1), own.chunk(3, -1)
        update = new[1] + old[1]
        candidate = (new[2] + (new[0] + old[0]).sigmoid() * old[2]).tanh()
        return ((-update).sigmoid() * candidate + update.sigmoid() * hidden,)
    total = projected + own
    return (total.relu() if module.nonlinearity == "relu" else total.tanh(),)


def _one_step(module: Any, x: Any, state: Any = None) -> Any:
    """``nn.RNNCell``, ``nn.GRUCell`` and ``nn.LSTMCell``."""
    weights = _weights(module, "")
    is_long = isinstance(module, nn.LSTMCell)
    if state is None:
        state = _zero_state(module, x, weights)
    elif not is_long:
        state = (state,)
    projected = functional.linear(x, weights["ih"], weights["bias_ih"])
    found = _step(module, projected, state, weights)
    return found if is_long else found[0]


def with_computed_tensors(
    target: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Callable[..., Any] | None:
    """The parts of a layer whose weight or bias is computed; None where both are stored.

    A weight that is computed, such as a standardized one, is a value of the network: its product
    with the input is one of two values.
    """
    if target is functional.batch_norm:
        given = {**dict(zip(_OF_BATCH_NORM, args, strict=False)), **kwargs}
        takes_own = given.get("running_mean") is None and given.get("training")
        return _standardize if takes_own and _is_fixed(args[0]) else None
    given = {**dict(zip(("input", "weight", "bias"), args, strict=False)), **kwargs}
    weight, bias = _is_computed(given.get("weight")), _is_computed(given.get("bias"))
    if target is functional.linear and (weight or bias):
        return _multiply if weight else _shift
    return _convolve if target is functional.conv2d and weight else None


_OF_BATCH_NORM = (
    "input",
    "running_mean",
    "running_var",
    "weight",
    "bias",
    "training",
    "momentum",
    "eps",
)


def _is_computed(value: Any) -> bool:
    return isinstance(value, fx.Proxy) and value.node.op != "get_attr"


def _is_fixed(value: Any) -> bool:
    """Whether no input enters a recorded value."""
    waiting = [value.node] if isinstance(value, fx.Proxy) else []
    for node in waiting:
        waiting.extend(one for one in node.all_input_nodes if one not in waiting)
    return bool(waiting) and all(node.op != "placeholder" for node in waiting)


def _shift(x: Any, weight: Any, bias: Any) -> Any:
    return functional.linear(x, weight) + bias


def _multiply(x: Any, weight: Any, bias: Any = None) -> Any:
    product = torch.matmul(x, weight.transpose(-1, -2))
    return product if bias is None else product + bias


def _standardize(x: Any, *args: Any, **kwargs: Any) -> Any:
    """``batch_norm`` by the statistics of a value that no input enters."""
    given = {**dict(zip(_OF_BATCH_NORM[1:], args, strict=False)), **kwargs}
    x = functional.instance_norm(x, eps=given.get("eps", 1e-5))
    for name, combine in (("weight", operator.mul), ("bias", operator.add)):
        if given.get(name) is not None:
            x = combine(x, given[name].reshape(1, -1, 1))
    return x


def _convolve(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    """A convolution as the product of its kernel with the patches of its input."""
    if isinstance(padding, str):
        raise NotImplementedError(f"the padding {padding!r} with a computed weight has no rule")
    kernel = weight.shape[2:]
    stride, padding, dilation = (
        (one, one) if isinstance(one, int) else tuple(one) for one in (stride, padding, dilation)
    )
    sizes = tuple(
        (x.shape[2 + at] + 2 * padding[at] - dilation[at] * (kernel[at] - 1) - 1) // stride[at] + 1
        for at in (0, 1)
    )
    patches = functional.unfold(x, (kernel[0], kernel[1]), dilation, padding, stride)
    entries = weight.shape[1] * kernel[0] * kernel[1]
    rows = weight.reshape(groups, -1, entries)
    patches = patches.reshape(-1, groups, entries, sizes[0] * sizes[1])
    product = torch.matmul(rows, patches).flatten(1, 2)
    product = torch.unflatten(product, 2, sizes)
    return product if bias is None else product + bias.reshape(-1, 1, 1)


#: By the class of torch: called with the module and its arguments.
MODULES: Mapping[type[nn.Module], Callable[..., Any]] = {
    nn.GLU: _gate_module,
    nn.Bilinear: _bilinear,
    nn.MultiheadAttention: _attend,
    **dict.fromkeys((nn.RNN, nn.GRU, nn.LSTM), _recur),
    **dict.fromkeys((nn.RNNCell, nn.GRUCell, nn.LSTMCell), _one_step),
}
FUNCTIONS: Mapping[Callable[..., Any], Callable[..., Any]] = {
    functional.glu: gate,
    torch.addcmul: _add_product,
    torch.baddbmm: _add_batched,
}
