"""What makes an image the same image: a hash of its pixels, and one of what it looks like."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

#: Bytes kept of each SHA-256: two different images agree with probability 2^-128.
HASH_BYTES = 16
_CELLS = 8  # an axis
#: Bytes of a look: one bit for each pair of neighbouring cells.
LOOK_BYTES = 2 * _CELLS * (_CELLS - 1) // 8
#: Neighbours within this, of levels in [0, 1], are as bright: rounding and JPEG stay below it.
_STEP = 1 / 64
_IMAGE_AXES = 4  # examples, channels, height, width
_PART = 4096  # images


def hash_images(images: Tensor) -> Tensor:
    """Hash every image by its type, shape and pixels; labels do not count.

    Args:
        images: uint8 or float32, shape ``(n, channels, height, width)``, on the CPU.

    Returns:
        uint8, shape ``(n, 16)``: the first bytes of the SHA-256 of each image.
    """
    kind = f"{images.dtype}{tuple(images.shape[1:])}".encode()
    rows = images.contiguous().numpy()
    digests = b"".join(hashlib.sha256(kind + row.tobytes()).digest()[:HASH_BYTES] for row in rows)
    flat = np.frombuffer(digests, dtype=np.uint8).copy()
    return torch.from_numpy(flat).reshape(-1, HASH_BYTES)


def keys_of(hashes: Tensor) -> list[bytes]:
    """The rows of a list of hashes, in order."""
    return [row.tobytes() for row in hashes.contiguous().numpy()]


def looks_of(images: Tensor) -> Tensor:
    """Hash what every image looks like, whatever its type, size and file format.

    A difference hash (Krawetz 2013) in both directions: of the means of grey over 8 x 8 cells, one
    bit for each pair of neighbours in a row and in a column, set where the second is brighter by
    `_STEP`. Copies of an image that was stored anew mostly agree; different images rarely do, but
    for blank ones.

    Args:
        images: as in `hash_images`, or inputs of another shape, which look like nothing.

    Returns:
        uint8, shape ``(n, 14)``; zeros for an image without contrast, and for what is no image.
    """
    if images.ndim != _IMAGE_AXES:
        return torch.zeros((len(images), LOOK_BYTES), dtype=torch.uint8)
    parts = [_looks(images[at : at + _PART]) for at in range(0, len(images), _PART)]
    return torch.cat(parts) if parts else torch.zeros((0, LOOK_BYTES), dtype=torch.uint8)


def _looks(images: Tensor) -> Tensor:
    grey = images.float().mean(dim=1, keepdim=True)
    if images.dtype == torch.uint8:
        grey = grey / 255
    means = functional.adaptive_avg_pool2d(grey, (_CELLS, _CELLS))
    brighter = [(means.diff(dim=axis) > _STEP).flatten(1) for axis in (2, 3)]
    return torch.from_numpy(np.packbits(torch.cat(brighter, dim=1).numpy(), axis=1))
