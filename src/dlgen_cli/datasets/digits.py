"""The handwritten digits that scikit-learn carries."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from dlgen_cli.datasets.splits import SourceData, Split

TEST_STRIDE = 5


def load_digits() -> SourceData:
    """Load the 1,797 handwritten digits of 8 x 8 pixels that scikit-learn carries.

    The split does not depend on any seed: of the examples of each class, in the order of the
    file, every fifth one (the 5th, 10th, 15th, ...) belongs to the test set. That leaves about
    80 % of every class for training.

    Returns:
        Pixels ``value / 16`` in [0, 1], exact in float32, shape ``(n, 1, 8, 8)``.
    """
    from sklearn import datasets  # takes a second, and only digits needs it

    values, targets = datasets.load_digits(return_X_y=True)
    images = torch.from_numpy(np.asarray(values, dtype=np.float32) / 16).reshape(-1, 1, 8, 8)
    labels = torch.from_numpy(np.asarray(targets, dtype=np.int64))
    test = _every_nth_of_each_class(labels, TEST_STRIDE)
    return SourceData(
        name="digits",
        train=Split(images=images[~test], labels=labels[~test]),
        test=Split(images=images[test], labels=labels[test]),
        indices=torch.nonzero(~test).flatten(),
        classes=tuple(str(digit) for digit in range(10)),
    )


def _every_nth_of_each_class(labels: Tensor, stride: int) -> Tensor:
    chosen = torch.zeros(len(labels), dtype=torch.bool)
    for label in range(int(labels.max()) + 1):
        chosen[torch.nonzero(labels == label).flatten()[stride - 1 :: stride]] = True
    return chosen
