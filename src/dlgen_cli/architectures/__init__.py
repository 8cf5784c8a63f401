"""Architectures by name: ``build("mlp", width=64, depth=3, classes=10)``.

A new architecture is one file with a constructor and one line in the table below; callers do
not change. Any classification model of torchvision is known too, by torchvision's own name, and
``timm:NAME``. A network of the user's own is another matter: `code_constructor` runs code.
Parameters are zero until they are initialized or loaded: nothing here draws a random number.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import partial
from typing import TYPE_CHECKING

from dlgen_cli.architectures.dense import dense, linear
from dlgen_cli.architectures.filter_bank import filter_bank
from dlgen_cli.architectures.filter_kernel import filter_kernel
from dlgen_cli.architectures.mlp import MLP
from dlgen_cli.architectures.mobilenet_v2 import mobilenet_v2
from dlgen_cli.architectures.small_convnet import small_convnet
from dlgen_cli.architectures.timm_models import PREFIX, build_timm, has_timm_model
from dlgen_cli.architectures.torchvision_models import (
    build_torchvision,
    describe,
    torchvision_names,
)
from dlgen_cli.architectures.transformers_models import build_transformers, is_transformers
from dlgen_cli.architectures.user_code import CodeConstructor, code_constructor, is_code
from dlgen_cli.errors import UsageError

if TYPE_CHECKING:
    from torch import nn

__all__ = [
    "MLP",
    "CodeConstructor",
    "build",
    "build_transformers",
    "code_constructor",
    "is_code",
    "is_known",
    "is_transformers",
    "names",
    "require_known",
    "split_size",
    "torchvision_names",
]

_CONSTRUCTORS: Mapping[str, Callable[..., nn.Module]] = {
    "dense": dense,
    "filter_bank": filter_bank,
    "filter_kernel": filter_kernel,
    "linear": linear,
    "mlp": MLP,
    "mobilenet_v2": mobilenet_v2,
    "mobilenet_v2_medium": partial(mobilenet_v2, stem="medium"),
    "mobilenet_v2_small": partial(mobilenet_v2, stem="small"),
    "small_convnet": small_convnet,
}
_SIZED = re.compile(r"(mobilenet_v2)-([0-9]{1,4})")


def names() -> tuple[str, ...]:
    """The architectures of dlgen itself, sorted; `build` knows `torchvision_names` too."""
    return tuple(sorted(_CONSTRUCTORS))


def is_known(name: str) -> bool:
    """Whether `build` knows the name; asks other libraries only where dlgen does not know it."""
    return has_timm_model(name) if name.startswith(PREFIX) else _is_named(name)


def _is_named(name: str) -> bool:
    return split_size(name)[0] in _CONSTRUCTORS or name in torchvision_names()


def split_size(name: str) -> tuple[str, int | None]:
    """The architecture and the ``image_size`` that a name like ``mobilenet_v2-128`` stands for.

    Returns:
        The name itself and None where it names no size.
    """
    match = _SIZED.fullmatch(name)
    return (match[1], int(match[2])) if match else (name, None)


def build(name: str, **arguments: object) -> nn.Module:
    """Make an untrained network.

    Args:
        name: one of `names` or of `torchvision_names`, or ``timm:NAME``; ``mobilenet_v2-128``
            stands for the ``image_size`` 128.
        **arguments: the constructor's keyword arguments, as ``config.json`` records them under
            ``architecture_arguments``.

    Returns:
        The module, on the CPU, in float32, with all parameters zero; those of timm have its own
        initialization.

    Raises:
        UsageError: the name is unknown, or an argument is unknown or out of its range.
    """
    name, size = split_size(name)
    if size is not None:
        arguments["image_size"] = size
    if name.startswith(PREFIX):
        return build_timm(name, **arguments)
    constructor = _CONSTRUCTORS.get(name)
    if constructor is None:
        require_known(name)
        return build_torchvision(name, **arguments)
    try:
        return constructor(**arguments)
    except TypeError as error:
        raise UsageError(
            f"The architecture {name!r} cannot be built with the arguments "
            f"{describe(arguments)}: {error}.",
            remedy="Give the arguments that its constructor names.",
        ) from error


def require_known(name: str) -> None:
    """Check that a name is one of `names` or of `torchvision_names`.

    Raises:
        UsageError: it is not; names those that are near.
    """
    if _is_named(name):
        return
    if name.endswith(".py"):
        raise UsageError(
            f"--arch {name} names a file and no network in it.",
            remedy=f"Give --arch {name}:NAME, a class or a function that returns a module.",
        )
    near = get_close_matches(name, {*names(), *torchvision_names()}, n=4, cutoff=0.5)
    raise UsageError(
        f"The architecture {name!r} is unknown.",
        remedy=(f"Did you mean {', '.join(near)}? " if near else "")
        + f"Choose one of {', '.join(names())}, a classification model of torchvision, timm:NAME, "
        "transformers for a folder of its own, or a network of your own: FILE.py:NAME.",
    )
