"""Architectures by name: ``build("mlp", width=64, depth=3, classes=10)``.

A new architecture is one file with a constructor and one line in the table below; callers do
not change. Parameters are zero until they are initialized or loaded: nothing here draws a
random number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from dlgen_cli.architectures.mlp import MLP
from dlgen_cli.errors import UsageError

if TYPE_CHECKING:
    from torch import nn

__all__ = ["MLP", "build", "names"]

_CONSTRUCTORS: Mapping[str, Callable[..., nn.Module]] = {
    "mlp": MLP,
}


def names() -> tuple[str, ...]:
    """The architectures that `build` knows, sorted."""
    return tuple(sorted(_CONSTRUCTORS))


def build(name: str, **arguments: object) -> nn.Module:
    """Make an untrained network.

    Args:
        name: one of `names`.
        **arguments: the constructor's keyword arguments, as ``config.json`` records them under
            ``architecture_arguments``.

    Returns:
        The module, on the CPU, in float32, with all parameters zero.

    Raises:
        UsageError: the name is unknown, or an argument is unknown or out of its range.
    """
    constructor = _CONSTRUCTORS.get(name)
    if constructor is None:
        raise UsageError(
            f"The architecture {name!r} is unknown.",
            remedy=f"Choose one of: {', '.join(names())}.",
        )
    try:
        return constructor(**arguments)
    except TypeError as error:
        raise UsageError(
            f"The architecture {name!r} cannot be built with the arguments "
            f"{', '.join(sorted(arguments)) or '(none)'}: {error}.",
            remedy="Give the arguments that its constructor names.",
        ) from error
