"""What kind of map a weight is, and the parts that it is made of, by name and shape."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from dlgen_cli.checkpoints.checkpoint import TensorInfo
from dlgen_cli.networks.graph import GraphLayer
from dlgen_cli.networks.layouts.stacks import members, stacked_axes
from dlgen_cli.networks.layouts.weight import Weight

_RECURRENT = re.compile(r"weight_(ih|hh|hr)(?P<layer>(_l\d+)?(_reverse)?)")
#: Gates by the number of them, in torch's order: LSTM and GRU. A plain recurrence has one.
_GATES = {4: "ifgo", 3: "rzn"}
_EMBEDDING = re.compile(
    r"(.*_)?(emb|embed|embedding|embeddings|embedder|wte|wpe|relative_attention_bias)"
    r"|shared|embed_(tokens|positions|in)|tok_embeddings|positional_embedding"
)
#: Attention projections stored as one matrix with q, k and v one after another.
_FUSED = re.compile(r"in_proj_weight|(qkv|Wqkv)\.weight")
#: The same where they are stored as ``(inputs, outputs)``, as in GPT-2.
_FUSED_COLUMNS = re.compile(r"(qkv|Wqkv|c_attn)\.weight")
#: Fused projections in an order that depends on numbers of heads that no tensor tells.
_INTERLEAVED = re.compile(
    r"(.*_)?(query_key_value|qkv_proj|wqkv|qkv|Wqkv|c_attn|W_pack|to_qkv|c_qkv|qkv_linear|in_qkv"
    r"|to_kv|kv_proj|qkvz?|qkv_mats?)\.weight"
)
_ATTENTION = re.compile(
    r"attn|attention|qkv|query_key_value|(^|[._])(q|k|v|query|key|value|to_q|to_k|to_v)(_proj)?[._]weight"
)
_SEPARATE = re.compile(r"([qkv])_proj_weight")
#: Layers that keep their matrix as ``(inputs, outputs)``.
_COLUMNS = re.compile(r"c_(attn|proj|fc)\.weight")


def layers_of(
    weight: Weight, infos: Mapping[str, TensorInfo], shapes: Mapping[str, tuple[int, ...]]
) -> list[GraphLayer]:
    """Name the linear maps that one weight holds.

    Args:
        weight: of two to five axes.
        infos: all stored tensors, for its bias.
        shapes: of all weights by name, for the size of a hidden state.

    Returns:
        One layer, or one for each gate or projection; their rows together are the weight.
    """
    if weight.kind is not None:
        return [_layer(weight, kind=weight.kind)]
    leading = stacked_axes(weight.name, weight.shape, infos) if len(weight.shape) > 2 else 0
    if leading:
        return [_member(weight, place) for place in members(weight.shape, leading)]
    weight, flip = _with_bias(weight, infos)
    if len(weight.shape) > 2:
        axes = len(weight.shape) - 2
        return [_layer(weight, kind=f"conv_transpose{axes}d" if flip else f"conv{axes}d")]
    if flip:
        recipe = replace(weight.recipe, is_transposed=True)
        weight = replace(weight, shape=weight.shape[::-1], recipe=recipe)
    if _RECURRENT.fullmatch(_ending(weight.name, 1)):
        return _recurrent(weight, shapes)
    return _dense(weight, is_flipped=flip)


def _member(weight: Weight, place: tuple[int, ...]) -> GraphLayer:
    """One matrix of a stack; which of its axes is the outputs' does not matter to its norms."""
    recipe = replace(weight.recipe, member=place)
    where = ",".join(map(str, place))
    one = replace(
        weight,
        name=f"{weight.name}[{where}]",
        shape=weight.shape[len(place) :],
        recipe=recipe,
        note=joined(weight.note, "one matrix of a stack"),
    )
    return _layer(one, kind="stacked")


def _dense(weight: Weight, *, is_flipped: bool) -> list[GraphLayer]:
    last, tail = _ending(weight.name, 1), _ending(weight.name, 2)
    rows, columns = weight.shape
    fused = _FUSED_COLUMNS if is_flipped else _FUSED
    if (fused.fullmatch(tail) or fused.fullmatch(last)) and rows == 3 * columns:
        return _parts(weight, "qkv", kind="attention")
    if _INTERLEAVED.fullmatch(tail):
        note = "a fused projection whose order of q, k and v is not on record: taken whole"
        weight = replace(weight, note=joined(weight.note, note))
    if weight.recipe.bias is None and is_table(weight.name):
        return [_layer(weight, kind="embedding")]
    return [_layer(weight, kind="attention" if _ATTENTION.search(weight.name) else "linear")]


def _ending(name: str, parts: int) -> str:
    """The last parts of a dotted name."""
    return ".".join(name.split(".")[-parts:])


def is_table(name: str) -> bool:
    """Whether a name is usual for a table of embeddings."""
    module = name.removesuffix(".weight")
    words = [part for part in module.split(".") if not part.isdecimal()]
    return bool(words) and _EMBEDDING.fullmatch(words[-1]) is not None


