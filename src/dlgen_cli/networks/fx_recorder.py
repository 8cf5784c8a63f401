"""Recording the calls of a module with ``torch.fx``."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from dlgen_cli.architectures.fixed_normalization import FixedNormalization
from dlgen_cli.architectures.row_normalization import RowNormalization
from dlgen_cli.networks.programs.module import ProgramModule


class _Recorded(fx.Proxy):
    """A proxy that records ``x += y`` as what it is: torch changes x in place.

    ``torch.fx`` records it as ``x = x + y``, and other names of the same tensor keep the old
    value, which is another function than the module's.
    """

    def __iadd__(self, other: Any) -> fx.Proxy:
        return self._in_place(operator.iadd, other)

    def __isub__(self, other: Any) -> fx.Proxy:
        return self._in_place(operator.isub, other)

    def __imul__(self, other: Any) -> fx.Proxy:
        return self._in_place(operator.imul, other)

    def __itruediv__(self, other: Any) -> fx.Proxy:
        return self._in_place(operator.itruediv, other)

    def _in_place(self, function: Any, other: Any) -> fx.Proxy:
        return self.tracer.create_proxy("call_function", function, (self, other), {})


def _attend(attention: nn.MultiheadAttention, query: Any, key: Any, value: Any, mask: Any) -> Any:
    """Self-attention in its parts: one linear layer for all three projections, attention, another.

    Raises:
        NotImplementedError: it has other keys than queries, or biases of its own beside them.
    """
    is_plain = attention.bias_k is None and not attention.add_zero_attn
    if not (query is key and key is value) or not is_plain or attention.in_proj_weight is None:
        raise NotImplementedError("attention to other tokens than its own has no rule")
    heads = attention.num_heads
    if not attention.batch_first:
        query = query.transpose(0, 1)
    joint = functional.linear(query, attention.in_proj_weight, attention.in_proj_bias)
    first, second, third = joint.chunk(3, -1)
    shape = (heads, attention.head_dim)
    q, k, v = (one.reshape(*_outer(one), *shape).transpose(1, 2) for one in (first, second, third))
    mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    out = attention.out_proj
    result = functional.linear(mixed.transpose(1, 2).flatten(2), out.weight, out.bias)
    return result if attention.batch_first else result.transpose(0, 1)


def _outer(value: Any) -> tuple[Any, Any]:
    """The batch and the number of tokens."""
    return value.size(0), value.size(1)


class _Recorder(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        is_leaf = super().is_leaf_module(m, module_qualified_name)
        return is_leaf or isinstance(m, FixedNormalization | RowNormalization)

    def call_module(
        self, m: nn.Module, forward: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Attention is recorded in its parts; the weights of its tokens are not returned."""
        if type(m) is not nn.MultiheadAttention:
            return super().call_module(m, forward, args, kwargs)
        names = ("query", "key", "value", "key_padding_mask", "need_weights", "attn_mask")
        given = dict(zip(names, args, strict=False)) | kwargs
        if given.get("key_padding_mask") is not None or given.get("is_causal"):
            raise NotImplementedError("attention with a mask of padding has no rule")
        mask = given.get("attn_mask")
        if isinstance(mask, Tensor) and mask.dtype == torch.bool:
            mask = ~mask  # there True means to leave out, here to attend
        return _attend(m, given["query"], given["key"], given["value"], mask), None

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _Recorded(node, self)


def record(module: nn.Module) -> fx.Graph:
    """The calls of a module, in order; torch's modules and our normalizations are one each.

    Args:
        module: in evaluation mode.

    Raises:
        Exception: whatever the module raises when its arguments are proxies.
    """
    return module.recorded() if isinstance(module, ProgramModule) else _Recorder().trace(module)
