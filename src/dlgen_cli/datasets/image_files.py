"""Encoded images in files, decoded as they are asked for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event

import numpy as np
import torch
from torch import Tensor

from dlgen_cli.datasets.identity import HASH_BYTES, hash_images
from dlgen_cli.errors import DataError

SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
_ENDINGS = tuple(SUFFIXES)
#: Called as work gets done: what it is, pieces done, pieces in all.
Progress = Callable[[str, int, int], None]
_IMAGES_AT_ONCE = 32  # for a thread, between two reports


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFiles:
    """Encoded images, decoded as they are asked for, on all cores.

    Attributes:
        paths: of the files.
        pattern: the one whose size all must have.
        shape: of every decoded image: channels, height, width.
        progress: called as images are decoded.
    """

    paths: Sequence[str]
    pattern: str
    shape: tuple[int, ...]
    progress: Progress | None = None

    def decode(self) -> Tensor:
        """All of them.

        Returns:
            uint8, shape ``(n, channels, height, width)``.

        Raises:
            DataError: an image is damaged or of another size; the file is named.
        """
        stacked = np.empty((len(self.paths), *self.shape), dtype=np.uint8)

        def keep(position: int, pixels: np.ndarray) -> None:
            stacked[position] = pixels

        self._decode_each(keep)
        return torch.from_numpy(stacked)

    def hashes(self) -> Tensor:
        """`hash_images` of all of them, of which few are in memory at a time.

        Raises:
            DataError: as `decode`.
        """
        found = torch.empty((len(self.paths), HASH_BYTES), dtype=torch.uint8)

        def keep(position: int, pixels: np.ndarray) -> None:
            found[position] = hash_images(torch.from_numpy(pixels.copy()[None]))[0]

        self._decode_each(keep)
        return found

    def only(self, chosen: Tensor | None) -> ImageFiles:
        """The files at these positions, in this order; None for all."""
        if chosen is None:
            return self
        return replace(self, paths=[self.paths[position] for position in chosen.tolist()])

    def _decode_each(self, use: Callable[[int, np.ndarray], None]) -> None:
        """Call ``use`` with the position and the pixels of each image, from several threads."""
        count, has_ended = len(self.paths), Event()

        def read(start: int) -> None:
            for position in range(start, min(start + _IMAGES_AT_ONCE, count)):
                if has_ended.is_set():  # by an error, or by Ctrl-C
                    return
                use(position, self._pixels(self.paths[position]))

        with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
            self._report(0)
            try:
                for done, _ in enumerate(pool.map(read, range(0, count, _IMAGES_AT_ONCE)), 1):
                    self._report(min(done * _IMAGES_AT_ONCE, count))
            finally:
                has_ended.set()

    def _report(self, done: int) -> None:
        if self.progress is not None and self.paths:
            self.progress("decoding images", done, len(self.paths))

    def _pixels(self, path: str) -> np.ndarray:
        pixels = _decode(path, grey=self.shape[0] == 1)
        if pixels.shape != self.shape:
            raise DataError(
                f"{path} has {_size(pixels.shape)} pixels; {_size(self.shape)} were expected, as "
                f"in {Path(self.pattern).name}.",
                remedy="Bring all images to one size.",
            )
        return pixels


def open_images(paths: Sequence[str], progress: Progress | None) -> ImageFiles:
    """Files whose images have the size of the first one, and one channel where it is grey.

    Raises:
        DataError: the first image is damaged.
    """
    first = _decode(paths[0], grey=_is_grey(paths[0]))
    return ImageFiles(paths=paths, pattern=paths[0], shape=first.shape, progress=progress)


def images_in(folder: Path) -> list[str]:
    """The paths of all images below a folder, in the order of their parts.

    Raises:
        DataError: there is none, or a folder cannot be read.
    """
    try:
        found = list(_walk(str(folder)))
    except OSError as error:
        raise DataError(f"{error.filename} cannot be read: {error.strerror}.") from error
    if not found:
        raise DataError(
            f"{folder} holds no image.",
            remedy=f"Images end in one of {', '.join(sorted(SUFFIXES))}.",
        )
    return found


def _walk(folder: str) -> Iterator[str]:
    """Paths as text: of a million files, `Path` objects would take the longest."""
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda one: one.name):
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(entry.path)
            elif entry.name.lower().endswith(_ENDINGS) and entry.is_file():
                yield entry.path


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[2]} x {shape[1]}"


def _is_grey(path: str) -> bool:
    from PIL import Image

    try:
        with Image.open(path) as image:
            return image.mode in {"1", "L"}
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise _damaged(path, error) from error


def _decode(path: str, *, grey: bool) -> np.ndarray:
    """Channels first, uint8."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            if image.mode[0] in "IF":  # converting these would clip them at 255
                raise DataError(
                    f"{path} has more than 8 bits for each value; 8 were expected.",
                    remedy="Convert it to 8 bits.",
                )
            wanted = "L" if grey else "RGB"
            pixels = np.asarray(image if image.mode == wanted else image.convert(wanted))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise _damaged(path, error) from error
    return pixels[None] if grey else np.moveaxis(pixels, 2, 0)


def _damaged(path: str, error: Exception) -> DataError:
    reason = " ".join(str(error).split())
    return DataError(
        f"{path} cannot be read as an image: {reason}.".replace("..", "."),
        remedy="Replace or remove the file.",
    )
