"""From the program in a checkpoint to its network."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from torch import nn

from dlgen_cli.checkpoints.checkpoint import Checkpoint
from dlgen_cli.checkpoints.program import Program, Step
from dlgen_cli.checkpoints.stored import brief
from dlgen_cli.errors import CheckpointError, UsageError
from dlgen_cli.networks.programs import aten, onnx
from dlgen_cli.networks.programs.module import Builder
from dlgen_cli.networks.programs.onnx_builder import OnnxBuilder

_B = TypeVar("_B", bound=Builder)


def module_of(program: Program, checkpoint: Checkpoint, input_shape: tuple[int, ...]) -> nn.Module:
    """The module that computes a program, without entries.

    Args:
        program: of the checkpoint.
        checkpoint: holds its tensors.
        input_shape: of one example.

    Returns:
        A module on the meta device with the state dict of the checkpoint.

    Raises:
        UsageError: it takes several inputs.
        CheckpointError: a tensor is left aside, or its name can be none of a module.
    """
    if len(program.inputs) != 1:
        names = ", ".join(one.name for one in program.inputs)
        raise UsageError(
            f"The program of {checkpoint.path} takes {len(program.inputs)} inputs ({names}); one "
            "was expected.",
            remedy="Export it with one input.",
        )
    if program.dialect == "onnx":
        shaped = OnnxBuilder(program, checkpoint, input_shape)
        return _built(shaped, checkpoint, onnx.add_step)
    return _built(Builder(program, checkpoint), checkpoint, aten.add_step)


def _built(build: _B, checkpoint: Checkpoint, add: Callable[[_B, Step], None]) -> nn.Module:
    for step in build.program.steps:
        try:
            add(build, step)
        except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            if build.unknowns:  # no shape is known from there on
                return build.module(build.unknowns[0])
            reason = " ".join(str(error).split()) or type(error).__name__
            raise CheckpointError(
                f"The program of {checkpoint.path} calls {brief(step.operation)} with arguments "
                f"that it cannot have ({brief(reason)}).",
                remedy="Export it again.",
            ) from error
    return build.module(build.program.output)


def input_shape_of(program: Program) -> tuple[int, ...] | None:
    """The shape of one example that a program tells; None where an axis is open."""
    shape = program.inputs[0].shape[1:]
    known = tuple(size for size in shape if size is not None)
    return known if len(known) == len(shape) and known else None
