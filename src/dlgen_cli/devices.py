"""The device that a name stands for on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dlgen_cli.errors import UsageError

if TYPE_CHECKING:
    import torch

DEVICES = ("auto", "cpu", "cuda", "mps")


def resolve_device(name: str) -> torch.device:
    """Find the device for ``auto``, ``cpu``, ``cuda`` (or ``cuda:1``) or ``mps``.

    Raises:
        UsageError: the name is unknown, or this machine has no such device.
    """
    import torch

    kind = name.split(":", maxsplit=1)[0]
    if kind not in DEVICES:
        raise UsageError(
            f"The device {name!r} is unknown; {', '.join(DEVICES)} were expected.",
            remedy="Try --device auto.",
        )
    available = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if name == "auto":
        return torch.device("cuda" if available["cuda"] else "cpu")
    if not available[kind]:
        raise UsageError(
            f"--device {name} was given, but torch finds no {kind} device on this machine.",
            remedy="Try --device auto.",
        )
    return torch.device(name)


def resolve_float64_device(name: str) -> torch.device:
    """As `resolve_device`, for work in float64, which ``mps`` lacks: there, the CPU."""
    import torch

    device = resolve_device(name)
    return torch.device("cpu") if device.type == "mps" else device
