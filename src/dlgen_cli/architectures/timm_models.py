"""Networks of timm by name, ``timm:NAME``, never with pretrained weights."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

import torch
from torch import nn

from dlgen_cli.architectures.torchvision_models import describe
from dlgen_cli.errors import UsageError

PREFIX = "timm:"


def has_timm_model(name: str) -> bool:
    """Whether timm is installed and knows ``timm:NAME``; a tag after a dot is left aside."""
    try:
        from timm import list_models
    except ImportError:
        return False
    return name.removeprefix(PREFIX).split(".", 1)[0] in list_models()


def build_timm(name: str, **arguments: Any) -> nn.Module:
    """Make a network of timm. Nothing is downloaded.

    Args:
        name: ``timm:`` and a name of its registry.
        **arguments: of its constructor, for example ``num_classes``.

    Raises:
        UsageError: timm is missing, the name is unknown, or an argument is.
    """
    try:
        from timm import create_model, list_models
    except ImportError as error:
        raise UsageError(
            f"--arch {name} needs timm, which is not installed.",
            remedy="Run pip install 'dlgen[timm]'.",
        ) from error
    if not has_timm_model(name):
        near = get_close_matches(name.removeprefix(PREFIX), list_models(), n=4, cutoff=0.5)
        raise UsageError(
            f"timm has no network {name.removeprefix(PREFIX)!r}.",
            remedy=f"Did you mean {', '.join(PREFIX + one for one in near)}?"
            if near
            else "python -c 'import timm; print(timm.list_models())' lists them.",
        )
    if arguments.get("pretrained"):
        raise UsageError(
            "pretrained was given; dlgen downloads no weights.", remedy="Leave it out."
        )
    with torch.random.fork_rng(devices=[]):
        try:
            network: nn.Module = create_model(
                name.removeprefix(PREFIX), **{**arguments, "pretrained": False}
            )
        except (TypeError, ValueError, RuntimeError, AssertionError) as error:
            raise UsageError(
                f"The architecture {name!r} cannot be built with the arguments "
                f"{describe(arguments)}: {error}.",
                remedy="Give the arguments that timm's constructor takes.",
            ) from error
    return network
