"""A network as a caller gives it: a path, a state dict, or a module."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

from torch import Tensor, nn

from dlgen_cli.checkpoints.in_memory import checkpoint_of
from dlgen_cli.checkpoints.runs.run_directory import serialize_safetensors
from dlgen_cli.errors import UsageError
from dlgen_cli.networks.given import Given
from dlgen_cli.networks.loaded_module import plain_copy, usual_input_shape

#: A path (whatever the command line takes), a state dict, or a module.
Network: TypeAlias = str | Path | Mapping[str, Tensor] | nn.Module


def given_by(
    network: Network, settings: Mapping[str, Any], example_shape: tuple[int, ...] | None = None
) -> dict[str, Any]:
    """What `dlgen_cli.evidence.options.AuditOptions` needs to know of a network.

    Args:
        network: a path, a state dict or a module.
        settings: the caller's; ``input_shape`` is read.
        example_shape: of one example of data in memory.

    Returns:
        ``checkpoint``, and for what stands in memory ``given``, for a module ``input_shape``.

    Raises:
        UsageError: the network is of another type, or a module's input shape is not known.
        CheckpointError: a state dict holds something else than tensors.
    """
    if isinstance(network, str | Path):
        return {"checkpoint": Path(network)}
    misplaced = [name for name in ("part", "prefix") if settings.get(name)]
    if misplaced:
        raise UsageError(
            f"{misplaced[0]} was given with weights in memory.",
            remedy="Take the part yourself: it is for files.",
        )
    if isinstance(network, nn.Module):
        if settings.get("arch") is not None:
            raise UsageError("arch was given with a module.", remedy="Leave it out.")
        shape = settings.get("input_shape") or example_shape or _shape_of_first(network)
        name, module = type(network).__name__, plain_copy(network)
        buffers = {one for one, _ in module.named_buffers()}
        given = Given(checkpoint=checkpoint_of(module.state_dict(), name, buffers), module=module)
        return {"checkpoint": Path(name), "given": given, "input_shape": tuple(shape)}
    if isinstance(network, Mapping):
        given = Given(checkpoint=checkpoint_of(network, "state dict"))
        return {"checkpoint": Path("state dict"), "given": given}
    raise _no_network(network)


def _no_network(given: object) -> UsageError:
    return UsageError(
        f"A network of type {type(given).__name__} was given; a path, a state dict or an "
        "nn.Module was expected."
    )


def _shape_of_first(module: nn.Module) -> tuple[int, ...]:
    shape = usual_input_shape(module)
    if shape is not None:
        return shape
    raise UsageError(
        f"The shape of one input of {type(module).__name__} is not known.",
        remedy="Give input_shape, for example input_shape=(3, 32, 32).",
    )


@contextmanager
def as_files(networks: Network | Sequence[Network]) -> Iterator[list[Path]]:
    """Paths of networks; what stands in memory is written to a folder that is removed after.

    Args:
        networks: one or several.
    """
    several = (
        networks if isinstance(networks, Sequence) and not isinstance(networks, str) else [networks]
    )
    with TemporaryDirectory(prefix="dlgen-") as folder:
        paths = []
        for index, network in enumerate(several, start=1):
            if isinstance(network, str | Path):
                paths.append(Path(network))
                continue
            if not isinstance(network, nn.Module | Mapping):
                raise _no_network(network)
            tensors = (
                plain_copy(network).state_dict() if isinstance(network, nn.Module) else network
            )
            path = Path(folder) / f"in memory {index}.safetensors"
            path.write_bytes(serialize_safetensors(dict(tensors), {}))
            paths.append(path)
        yield paths
