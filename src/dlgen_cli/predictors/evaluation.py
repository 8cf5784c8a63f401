"""The number of labelled examples that a predictor gets wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from dlgen_cli.datasets import scaled
from dlgen_cli.devices import keep_freed_memory
from dlgen_cli.errors import CheckpointError, DataError

#: Indices of examples are drawn below this and reduced: uniform to within examples / 2^62.
INDEX_RANGE = 1 << 62
_TOGETHER = 8  # examples that are answered to see whether they mix
_APART = 1e-3  # of the largest logit: what rounding may change


@torch.no_grad()
def count_errors(
    predict: Callable[[Tensor], Tensor],
    images: Tensor,
    labels: Tensor,
    *,
    batch: int,
    device: torch.device,
    scale: float = 1.0,
    tick: Callable[[int], None] | None = None,
) -> int:
    """Count the 0-1 errors of a predictor, exactly.

    Args:
        predict: float32 inputs on the device to logits of shape ``(n, classes)``; in evaluation
            mode, as `FoldedNetwork` always is.
        images: on the CPU, shape ``(n, ...)``, see `as_inputs`.
        labels: int64, shape ``(n,)``, in ``0 .. classes - 1``.
        batch: examples that are evaluated at a time, at least 1.
        device: where to compute.
        scale: multiplies every pixel.
        tick: called with the number of examples done.

    Returns:
        The number of examples whose label's logit is not strictly the largest. A tie is an
        error, and so are logits with a NaN.

    Raises:
        DataError: images and labels do not fit each other or the logits.
        CheckpointError: see `require_separate`.
    """
    require_labelled(images, labels)
    keep_freed_memory()
    require_separate(predict, images, batch=batch, device=device, scale=scale)
    errors = 0
    for start in range(0, len(labels), batch):
        part = slice(start, start + batch)
        logits = predict(as_inputs(images[part], device, scale))
        errors += int(wrong_answers(logits, labels[part].to(device)).sum())
        if tick is not None:
            tick(min(part.stop, len(labels)))
    return errors


@torch.no_grad()
def count_disagreements(
    networks: Sequence[tuple[Callable[[Tensor], Tensor], float]],
    images: Tensor,
    *,
    batch: int,
    device: torch.device,
    tick: Callable[[int], None] | None = None,
) -> int:
    """Count the examples on which predictors do not all answer one and the same class.

    Args:
        networks: each as in `count_errors`, with the scale of its pixels.
        images: on the CPU, shape ``(n, ...)``, see `as_inputs`.
        batch: examples that are evaluated at a time, at least 1.
        device: where to compute.
        tick: called with the number of examples done.

    Returns:
        The number of examples without a common answer. A tie or a NaN is no answer.

    Raises:
        DataError: the logits of a network are not one row of two or more for each example.
        CheckpointError: see `require_separate`.
    """
    keep_freed_memory()
    for predict, scale in networks:
        require_separate(predict, images, batch=batch, device=device, scale=scale)
    apart = 0
    for start in range(0, len(images), batch):
        part = images[start : start + batch]
        answers = [
            sole_answers(predict(as_inputs(part, device, scale))) for predict, scale in networks
        ]
        first = answers[0]
        agree = first >= 0
        for one in answers[1:]:
            agree &= one == first
        apart += int((~agree).sum())
        if tick is not None:
            tick(min(start + batch, len(images)))
    return apart


@torch.no_grad()
def require_separate(
    predict: Callable[[Tensor], Tensor],
    images: Tensor,
    *,
    batch: int,
    device: torch.device,
    scale: float = 1.0,
) -> None:
    """Refuse a predictor that mixes the examples of a batch: its errors are not independent.

    One example is answered twice: beside copies of itself, and beside others of the images.

    Args:
        predict: as in `count_errors`.
        images: on the CPU, of which the first is answered.
        batch: examples that are evaluated at a time; one alone mixes with nothing.
        device: where to compute.
        scale: multiplies every pixel.

    Raises:
        CheckpointError: the two answers differ by more than rounding.
    """
    count = min(batch, _TOGETHER, len(images))
    if count < 2:
        return
    spread = torch.linspace(0, len(images) - 1, count).round().to(torch.int64)
    copies = torch.zeros_like(spread)
    found = [predict(as_inputs(images[one], device, scale)) for one in (copies, spread)]
    if any(one.ndim != 2 or len(one) != count or not one.numel() for one in found):
        return  # what takes the logits says so
    alone, beside = torch.stack([one[0] for one in found]).cpu().to(torch.float64)
    largest = torch.nan_to_num(alone.abs(), 0.0, 0.0).max()
    if not torch.allclose(alone, beside, rtol=0.0, atol=float(_APART * largest), equal_nan=True):
        raise CheckpointError(
            "The network's answer to an example depends on the other examples of its batch; each "
            "must be answered by itself.",
            remedy="Let it take means, maxima and the like within one example.",
        )


def sole_answers(logits: Tensor) -> Tensor:
    """The class of the strictly largest logit, or -1 where there is none.

    Args:
        logits: shape ``(n, classes)``, two classes or more.

    Returns:
        int64, shape ``(n,)``.

    Raises:
        DataError: the logits have another shape.
    """
    if logits.ndim != 2 or logits.shape[1] < 2:
        raise DataError(
            f"A network's output has shape {tuple(logits.shape)}; one row of two logits or more "
            "for each example was expected.",
            remedy="Give a checkpoint of a classifier.",
        )
    largest, classes = logits.topk(2, dim=1)
    is_sole = (largest[:, 0] > largest[:, 1]) & ~logits.isnan().any(dim=1)
    return torch.where(is_sole, classes[:, 0], -1)


def as_inputs(images: Tensor, device: torch.device, scale: float) -> Tensor:
    """Pixels to what the network takes: ``scale * pixel`` in float32, on the device.

    Args:
        images: floats are pixels as they are; a uint8 is the pixel ``value / 255``.
        device: where to compute.
        scale: multiplies every pixel.
    """
    return scaled(images.to(device), scale)


def wrong_answers(logits: Tensor, labels: Tensor) -> Tensor:
    """Which examples are answered wrongly.

    Args:
        logits: shape ``(n, classes)``.
        labels: int64, shape ``(n,)``, on the same device.

    Returns:
        Booleans, shape ``(n,)``: False only where the label's logit is strictly the largest.

    Raises:
        DataError: the logits have another shape, or a label has no logit.
    """
    if logits.ndim != 2 or len(logits) != len(labels):
        raise DataError(
            f"The network's output for {len(labels)} examples has shape {tuple(logits.shape)}; "
            "one row of logits for each example was expected.",
            remedy="Give a checkpoint of a classifier.",
        )
    largest = int(labels.max()) if len(labels) else 0
    if largest >= logits.shape[1]:
        raise DataError(
            f"A label is {largest}, but the network has {logits.shape[1]} classes.",
            remedy="Give the data that the checkpoint was trained for.",
        )
    own = logits.gather(1, labels[:, None])
    others = logits.scatter(1, labels[:, None], -torch.inf).amax(dim=1)
    return ~(own[:, 0] > others)  # a comparison with NaN is False


def require_labelled(images: Tensor, labels: Tensor) -> None:
    """Refuse images and labels that do not fit each other.

    Raises:
        DataError: there is no example, the numbers differ, or a label is no class.
    """
    if len(images) != len(labels) or labels.ndim != 1 or not len(labels):
        raise DataError(
            f"There are {len(images)} images and labels of shape {tuple(labels.shape)}; one label "
            "for each image, and at least one image, was expected."
        )
    if labels.dtype != torch.int64 or int(labels.min()) < 0:
        raise DataError(
            f"Labels are {labels.dtype} from {labels.min()}; int64 from 0 was expected."
        )
    if images.dtype != torch.uint8 and not images.is_floating_point():
        raise DataError(f"Images are {images.dtype}; uint8 or floating point was expected.")
