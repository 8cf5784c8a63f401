"""Errors of a Gaussian over the coordinates of a network: one example for each draw."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from dlgen_cli.datasets import scaled
from dlgen_cli.predictors.coded.gaussian import GaussianCoordinates
from dlgen_cli.predictors.coded.network import CodedNetwork
from dlgen_cli.predictors.evaluation import INDEX_RANGE, require_labelled, wrong_answers

_BATCH = 100  # examples whose features are computed at a time
_DRAWS = 10_000  # draws of logits at a time


@torch.no_grad()
def coded_gibbs_errors(
    network: CodedNetwork,
    posterior: GaussianCoordinates,
    images: Tensor,
    labels: Tensor,
    *,
    draws: int,
    seed: int,
    scale: float,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Count the errors of independent draws, each scored on one example drawn for it alone.

    The number is binomial, with ``draws`` trials and the mean ``L_S(Q)``. Where the features are
    fixed the logits themselves are drawn: with weights ``M + N L^T``, N standard normal, they are
    ``M x + |L^T x| xi``, xi standard normal, the same distribution. For a kernel machine x is
    ``phi``, and the variance has the rest of the process beside it.

    Args:
        network: as a function of coordinates.
        posterior: over them.
        images: of the sample, as stored.
        labels: int64.
        draws: at least 1.
        seed: of weights and examples.
        scale: multiplies every pixel.
        progress: called with the draws that are done, and with all.

    Returns:
        Draws whose label's logit is not strictly the largest.

    Raises:
        DataError: the data do not fit the network.
    """
    require_labelled(images, labels)
    source = torch.Generator().manual_seed(seed)
    chosen = torch.randint(INDEX_RANGE, (draws,), generator=source) % len(labels)
    if network.has_fixed_features and posterior.factor is not None:
        logits = _fixed(network, posterior, images, scale, chosen, progress)
        return _count_fixed(*logits, chosen, labels, source)
    errors, start = 0, network.projection.groups[-1].start
    for done, index in enumerate(chosen.tolist(), 1):
        noise = torch.randn(network.projection.dim, generator=source)
        image = scaled(images[index : index + 1], scale)
        logit = network.logits(posterior.coordinates(noise, start), image)
        errors += int(wrong_answers(logit, labels[index : index + 1]).sum())
        if progress is not None and done % _BATCH == 0:
            progress(done, draws)
    return errors


def _fixed(
    network: CodedNetwork,
    posterior: GaussianCoordinates,
    images: Tensor,
    scale: float,
    chosen: Tensor,
    progress: Callable[[int, int], None] | None,
) -> tuple[Tensor, Tensor]:
    """Means and deviations of the logits of every example that a draw meets; others stay 0."""
    assert posterior.factor is not None  # noqa: S101  the caller has looked
    head = posterior.mean.reshape(-1, len(posterior.factor))
    means, deviations = torch.zeros(len(images), len(head)), torch.zeros(len(images))
    indices = torch.unique(chosen)
    done = 0
    for part in torch.split(indices, _BATCH):
        features = network.features(scaled(images[part], scale))
        variances = (features @ posterior.factor).square().sum(1) + network.rest(features)
        means[part], deviations[part] = features @ head.T, variances.sqrt()
        done += len(part)
        if progress is not None:
            progress(len(chosen) * done // len(indices), len(chosen))
    return means * posterior.scale, deviations * posterior.scale


def _count_fixed(
    means: Tensor, deviations: Tensor, chosen: Tensor, labels: Tensor, source: torch.Generator
) -> int:
    errors = 0
    for part in torch.split(chosen, _DRAWS):
        noise = torch.randn(len(part), means.shape[1], generator=source)
        logits = means[part] + deviations[part, None] * noise
        errors += int(wrong_answers(logits, labels[part]).sum())
    return errors
