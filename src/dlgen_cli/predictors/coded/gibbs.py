"""The sample risk of a Gaussian over the coordinates of a network: by draws, or an integral."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from dlgen_cli.datasets import scaled
from dlgen_cli.predictors.coded.gaussian import GaussianCoordinates
from dlgen_cli.predictors.coded.network import CodedNetwork
from dlgen_cli.predictors.evaluation import INDEX_RANGE, require_labelled, wrong_answers
from dlgen_cli.predictors.gaussian_scores import GaussianScores, mean_risk_upper, right_lower

_BATCH = 100  # examples whose features are computed at a time
_UNIT = 2.0**-53


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

    The number is binomial, with ``draws`` trials and the mean ``L_S(Q)``.

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
    errors, start = 0, network.projection.groups[-1].start
    for done, index in enumerate(chosen.tolist(), 1):
        noise = torch.randn(network.projection.dim, generator=source)
        image = scaled(images[index : index + 1], scale)
        logit = network.logits(posterior.coordinates(noise, start), image)
        errors += int(wrong_answers(logit, labels[index : index + 1]).sum())
        if progress is not None and done % _BATCH == 0:
            progress(done, draws)
    return errors


@torch.no_grad()
def coded_risk_upper(
    network: CodedNetwork,
    posterior: GaussianCoordinates,
    images: Tensor,
    labels: Tensor,
    *,
    scale: float,
    progress: Callable[[int, int], None] | None = None,
) -> float | None:
    """Upper end of the risk on a sample, by an integral and without draws.

    With weights ``M + N L^T``, N standard normal, the logits of an example are independent
    Gaussians, ``M x + |L^T x| xi``. For a kernel machine x is ``phi``, and the variance has the
    rest of the process beside it. The prior's deviation multiplies all of them and drops out.
    Features, and what is left of a process beside them, are what float32 gives.

    Args:
        network: as a function of coordinates.
        posterior: over them.
        images: of the sample, as stored.
        labels: int64.
        scale: multiplies every pixel.
        progress: called with the examples that are done, and with all.

    Returns:
        None where the features are not fixed: their logits are no Gaussians.

    Raises:
        DataError: the data do not fit the network.
    """
    require_labelled(images, labels)
    if not network.has_fixed_features or posterior.factor is None:
        return None
    factor = posterior.factor.double()
    head = posterior.mean.reshape(-1, len(factor)).double()
    width = 2 * (len(factor) + 8) * _UNIT
    reach = 2 * width * float(factor.square().sum().sqrt())
    right = []
    for start in range(0, len(images), _BATCH):
        part = slice(start, start + _BATCH)
        features = network.features(scaled(images[part], scale))
        x = features.double()
        variances = (x @ factor).square().sum(1) + network.rest(features).double()
        deviations = variances.sqrt()[:, None].expand(len(x), len(head))
        doubts = torch.linalg.vector_norm(x, dim=1)[:, None] * reach / deviations
        scores = GaussianScores(
            means=x @ head.T,
            deviations=deviations,
            mean_errors=(x.abs() @ head.abs().T) * width,
            deviation_errors=doubts + 32 * _UNIT,
        )
        right.append(right_lower(scores, labels[part]))
        if progress is not None:
            progress(min(start + _BATCH, len(images)), len(images))
    return mean_risk_upper(torch.cat(right))
