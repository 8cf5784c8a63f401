"""The scale of low-rank adapters, from the ``adapter_config.json`` that is saved beside them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dlgen_cli.errors import CheckpointError

FILE = "adapter_config.json"
_MOST_BYTES = 1 << 20
_MOST_LETTERS = 200  # of a pattern
_MOST_REPEATS = 3
_REPEATED_GROUP = re.compile(r"\)[*+?{]")
#: What peft puts before the names of the modules that it wraps.
_WRAPPERS = "base_model.model."


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterConfig:
    """What tells the scale.

    Attributes:
        alpha: ``lora_alpha``.
        is_rank_stabilized: the scale is ``alpha / sqrt(r)``.
        own_alphas: ``alpha_pattern``: the alphas of modules whose names end in a pattern.
    """

    alpha: float
    is_rank_stabilized: bool
    own_alphas: Mapping[re.Pattern[str], float] = field(default_factory=dict)

    def scaling(self, module: str, rank: int) -> float:
        """The scale of a product.

        Args:
            module: the name of the adapted module.
            rank: r of its factors, at least 1.
        """
        name = module.removeprefix(_WRAPPERS)
        own = (alpha for pattern, alpha in self.own_alphas.items() if pattern.fullmatch(name))
        alpha = next(own, self.alpha)
        return alpha / (math.sqrt(rank) if self.is_rank_stabilized else rank)


def read_adapter_config(checkpoint: Path) -> AdapterConfig | None:
    """Read the file beside a checkpoint.

    Args:
        checkpoint: the file or directory with the factors.

    Returns:
        None where there is no such file.

    Raises:
        CheckpointError: it is not JSON, or an alpha in it is no positive number.
    """
    path = (checkpoint if checkpoint.is_dir() else checkpoint.parent) / FILE
    if not path.is_file():
        return None
    try:
        with path.open("rb") as file:
            config = json.loads(file.read(_MOST_BYTES))
        alpha = float(config["lora_alpha"] if "lora_alpha" in config else config["alpha"])
        patterns = config.get("alpha_pattern") or {}
        own = {_pattern(key): float(value) for key, value in patterns.items()}
        stabilized = bool(config.get("use_rslora"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _unreadable(path, f"{type(error).__name__}: {error}") from error
    for value in (alpha, *own.values()):
        if not (math.isfinite(value) and value > 0):
            raise _unreadable(path, f"an alpha is {value:g}")
    return AdapterConfig(alpha=alpha, is_rank_stabilized=stabilized, own_alphas=own)


def _pattern(key: str) -> re.Pattern[str]:
    """A pattern of peft, which a module's name ends in, or starts with where it begins with ``^``.

    Only expressions that are matched in little time are taken.

    Raises:
        ValueError: it is another one, or no expression.
    """
    repeats = sum(key.count(one) for one in "*+{")
    if len(key) > _MOST_LETTERS or repeats > _MOST_REPEATS or _REPEATED_GROUP.search(key):
        raise ValueError(f"the pattern {key[:_MOST_LETTERS]!r} is too intricate")
    try:
        return re.compile(key if key.startswith("^") else rf"(.*\.)?({key})")
    except re.error as error:
        raise ValueError(f"the pattern {key!r} cannot be read ({error})") from error


def _unreadable(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(
        f"{path} does not tell the scale of the adapters beside it ({reason}); an object with a "
        "positive lora_alpha was expected.",
        remedy="Mend it, or move it away to audit the products without their scale.",
    )