def _with_bias(weight: Weight, infos: Mapping[str, TensorInfo]) -> tuple[Weight, bool]:
    """The weight with its bias, and whether its outputs are on the second axis.

    The length of the bias tells, or the name of a layer that stores its matrix so.
    """
    head, _, last = weight.name.rpartition(".")
    prefix = f"{head}." if head else ""
    rows, columns = weight.shape[:2]
    separate = _SEPARATE.fullmatch(last)
    joint = infos.get(f"{prefix}in_proj_bias")
    if separate and joint is not None and joint.is_floating and joint.shape == (3 * rows,):
        start = "qkv".index(separate[1]) * rows
        recipe = replace(weight.recipe, bias=joint.name, bias_rows=(start, start + rows))
        return replace(weight, recipe=recipe), False
    bias = infos.get(f"{prefix}{last.replace('weight', 'bias')}") if "weight" in last else None
    is_vector = bias is not None and bias.is_floating and len(bias.shape) == 1
    flip = is_vector and bias is not None and bias.shape[0] == columns != rows
    flip = flip or (len(weight.shape) == 2 and _is_stored_in_columns(weight, infos))
    if is_vector and bias is not None and bias.shape[0] == (columns if flip else rows):
        weight = replace(weight, recipe=replace(weight.recipe, bias=bias.name))
    return weight, flip


def _is_stored_in_columns(weight: Weight, infos: Mapping[str, TensorInfo]) -> bool:
    """A square projection beside a fused one of shape ``(E, 3 E)``, as in GPT-2."""
    if not _COLUMNS.fullmatch(_ending(weight.name, 2)):
        return False
    block = weight.name.rsplit(".", 3)[0]
    fused = infos.get(f"{block}.attn.c_attn.weight")
    return fused is not None and len(fused.shape) == 2 and fused.shape[1] == 3 * fused.shape[0]


def _recurrent(weight: Weight, shapes: Mapping[str, tuple[int, ...]]) -> list[GraphLayer]:
    """The gates of an input or hidden matrix; a projection of the hidden state is whole."""
    head, _, last = weight.name.rpartition(".")
    matched = _RECURRENT.fullmatch(last)
    if matched is None or matched[1] == "hr":
        return [_layer(weight, kind="recurrent")]
    prefix = f"{head}." if head else ""
    hidden = 0
    for which in ("hh", "hr"):  # a projection of the hidden state tells its size
        hidden = shapes.get(f"{prefix}weight_{which}{matched['layer']}", (0, hidden))[-1]
    gates, rest = divmod(weight.shape[0], hidden) if hidden else (0, 0)
    if rest == 0 and gates in _GATES:
        return _parts(weight, _GATES[gates], kind="recurrent")
    if rest or gates != 1:
        note = "a recurrent matrix whose gates are not known: taken whole"
        weight = replace(weight, note=joined(weight.note, note))
    return [_layer(weight, kind="recurrent")]


def _parts(weight: Weight, names: str, *, kind: str) -> list[GraphLayer]:
    size = weight.shape[0] // len(names)
    layers = []
    for index, name in enumerate(names):
        rows = (index * size, (index + 1) * size)
        has_bias = weight.recipe.bias is not None
        recipe = replace(weight.recipe, rows=rows, bias_rows=rows if has_bias else None)
        part = replace(
            weight, name=f"{weight.name}[{name}]", shape=(size, weight.shape[1]), recipe=recipe
        )
        layers.append(_layer(part, kind=kind))
    return layers


def _layer(weight: Weight, *, kind: str) -> GraphLayer:
    module = weight.name.removesuffix(".weight")
    recipe = weight.recipe
    is_plain = recipe.form == "plain" and not (recipe.rows or recipe.member or recipe.is_transposed)
    is_usual = is_plain and recipe.bias in {None, f"{module}.bias"}
    axes = len(weight.shape) - 2
    transposed = kind.startswith("conv_transpose")
    inputs, outputs = weight.shape[1], weight.shape[0]
    return GraphLayer(
        name=weight.name,
        module=module,
        kind=kind,
        weight_shape=weight.shape,
        has_own_bias=recipe.bias is not None,
        input_shape=(outputs if transposed else inputs,),
        output_shape=(inputs if transposed else outputs,),
        stride=(1,) * axes,
        padding=(0,) * axes,
        dilation=(1,) * axes,
        transposed=transposed,
        output_padding=(0,) * axes if transposed else (),
        recipe=None if is_usual else recipe,
        note=weight.note,
    )


def joined(one: str, two: str) -> str:
    """Two notes in one."""
    return "; ".join(part for part in (one, two) if part)


#: Why a layer of this kind cannot stand in a chain of matrices.
_NO_CHAIN = {
    "embedding": "is a table of embeddings, which indices and not vectors go into",
    "recurrent": "belongs to a recurrent layer, which applies it once for each step",
    "attention": "belongs to an attention, whose matrices do not follow one another",
    "lora": "is added to a weight of another checkpoint",
    "stacked": "is one of several matrices in a tensor, which do not follow one another",
}


def no_chain(layers: Sequence[GraphLayer]) -> str | None:
    """Why layers cannot be a chain of matrices; None where their kinds do not tell."""
    for layer in layers:
        if layer.kind in _NO_CHAIN:
            return f"{layer.name} {_NO_CHAIN[layer.kind]}: give --arch where it is known."
    return None
