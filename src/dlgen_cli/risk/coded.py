"""Errors of a Gaussian over the coordinates of a network: one example for each draw."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from dlgen_cli.coded.gaussian import GaussianCoordinates
from dlgen_cli.coded.network import CodedNetwork
from dlgen_cli.datasets import scaled
from dlgen_cli.risk.evaluation import require_labelled, wrong_answers

_FEATURE_BATCH = 100


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
        progress: told how many draws of how many are done.

    Returns:
        Draws whose label's logit is not strictly the largest.

    Raises:
        DataError: the data do not fit the network.
    """
    require_labelled(images, labels)
    source = torch.Generator().manual_seed(seed)
    chosen = torch.randint(len(labels), (draws,), generator=source)
    is_fixed = network.has_fixed_features and posterior.factor is not None
    score = _score_features if is_fixed else _score_weights
    size = _FEATURE_BATCH if is_fixed else 1
    errors, done = 0, 0
    for part in torch.split(chosen, size):
        logits = score(network, posterior, scaled(images[part], scale), source)
        errors += int(wrong_answers(logits, labels[part]).sum())
        done += len(part)
        if progress is not None and done % _FEATURE_BATCH == 0:
            progress(done, draws)
    return errors


def _score_weights(
    network: CodedNetwork, posterior: GaussianCoordinates, image: Tensor, source: torch.Generator
) -> Tensor:
    noise = torch.randn(network.projection.dim, generator=source)
    start = network.projection.groups[-1].start
    return network.logits(posterior.coordinates(noise, start), image)


def _score_features(
    network: CodedNetwork, posterior: GaussianCoordinates, images: Tensor, source: torch.Generator
) -> Tensor:
    assert posterior.factor is not None  # noqa: S101  the caller has looked
    features = network.features(images)
    head = posterior.mean.reshape(-1, len(posterior.factor))
    variances = (features @ posterior.factor).square().sum(1) + network.rest(features)
    deviations = variances.sqrt()[:, None]
    noise = torch.randn(len(features), len(head), generator=source)
    return (features @ head.T + deviations * noise) * posterior.scale
