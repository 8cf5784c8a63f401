"""Curves of a run for TensorBoard, where it is installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dlgen_cli.errors import DependencyError

if TYPE_CHECKING:
    from pathlib import Path

    from dlgen_cli.training.progress import Progress, ProgressCallback


@contextmanager
def writing_curves(directory: Path) -> Iterator[ProgressCallback]:
    """Write loss and errors of every epoch.

    Args:
        directory: for TensorBoard's event files.

    Raises:
        DependencyError: tensorboard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise DependencyError(
            "--tensorboard needs the package tensorboard, which is not installed.",
            remedy="Install it with: pip install 'dlgen[tensorboard]'",
        ) from error
    with SummaryWriter(str(directory)) as writer:

        def write(state: Progress) -> None:
            if state.share:
                return
            writer.add_scalar("loss/train", state.loss, state.epoch)
            writer.add_scalar("error/running", state.running_error, state.epoch)
            writer.add_scalar("error/train", state.train_error, state.epoch)
            writer.add_scalar("error/test", state.test_error, state.epoch)
            writer.add_scalar("speed/images_per_second", state.images_per_second, state.epoch)

        yield write
