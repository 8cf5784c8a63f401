"""The empirical 0-1 risk of a Gaussian distribution over weights, by Monte Carlo.

The Gibbs predictor draws weights from ``Q = N(theta, diag(s^2))`` for every prediction; its
empirical risk ``L_S(Q)`` is its mean error on the m examples of a sample S. Every draw of weights
is scored on one example, uniform in S: the n results are independent Bernoulli variables of mean
``L_S(Q)``, and the Clopper-Pearson limit of the errors in n trials holds. A draw scored on the
whole sample would count as one draw too, and cost m evaluations.

The predictor's definition includes its arithmetic: float32 (TF32 is off), weights and deviations
rounded to float32. The noise of most layers is drawn at their outputs, which has the law of
perturbed weights before rounding. The generator's numbers are taken for independent standard
normals. Numbers are drawn on the device, so counts repeat on the same kind of device and for the
same batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dlgen_cli.datasets import Split
from dlgen_cli.devices import keep_freed_memory, threads_for
from dlgen_cli.errors import UsageError
from dlgen_cli.predictors.deviations import Deviation, is_zero, to_device
from dlgen_cli.predictors.evaluation import (
    INDEX_RANGE,
    require_labelled,
    require_separate,
    wrong_answers,
)
from dlgen_cli.predictors.folded_network import FoldedNetwork, SplitNetwork, replace_parameters
from dlgen_cli.predictors.monte_carlo_state import MonteCarlo, resume, start
from dlgen_cli.predictors.sample_features import SampleFeatures
from dlgen_cli.predictors.sampling import Noise, WeightSampler

Progress = Callable[[int, int], None]
Save = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class GaussianWeights:
    """An independent Gaussian for each parameter of a network.

    Attributes:
        deviations: one of every parameter, see `standard_deviations` and `Deviation`.
        mean: the parameters whose mean is not the network's own.
    """

    deviations: Mapping[str, Deviation]
    mean: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draws:
    """How many weights are drawn, and how an interrupted run goes on.

    Attributes:
        count: n, at least 1; fixed before any result is seen.
        seed: of all random numbers.
        batch: examples that are evaluated at a time; `FoldedNetwork.batch_size` where None.
        state: what an interrupted run saved last, to go on from there.
        save: is given the state after every step, for ``torch.save``.
        progress: is called with the draws that are done and with ``count``.
    """

    count: int
    seed: int
    batch: int | None = None
    state: Mapping[str, Any] | None = None
    save: Save | None = None
    progress: Progress | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GibbsCounts:
    """Errors of Gibbs predictors, one number for each.

    Attributes:
        errors: 0-1 errors out of `Draws.count`.
        mean_errors: errors of each mean itself on the whole sample; None where they would have
            cost a pass of their own.
    """

    errors: Sequence[int]
    mean_errors: Sequence[int] | None


def standard_deviations(
    network: FoldedNetwork,
    sigma: float,
    *,
    relative_to: Mapping[str, float] | None = None,
    frozen: Sequence[str] = (),
) -> dict[str, float]:
    """The standard deviation of the entries of every parameter.

    Args:
        network: names the parameters.
        sigma: above 0.
        relative_to: multiplies sigma, by parameter, for example by an anchor's own scale; at
            least 0. 1 where None.
        frozen: parameters that stay as they are.

    Returns:
        Float32 values, so that the distribution that is evaluated is the one that is stated.

    Raises:
        UsageError: a deviation is not a number from 0 to the largest of float32, or is lost in
            rounding.
    """
    found = {}
    for name in network.parameters:
        factor = 1.0 if relative_to is None else relative_to[name]
        exact = 0.0 if name in frozen else sigma * factor
        with np.errstate(over="ignore", under="ignore"):
            rounded = float(np.float32(exact))
        if not 0 <= rounded < np.inf or (rounded == 0) != (exact == 0):
            raise UsageError(
                f"The standard deviation of {name} is {exact:g}; a float32 from 0 was expected.",
                remedy="Give another --sigma.",
            )
        found[name] = rounded
    return found


def gibbs_errors(
    network: FoldedNetwork,
    predictors: Sequence[GaussianWeights],
    sample: Split,
    draws: Draws,
    *,
    scale: float = 1.0,
) -> GibbsCounts:
    """Count the errors of Gibbs predictors around a network.

    Several predictors are scored in one pass: examples and standard normals are drawn once for
    all, and what comes before the first layer in which they may differ is computed once. Each
    count alone is distributed as if it were drawn alone; together they are dependent, so that
    statements about several of them share delta. Where all predictors freeze the same parameters
    and have deviations of the same forms, each count is the one that a run of its own gives.

    Args:
        network: its parameters are the mean; on the device that computes.
        predictors: one or more.
        sample: on the CPU, see `as_inputs`.
        draws: their number and seed.
        scale: multiplies every pixel.

    Raises:
        UsageError: fewer than one draw or predictor, or the state is of another run.
        DataError: images and labels do not fit each other or the network.
        CheckpointError: see `require_separate`.
    """
    require_labelled(sample.images, sample.labels)
    keep_freed_memory()
    _require_deviations(network, predictors, draws.count)
    deviations = [one.deviations for one in predictors]
    size = draws.batch or network.batch_size(own_weights=True, deviations=deviations)
    require_separate(network, sample.images, batch=size, device=network.device, scale=scale)
    placed = [_on_device(one, network) for one in predictors]
    run = start(len(predictors), draws.count, draws.seed, network.device)
    if draws.state is not None or draws.save is not None:
        means = [one.mean for one in placed]
        run.identify(means, deviations, sample.images, sample.labels, scale, size)
    if draws.state is not None:
        resume(run, draws.state)
    parts = network.split(_varying(network, placed))
    features = SampleFeatures(
        parts,
        sample.images,
        scale=scale,
        device=network.device,
        batch=min(size, network.batch_size(own_weights=False)),
        uses=draws.count - run.done,
    )
    with torch.no_grad(), threads_for(network.network.parameters), _full_precision():
        while run.done < draws.count:
            _score(run, parts, placed, features, sample.labels, size)
            if draws.save is not None:
                draws.save(run.saved())
            if draws.progress is not None:
                draws.progress(run.done, draws.count)
        mean_errors = (
            [_mean_errors(parts, one, features, sample.labels, size) for one in placed]
            if features.is_kept
            else None
        )
    return GibbsCounts(errors=tuple(run.errors), mean_errors=mean_errors)


def _require_deviations(
    network: FoldedNetwork, predictors: Sequence[GaussianWeights], count: int
) -> None:
    if count < 1 or not predictors:
        raise UsageError(
            f"{count} draws of weights for {len(predictors)} distributions were asked for; at "
            "least 1 of each was expected."
        )
    for one in predictors:
        if one.deviations.keys() != network.parameters.keys():
            raise UsageError("Every parameter needs a standard deviation, and nothing else has.")


def _on_device(predictor: GaussianWeights, network: FoldedNetwork) -> GaussianWeights:
    """The same Gaussian with a mean of every parameter, where the network computes."""
    whole = replace_parameters(network, predictor.mean) if predictor.mean else network
    return GaussianWeights(
        mean=whole.parameters,
        deviations={
            name: to_device(one, network.device) for name, one in predictor.deviations.items()
        },
    )


def _varying(network: FoldedNetwork, predictors: Sequence[GaussianWeights]) -> list[str]:
    """The parameters in which an evaluation may differ from that of the network."""
    return [
        name
        for name, own in network.parameters.items()
        if any(
            not is_zero(one.deviations[name]) or not torch.equal(one.mean[name], own)
            for one in predictors
        )
    ]


def _score(
    run: MonteCarlo,
    network: SplitNetwork,
    predictors: Sequence[GaussianWeights],
    sample: SampleFeatures,
    labels: Tensor,
    batch: int,
) -> None:
    """One batch of examples drawn with replacement, each under weights of its own."""
    size = min(batch, run.count - run.done)
    chosen = torch.randint(INDEX_RANGE, (size,), generator=run.choice) % len(labels)
    features = sample(chosen)
    truth = labels[chosen].to(run.noise.device)
    noise = Noise(generator=run.noise, keeps_all=len(predictors) > 1)
    for index, one in enumerate(predictors):
        sampler = WeightSampler(deviations=one.deviations, noise=noise)
        logits = network.logits(one.mean, features, sampler)
        run.errors[index] += int(wrong_answers(logits, truth).sum())
    run.done += size


def _mean_errors(
    network: SplitNetwork,
    predictor: GaussianWeights,
    sample: SampleFeatures,
    labels: Tensor,
    batch: int,
) -> int:
    """Errors of the mean on the whole sample."""
    errors = 0
    for start_at in range(0, len(labels), batch):
        part = slice(start_at, start_at + batch)
        logits = network.logits(predictor.mean, sample(part))
        errors += int(wrong_answers(logits, labels[part].to(logits.device)).sum())
    return errors


def _full_precision() -> Any:
    """Convolutions in float32 proper on devices that would shorten their factors."""
    return torch.backends.cudnn.flags(allow_tf32=False)
