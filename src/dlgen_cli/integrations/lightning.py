"""A callback for Lightning that logs the spectral norm of every layer by epoch.

from dlgen_cli.integrations.lightning import SpectralNorms

trainer = Trainer(callbacks=[SpectralNorms()])
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dlgen_cli.errors import DependencyError
from dlgen_cli.integrations.norms import spectral_norms

try:
    from lightning.pytorch.callbacks import Callback
except ImportError as error:
    raise DependencyError(
        "This callback needs Lightning, which is not installed.",
        remedy="Run: pip install 'dlgen[lightning]'",
    ) from error


class SpectralNorms(Callback):
    """Logs upper ends of spectral norms at the end of training epochs, through the trainer.

    Args:
        every: epochs between two measurements, at least 1.
        include: glob patterns of weights to measure; empty takes all.
        exclude: glob patterns of weights to leave out.
        prefix: put before the name of each weight in the log.
    """

    def __init__(
        self,
        *,
        every: int = 1,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        prefix: str = "spectral_norm/",
    ) -> None:
        self.every = every
        self.chosen: dict[str, Any] = {"include": include, "exclude": exclude, "prefix": prefix}

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Measure and log, in the first process."""
        if trainer.is_global_zero and (trainer.current_epoch + 1) % self.every == 0:
            pl_module.log_dict(spectral_norms(pl_module, **self.chosen), rank_zero_only=True)
