"""The scale of low-rank adapters, from the ``adapter_config.json`` that is saved beside them."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

from dlgen_cli.errors import CheckpointError

FILE = "adapter_config.json"
_MOST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterConfig:
    """What tells the scale.

    Attributes:
        alpha: ``lora_alpha``.
        is_rank_stabilized: the scale is ``alpha / sqrt(r)``.
    """

    alpha: float
    is_rank_stabilized: bool

    def scaling(self, rank: int) -> float:
        """The scale of a product of rank r, at least 1."""
        return self.alpha / (math.sqrt(rank) if self.is_rank_stabilized else rank)


def read_adapter_config(checkpoint: Path) -> AdapterConfig | None:
    """Read the file beside a checkpoint.

    Args:
        checkpoint: the file or directory with the factors.

    Returns:
        None where there is no such file, or where it gives layers alphas of their own.

    Raises:
        CheckpointError: it is not JSON, or its ``lora_alpha`` is no positive number.
    """
    path = (checkpoint if checkpoint.is_dir() else checkpoint.parent) / FILE
    if not path.is_file():
        return None
    try:
        with path.open("rb") as file:
            config = json.loads(file.read(_MOST_BYTES))
        alpha = float(config["lora_alpha"])
        own_alphas = bool(config.get("alpha_pattern"))
        stabilized = bool(config.get("use_rslora"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _unreadable(path, f"{type(error).__name__}: {error}") from error
    if not (math.isfinite(alpha) and alpha > 0):
        raise _unreadable(path, f"lora_alpha is {alpha:g}")
    return None if own_alphas else AdapterConfig(alpha=alpha, is_rank_stabilized=stabilized)


def _unreadable(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(
        f"{path} does not tell the scale of the adapters beside it ({reason}); an object with a "
        "positive lora_alpha was expected.",
        remedy="Mend it, or move it away to audit the products without their scale.",
    )
