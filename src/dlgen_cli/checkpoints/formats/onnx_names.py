"""Names and layouts of the weights of an ONNX model, as torch's modules have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from dlgen_cli.checkpoints.formats.onnx_tensors import StoredInitializers
from dlgen_cli.checkpoints.program import Step, Value


def turned(steps: Sequence[Step], stored: StoredInitializers) -> list[Step]:
    """Let matrices that multiply from the right have their outputs first, as torch has them."""
    readers: dict[str, set[bool]] = {}
    for step in steps:
        for at, one in enumerate(step.arguments["inputs"]):
            if isinstance(one, Value):
                readers.setdefault(one.name, set()).add(at == 1 and _multiplies(step))
    matrices = {
        name
        for name, how in readers.items()
        if how == {True} and name in stored.names and stored.axes(name) == 2
    }
    for name in matrices:
        stored.turn(name)

    def of(step: Step) -> Step:
        inputs = step.arguments["inputs"]
        is_turned = _multiplies(step) and inputs[1] is not None and inputs[1].name in matrices
        return replace(step, arguments={**step.arguments, "transB": 1}) if is_turned else step

    return [of(step) for step in steps]


def _multiplies(step: Step) -> bool:
    plain = step.operation == "Gemm" and not step.arguments.get("transB")
    return (plain or step.operation == "MatMul") and len(step.arguments["inputs"]) > 1


#: What a module calls the inputs from the second on.
_KINDS = {
    "BatchNormalization": ("weight", "bias", "running_mean", "running_var"),
    **dict.fromkeys(("Conv", "ConvTranspose", "Gemm", "MatMul"), ("weight", "bias")),
}


def name_like_modules(steps: Sequence[Step], stored: StoredInitializers) -> None:
    """Let the tensors of a layer have the names that one module gives them.

    The name of the weight, or else that of the bias, tells the module. A name of a module's own
    stays, and so does one that something else has.
    """
    readers: dict[str, list[Step]] = {}
    for step in steps:
        for one in step.values():
            readers.setdefault(one.name, []).append(step)
    for step in steps:
        kinds = _KINDS.get(step.operation)
        given = [one.name for one in step.arguments["inputs"][1:] if isinstance(one, Value)]
        if step.operation == "MatMul" and step.arguments.get("transB"):
            given += _bias_after(step, readers, stored)
        if kinds is None or not given or not all(name in stored.names for name in given):
            continue
        stem = _stem(given, stored)
        for name, kind in zip(given, kinds, strict=False):
            if stored.names[name] != f"{stem}.{kind}":
                stored.rename(name, f"{stem}.{kind}")


def _bias_after(
    step: Step, readers: Mapping[str, Sequence[Step]], stored: StoredInitializers
) -> list[str]:
    """The vector that the next step adds to a product, where that alone reads it."""
    after = readers.get(step.results[0], [])
    if len(after) != 1 or after[0].operation != "Add":
        return []
    others = [one.name for one in after[0].values() if one.name != step.results[0]]
    return [name for name in others if name in stored.names and stored.axes(name) == 1][:1]


def _stem(given: Sequence[str], stored: StoredInitializers) -> str:
    """The path of the module that tensors are taken for."""
    names = [stored.names[name] for name in given]
    if names[0].endswith(".weight") or len(names) == 1 or not names[1].endswith(".bias"):
        return names[0].removesuffix(".weight")
    return names[1].removesuffix(".bias")
