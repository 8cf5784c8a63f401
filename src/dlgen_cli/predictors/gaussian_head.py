"""The sample risk of a Gaussian over the weights that give the logits: a proven end, no draws.

Where everything before those weights is frozen, the features of an example are fixed, and its
logits are sums ``W x + c`` with independent Gaussian rows: independent Gaussians. Features are
what float32 gives; means and deviations are those of exact arithmetic on them, up to errors that
are bounded and paid, see `dlgen_cli.predictors.gaussian_scores`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from dlgen_cli.devices import threads_for
from dlgen_cli.networks.logit_layers import adds_logits
from dlgen_cli.predictors.deviations import Deviation, Factor, is_zero
from dlgen_cli.predictors.evaluation import require_labelled, require_separate, wrong_answers
from dlgen_cli.predictors.gaussian_scores import (
    CELLS,
    GaussianScores,
    mean_risk_upper,
    right_lower,
)
from dlgen_cli.predictors.sample_features import SampleFeatures

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dlgen_cli.datasets import Split
    from dlgen_cli.networks import GraphLayer
    from dlgen_cli.predictors.folded_network import FoldedNetwork, SplitNetwork
    from dlgen_cli.predictors.gibbs import GaussianWeights

_UNIT = 2.0**-53
_BATCH = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadRisks:
    """What was found of some Gaussians, one number for each.

    Attributes:
        risks_upper: of each on the sample.
        mean_errors: of each mean itself in float32, on the whole sample.
        cells: of the quadrature.
    """

    risks_upper: Sequence[float]
    mean_errors: Sequence[int]
    cells: int


def moving_names(weights: GaussianWeights) -> list[str]:
    """The parameters that are random."""
    return [name for name, one in weights.deviations.items() if not is_zero(one)]


def head_risks(
    network: FoldedNetwork,
    predictors: Sequence[GaussianWeights],
    sample: Split,
    *,
    scale: float = 1.0,
    cells: int = CELLS,
    progress: Callable[[int, int], None] | None = None,
) -> HeadRisks | None:
    """Bound the risks of Gaussians around a network on its sample.

    Args:
        network: its parameters are the mean where a Gaussian has none; it computes the features.
        predictors: one or more, all with the same random parameters.
        sample: on the CPU, at least one example.
        scale: multiplies every pixel.
        cells: K of the quadrature.
        progress: is called with the examples that are done, and with all.

    Returns:
        None where the logits are no independent Gaussians: draws are needed then.

    Raises:
        DataError: images and labels do not fit each other or the network.
        CheckpointError: see `require_separate`.
    """
    require_labelled(sample.images, sample.labels)
    moving = moving_names(predictors[0])
    if not adds_logits(network.network, moving):
        return None
    batch, device = network.batch_size(own_weights=False), network.device
    require_separate(network, sample.images, batch=batch, device=device, scale=scale)
    parts = network.split(moving)
    features = SampleFeatures(
        parts,
        sample.images,
        scale=scale,
        device=device,
        batch=batch,
        uses=len(sample.labels) * len(predictors),
    )
    heads = [_Head(network, parts, one) for one in predictors]
    right: list[list[Tensor]] = [[] for _ in predictors]
    errors = [0] * len(predictors)
    with torch.no_grad(), threads_for(network.network.parameters):
        for start in range(0, len(sample.labels), _BATCH):
            part = slice(start, start + _BATCH)
            own, labels = features(part), sample.labels[part]
            for index, head in enumerate(heads):
                scores = head.scores(own)
                if scores is None:
                    return None
                right[index].append(right_lower(scores, labels, cells=cells))
                errors[index] += int(wrong_answers(head.logits(own).cpu(), labels).sum())
            if progress is not None:
                progress(min(start + _BATCH, len(sample.labels)), len(sample.labels))
    risks = [mean_risk_upper(torch.cat(one)) for one in right]
    return HeadRisks(risks_upper=risks, mean_errors=errors, cells=cells)


class _Head:
    """One Gaussian over the weights of the logits; exact numbers are computed on the CPU."""

    def __init__(
        self, network: FoldedNetwork, parts: SplitNetwork, weights: GaussianWeights
    ) -> None:
        self._parts = parts
        self._mean = dict(network.parameters) | {
            name: one.to(network.device) for name, one in weights.mean.items()
        }
        self._exact = {name: one.double().cpu() for name, one in self._mean.items()}
        self._deviations = weights.deviations

    def logits(self, features: tuple[Tensor, ...]) -> Tensor:
        """Those of the mean, in float32."""
        return self._parts.logits(self._mean, features)

    def scores(self, features: tuple[Tensor, ...]) -> GaussianScores | None:
        """Means and deviations of the logits; None where they are not plain sums."""
        exact = tuple(one.double().cpu() for one in features)
        weights = _Weights()
        if not bool((self._parts.logits(self._exact, exact, weights) == weights.total).all()):
            return None
        means, sizes, variances, doubts = (
            self._parts.logits(self._exact, exact, one)
            for one in (None, _Sizes(), _Variances(self._deviations), _Doubts(self._deviations))
        )
        deviations = variances.sqrt()
        return GaussianScores(
            means=means,
            deviations=deviations,
            mean_errors=sizes * (2 * weights.width * _UNIT),
            deviation_errors=(doubts.sqrt() / deviations).nan_to_num_(nan=0.0) + 32 * _UNIT,
        )


class _Weights:
    """Each layer gives a power of 4, so that their sum tells how often, and with which sign."""

    def __init__(self) -> None:
        self.total = 0.0
        self.width = 8
        self._next = 1.0

    def apply(
        self, _: GraphLayer, x: Tensor, weight: Tensor, __: Tensor | None, *, is_shared: bool
    ) -> Tensor:
        del is_shared
        own, self._next = self._next, 4 * self._next
        self.total += own
        self.width += x.shape[1] + 2
        return x.new_full((len(x), len(weight)), own)


class _Sizes:
    """Sums of absolute values: what the rounding of a logit is relative to."""

    def apply(
        self, _: GraphLayer, x: Tensor, weight: Tensor, bias: Tensor | None, *, is_shared: bool
    ) -> Tensor:
        del is_shared
        return functional.linear(x.abs(), weight.abs(), None if bias is None else bias.abs())


class _Variances:
    """Variances of the outputs of each layer."""

    def __init__(self, deviations: Mapping[str, Deviation]) -> None:
        self._deviations = deviations

    def apply(
        self, layer: GraphLayer, x: Tensor, weight: Tensor, bias: Tensor | None, *, is_shared: bool
    ) -> Tensor:
        del is_shared
        found = _variances(x, self._deviations[layer.weight_name]).expand(len(x), len(weight))
        if bias is None:
            return found
        of_bias = self._deviations[layer.bias_name or ""]
        own = of_bias.matrix[0] if isinstance(of_bias, Factor) else of_bias
        return found + torch.as_tensor(own, dtype=torch.float64).square()


class _Doubts:
    """Squares of what the deviations of the outputs of each layer may err by."""

    def __init__(self, deviations: Mapping[str, Deviation]) -> None:
        self._deviations = deviations

    def apply(
        self, layer: GraphLayer, x: Tensor, weight: Tensor, _: Tensor | None, *, is_shared: bool
    ) -> Tensor:
        del is_shared
        deviation = self._deviations[layer.weight_name]
        if isinstance(deviation, Factor):
            size = float(deviation.matrix.double().square().sum().sqrt())
        else:  # at least each entry's
            size = float(torch.as_tensor(deviation, dtype=torch.float64).abs().max())
        reach = 4 * (x.shape[1] + 8) * _UNIT * size
        found: Tensor = (torch.linalg.vector_norm(x, dim=1, keepdim=True) * reach).square()
        return found.expand(len(x), len(weight))


def _variances(x: Tensor, deviation: Deviation) -> Tensor:
    """Variances of ``W x``, shape ``(n, 1)`` or ``(n, outputs)``."""
    if isinstance(deviation, Factor):
        rows = x @ deviation.matrix.double()
    elif isinstance(deviation, Tensor):
        found: Tensor = x.square() @ deviation.double().square().mT
        return found
    else:
        rows = x * deviation
    return rows.square().sum(dim=1, keepdim=True)
