"""From the program in a checkpoint to its network."""

from __future__ import annotations

from torch import nn

from dlgen_cli.checkpoints.checkpoint import Checkpoint
from dlgen_cli.checkpoints.program import Program
from dlgen_cli.checkpoints.stored import brief
from dlgen_cli.errors import CheckpointError, UsageError
from dlgen_cli.networks.programs import aten
from dlgen_cli.networks.programs.module import Builder

_DIALECTS = {"aten": aten.add_step}


def module_of(program: Program, checkpoint: Checkpoint) -> nn.Module:
    """The module that computes a program, without entries.

    Args:
        program: of the checkpoint.
        checkpoint: holds its tensors.

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
    build = Builder(program, checkpoint)
    add = _DIALECTS[program.dialect]
    for step in program.steps:
        try:
            add(build, step)
        except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise CheckpointError(
                f"The program of {checkpoint.path} calls {brief(step.operation)} with arguments "
                f"that it cannot have ({brief(reason)}).",
                remedy="Export it again.",
            ) from error
    return build.module()


def input_shape_of(program: Program) -> tuple[int, ...] | None:
    """The shape of one example that a program tells; None where an axis is open."""
    shape = program.inputs[0].shape[1:]
    known = tuple(size for size in shape if size is not None)
    return known if len(known) == len(shape) and known else None
