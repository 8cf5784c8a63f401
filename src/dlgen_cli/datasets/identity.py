"""What makes an image the same image: a hash of its pixels, so that overlap is found."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor

from dlgen_cli.datasets.splits import Split

#: Bytes kept of each SHA-256: two different images agree with probability 2^-128.
HASH_BYTES = 16


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


def digest_examples(examples: Split) -> str:
    """SHA-256 of the stored images' bytes followed by the labels' bytes, as hexadecimal digits."""
    result = hashlib.sha256()
    for tensor in (examples.images, examples.labels):
        result.update(tensor.contiguous().numpy().data)
    return result.hexdigest()
