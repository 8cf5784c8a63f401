"""A callback for ``transformers.Trainer`` that logs the spectral norm of every layer by epoch.

from dlgen_cli.integrations.transformers import SpectralNorms

trainer.add_callback(SpectralNorms(trainer))
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dlgen_cli.errors import DependencyError
from dlgen_cli.integrations.norms import spectral_norms

try:
    from transformers import TrainerCallback
except ImportError as error:
    raise DependencyError(
        "This callback needs transformers, which is not installed.",
        remedy="Run: pip install 'dlgen[transformers]'",
    ) from error


class SpectralNorms(TrainerCallback):
    """Logs upper ends of spectral norms at the end of epochs, with ``trainer.log``.

    Args:
        trainer: whose log takes them, and whose loggers then have them.
        every: epochs between two measurements, at least 1.
        include: glob patterns of weights to measure; empty takes all.
        exclude: glob patterns of weights to leave out.
        prefix: put before the name of each weight in the log.
    """

    def __init__(
        self,
        trainer: Any,
        *,
        every: int = 1,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        prefix: str = "spectral_norm/",
    ) -> None:
        self.trainer = trainer
        self.every = every
        self.chosen: dict[str, Any] = {"include": include, "exclude": exclude, "prefix": prefix}

    def on_epoch_end(
        self,
        args: Any,  # noqa: ARG002 - their signature
        state: Any,
        control: Any,  # noqa: ARG002 - the same
        **given: Any,
    ) -> None:
        """Measure and log, in the first process."""
        if state.is_world_process_zero and round(state.epoch) % self.every == 0:
            self.trainer.log(spectral_norms(given["model"], **self.chosen))
