"""Labelled examples as a caller gives them: a name or folder, arrays, tensors, or a `Dataset`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from dlgen_cli.datasets import SourceData, Split
from dlgen_cli.errors import DataError, UsageError

#: Images and labels as a pair of arrays or tensors, or a `Dataset` of such pairs.
LabelledData: TypeAlias = Sequence[Any] | Dataset[Any]


def in_memory(sample: LabelledData, holdout: LabelledData) -> SourceData:
    """Examples in memory as a source.

    Args:
        sample: what the network was trained on.
        holdout: what neither training nor any choice has seen.

    Raises:
        DataError: they are no images and labels, or do not fit each other.
    """
    train, test = _split("data", sample), _split("holdout", holdout)
    if train.images.shape[1:] != test.images.shape[1:]:
        raise DataError(
            f"An example of data has the shape {tuple(train.images.shape[1:])}, one of holdout "
            f"{tuple(test.images.shape[1:])}."
        )
    classes = 1 + max(int(train.labels.max()), int(test.labels.max()))
    return SourceData(
        name="examples in memory",
        train=train,
        test=test,
        indices=torch.arange(len(train)),
        classes=tuple(map(str, range(classes))),
    )


def _split(name: str, given: LabelledData) -> Split:
    images, labels = _pair(name, given)
    if images.dtype != torch.uint8:
        if not images.is_floating_point():
            raise DataError(
                f"{name} holds {images.dtype}; uint8 images or floats were expected.",
                remedy="Convert the inputs as the network expects them.",
            )
        images = images.float()
    if (
        labels.is_floating_point()
        or labels.ndim != 1
        or len(labels) != len(images)
        or not len(labels)
    ):
        raise DataError(
            f"{name} holds {len(images)} inputs and labels of shape {tuple(labels.shape)} and type "
            f"{labels.dtype}; one whole number for each input was expected."
        )
    if int(labels.min()) < 0:
        raise DataError(f"{name} holds a label of {int(labels.min())}; 0 and up was expected.")
    return Split(images=images.contiguous(), labels=labels.long())


def _pair(name: str, given: LabelledData) -> tuple[Tensor, Tensor]:
    if isinstance(given, Dataset):
        return _stacked(name, given)
    if isinstance(given, Sequence) and not isinstance(given, str) and len(given) == 2:
        return _tensor(given[0]), _tensor(given[1])
    raise UsageError(
        f"{name} is a {type(given).__name__}; inputs and labels as (X, y), or a Dataset, was "
        "expected."
    )


def _stacked(name: str, dataset: Dataset[Any]) -> tuple[Tensor, Tensor]:
    inputs, labels = [], []
    try:
        for index in range(len(dataset)):  # type: ignore[arg-type]  # map-style, or refused below
            one, label = dataset[index]
            inputs.append(_tensor(one))
            labels.append(int(label))
        return torch.stack(inputs), torch.tensor(labels)
    except (TypeError, ValueError, RuntimeError, NotImplementedError) as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"{name}: the examples of {type(dataset).__name__} cannot be stacked ({reason}).",
            remedy="Give a map-style Dataset of (tensor, label) pairs of one shape.",
        ) from error


def _tensor(value: object) -> Tensor:
    if isinstance(value, Tensor):
        return value.detach().cpu()
    return torch.from_numpy(np.ascontiguousarray(value))
