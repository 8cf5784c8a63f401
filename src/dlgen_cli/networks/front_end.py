"""From a checkpoint to its network: traced where the architecture is known, a chain elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import nn

from dlgen_cli import architectures
from dlgen_cli.architectures.dense import HEADS
from dlgen_cli.checkpoints.checkpoint import Checkpoint
from dlgen_cli.checkpoints.program import Program
from dlgen_cli.errors import CheckpointError, UsageError
from dlgen_cli.networks.chain import left_out_by, read_chain
from dlgen_cli.networks.exported import exported
from dlgen_cli.networks.graph import Network
from dlgen_cli.networks.layouts.ties import sharing_entries
from dlgen_cli.networks.loaded_module import (
    BuiltNetwork,
    build_for,
    built_from,
    loaded,
    usual_input_shape,
)
from dlgen_cli.networks.programs.module import ProgramModule
from dlgen_cli.networks.programs.network import input_shape_of, module_of
from dlgen_cli.networks.read_network import ReadNetwork
from dlgen_cli.networks.tracer import trace
from dlgen_cli.records import SkippedLayer

_SMALL_SHAPE = (3, 32, 32)
_USUAL_SHAPES = {"mobilenet_v2_medium": _SMALL_SHAPE, "mobilenet_v2_small": _SMALL_SHAPE}
_IMAGENET_SHAPE = (3, 224, 224)


def read_network(
    checkpoint: Checkpoint,
    *,
    arch: str | None = None,
    arch_arguments: Mapping[str, Any] | None = None,
    input_shape: tuple[int, ...] | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    module: nn.Module | None = None,
) -> ReadNetwork:
    """Read the network of a checkpoint.

    Args:
        checkpoint: named tensors.
        arch: the architecture that the user declares, which may be code of theirs; what the
            checkpoint records otherwise.
        arch_arguments: of its constructor, on top of those that the checkpoint records.
        input_shape: of one example; what the checkpoint records otherwise, else what the
            architecture usually takes.
        include: glob patterns of layers.
        exclude: glob patterns of layers.
        module: from `plain_copy`; it is traced as it is, with the weights of the checkpoint.

    Raises:
        UsageError: the architecture is unknown or does not take inputs of this shape.
        CheckpointError: a tensor does not fit the architecture, or no layer is left.
    """
    name = arch or checkpoint.architecture
    if arch_arguments and arch is None:
        raise UsageError("--arch-arg was given without --arch.", remedy="Give both.")
    if module is not None:
        read = _read_graph(
            checkpoint, built_from(module, checkpoint), input_shape, include, exclude
        )
        read = replace(read, module=read.module or module)
    elif arch is None and checkpoint.program is not None:
        read = _read_program(checkpoint, checkpoint.program, input_shape, include, exclude)
    elif name is None or (arch is None and not architectures.is_known(name)):
        read = read_chain(checkpoint, include=include, exclude=exclude)
    else:
        built = build_for(checkpoint, arch, arch_arguments, keeps_broken=True)
        read = _read_graph(checkpoint, built, input_shape, include, exclude)
        if architectures.is_code(name) or arch_arguments:
            # what runs again might differ
            read = replace(read, module=read.module or built.module)
    unknown = [SkippedLayer(name=one.name, reason=one.reason) for one in checkpoint.not_understood]
    return replace(read, skipped=[*unknown, *read.skipped])


def _read_graph(
    checkpoint: Checkpoint,
    built: BuiltNetwork,
    input_shape: tuple[int, ...] | None,
    include: Sequence[str],
    exclude: Sequence[str],
) -> ReadNetwork:
    name = built.architecture
    shape = input_shape or built.input_shape or _usual_shape(built)
    network, module = _traced(built.module, shape)
    skipped = [
        SkippedLayer(name=layer, reason=reason)
        for layer in network.layers
        if (reason := left_out_by(layer, include, exclude)) is not None
    ]
    if network.layers and len(skipped) == len(network.layers):
        raise CheckpointError(
            f"--include and --exclude leave no layer of {checkpoint.path} to audit.",
            remedy="Name layers as dlgen spectra lists them.",
        )
    unused = [SkippedLayer(name=one, reason="not read in evaluation") for one in network.unused]
    return ReadNetwork(
        network=network,
        structure="graph",
        architecture=name,
        tensors=built.tensors,
        skipped=skipped,
        counters=unused,
        obstacle=_obstacle(network),
        tied={**sharing_entries(checkpoint), **built.tied},
        module=module,
    )


def _traced(module: nn.Module, shape: tuple[int, ...]) -> tuple[Network, nn.Module | None]:
    """The graph of a module, and the module of its exported program where that is what was traced.

    ``torch.export`` takes seconds: it is asked where recording the calls leaves a part without a
    rule.
    """
    network = trace(module, shape)
    if network.unsupported is None or isinstance(module, ProgramModule):
        return network, None
    try:
        program = exported(module, shape)
        other = trace(program, shape)
    except Exception:  # what recording could not do is named by its own network
        return network, None
    if other.unsupported is None or (other.layers and not network.layers):
        return other, program
    return network, None


def _read_program(
    checkpoint: Checkpoint,
    program: Program,
    input_shape: tuple[int, ...] | None,
    include: Sequence[str],
    exclude: Sequence[str],
) -> ReadNetwork:
    """The network that the program in a checkpoint computes."""
    shape = input_shape or input_shape_of(program)
    if shape is None:
        raise UsageError(
            f"The program of {checkpoint.path} leaves the shape of its input open.",
            remedy="Give --input-shape, for example --input-shape 3,32,32.",
        )
    built = loaded(module_of(program, checkpoint, shape), checkpoint)
    read = _read_graph(checkpoint, built, shape, include, exclude)
    return replace(read, architecture=None, module=built.module)


def _usual_shape(built: BuiltNetwork) -> tuple[int, ...]:
    name, arguments = built.architecture, built.arguments
    if name == "mlp":
        return (int(arguments["width"]),)
    if name in HEADS:
        return (int(arguments["inputs"]),)
    if arguments.get("image_size"):
        return _SMALL_SHAPE  # it is resized
    if ":" not in name and not architectures.is_transformers(name):
        return _USUAL_SHAPES.get(name, _IMAGENET_SHAPE)
    shape = usual_input_shape(built.module)
    if shape is None:
        raise UsageError(
            f"The shape of one input of {name} is not known.",
            remedy="Give --input-shape: --input-shape 3,32,32 for images, --input-shape 128 for so "
            "many tokens.",
        )
    return shape


def _obstacle(network: Network) -> str | None:
    unsupported = network.unsupported
    if unsupported is not None:
        return f"There is no rule for {unsupported.name}: {unsupported.reason}."
    calls = Counter(layer.module for layer in network.layers.values())
    shared = next((module for module, count in calls.items() if count > 1), None)
    if shared is not None:
        return f"The layer {shared} is applied to maps of several sizes."
    return None
