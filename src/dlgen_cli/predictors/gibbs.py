"""The empirical 0-1 risk of a Gaussian distribution over weights, by Monte Carlo.

The Gibbs predictor draws weights from ``Q = N(theta, diag(s^2))`` for every prediction; its
empirical risk ``L_S(Q)`` is its mean error on the m examples of a sample S. Two unbiased
estimates of it:

- ``trials``: every draw of weights is scored on one example, uniform in S. The n results are
  independent Bernoulli variables of mean ``L_S(Q)``: the Clopper-Pearson limit of ``errors`` in
  ``draws`` trials holds.
- ``draws``: every draw is scored on all of S. The n error rates are independent and in [0, 1]
  with mean ``L_S(Q)``: ``kl^-1(mean | ln(1/delta')/n)`` holds, with n the number of draws and
  not of evaluations.

Both bound ``L_S(Q)`` in terms of n, so a trial buys what a pass over the whole sample buys.

The predictor's definition includes its arithmetic: float32 (TF32 is off), weights and deviations
rounded to float32. ``trials`` draws the noise of most layers at their outputs, which has the law
of perturbed weights before rounding; ``draws`` perturbs the weights themselves. The generator's
numbers are taken for independent standard normals. Numbers are drawn on the device, so counts
repeat on the same kind of device and for the same batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from dlgen_cli.devices import keep_freed_memory, threads_for
from dlgen_cli.errors import UsageError
from dlgen_cli.predictors.deviations import Deviation, is_still, perturb, to_device
from dlgen_cli.predictors.evaluation import require_labelled, wrong_answers
from dlgen_cli.predictors.folded_network import FoldedNetwork, SplitNetwork, replace_parameters
from dlgen_cli.predictors.monte_carlo_state import MonteCarlo, resume, start
from dlgen_cli.predictors.sample_features import SampleFeatures
from dlgen_cli.predictors.sampling import Noise, WeightSampler

Kind = Literal["trials", "draws"]
Progress = Callable[[int, int], None]
Save = Callable[[dict[str, Any]], None]

#: Indices are drawn below this and reduced: uniform to within examples / 2^62.
_INDEX_RANGE = 1 << 62


@dataclass(frozen=True, slots=True, kw_only=True)
class GibbsCounts:
    """Errors of the Gibbs predictor, for each set of deviations.

    Attributes:
        kind: ``trials`` or ``draws``, see the module.
        draws: n, the independent draws of weights: the count of the concentration argument.
        examples: m, the size of the sample.
        errors: 0-1 errors in all, out of ``evaluations``.
        draw_errors: ``draws``: errors of each draw, out of ``examples``; empty for ``trials``.
        mean_errors: errors of each mean itself, out of ``examples``; None where they would have
            cost a pass of their own.
    """

    kind: Kind
    draws: int
    examples: int
    errors: Sequence[int]
    draw_errors: Sequence[Sequence[int]] = ()
    mean_errors: Sequence[int] | None = None

    @property
    def evaluations(self) -> int:
        """Predictions that were made for each set of deviations."""
        return self.draws * (1 if self.kind == "trials" else self.examples)


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
    deviations: Sequence[Mapping[str, Deviation]],
    images: Tensor,
    labels: Tensor,
    *,
    count: int,
    seed: int,
    means: Sequence[Mapping[str, Tensor]] | None = None,
    kind: Kind = "trials",
    scale: float = 1.0,
    batch: int | None = None,
    state: Mapping[str, Any] | None = None,
    save: Save | None = None,
    progress: Progress | None = None,
) -> GibbsCounts:
    """Count the errors of Gibbs predictors around a network.

    Several predictors are scored in one pass: examples and standard normals are drawn once for
    all, and what comes before the first layer in which they may differ is computed once. Each
    count alone is distributed as if it were drawn alone; together they are dependent, so that
    statements about several of them share delta. Where all sets freeze the same parameters and
    have the same forms, each count is the one that a run of its own gives.

    Args:
        network: its parameters are the mean; on the device that computes.
        deviations: one set or more, each with one of every parameter, see `standard_deviations`
            and `Deviation`.
        images: the sample, on the CPU, see `as_inputs`.
        labels: int64, shape ``(m,)``.
        count: n, at least 1; fixed before any result is seen.
        seed: of all random numbers.
        means: for each set of deviations the parameters that differ from the network's.
        kind: what one draw of weights is scored on.
        scale: multiplies every pixel.
        batch: examples that are evaluated at a time; `FoldedNetwork.batch_size` where None.
        state: what an interrupted run saved last, to go on from there.
        save: is given the state after every step, for ``torch.save``.
        progress: is told how many of the ``count`` draws are done.

    Raises:
        UsageError: ``count`` is below 1, or the state is of another run.
        DataError: images and labels do not fit each other or the network.
    """
    require_labelled(images, labels)
    keep_freed_memory()
    _require_deviations(network, deviations, count)
    predictors = _predictors(network, deviations, means)
    size = batch or network.batch_size(own_weights=kind == "trials", deviations=deviations)
    run = start(kind, len(deviations), count, seed, network.device)
    if state is not None or save is not None:
        run.identify([one.mean for one in predictors], deviations, images, labels, scale, size)
    if state is not None:
        resume(run, state)
    parts = network.split(_moving(network, predictors))
    features = SampleFeatures(
        parts,
        images,
        scale=scale,
        device=network.device,
        batch=min(size, network.batch_size(own_weights=False)),
        uses=(count - run.done) * (1 if kind == "trials" else len(labels)),
    )
    step = _score_trials if kind == "trials" else _score_draw
    with torch.no_grad(), threads_for(network.network.parameters), _full_precision():
        while run.done < count:
            step(run, parts, predictors, features, labels, size)
            if save is not None:
                save(run.saved())
            if progress is not None:
                progress(run.done, count)
        mean_errors = (
            [_mean_errors(parts, one, features, labels, size) for one in predictors]
            if features.is_kept
            else None
        )
    errors = tuple(sum(one) for one in run.errors)
    return GibbsCounts(
        kind=kind,
        draws=count,
        examples=len(labels),
        errors=errors,
        draw_errors=tuple(tuple(one) for one in run.errors) if kind == "draws" else (),
        mean_errors=mean_errors,
    )


@dataclass(frozen=True, slots=True)
class _Predictor:
    """A Gaussian over the parameters, on the device that computes."""

    mean: Mapping[str, Tensor]
    deviations: Mapping[str, Deviation]


def _require_deviations(
    network: FoldedNetwork, deviations: Sequence[Mapping[str, Deviation]], count: int
) -> None:
    if count < 1 or not deviations:
        raise UsageError(
            f"{count} draws of weights for {len(deviations)} distributions were asked for; at "
            "least 1 of each was expected."
        )
    for one in deviations:
        if one.keys() != network.parameters.keys():
            raise UsageError("Every parameter needs a standard deviation, and nothing else has.")


def _predictors(
    network: FoldedNetwork,
    deviations: Sequence[Mapping[str, Deviation]],
    means: Sequence[Mapping[str, Tensor]] | None,
) -> list[_Predictor]:
    placed = [
        {name: to_device(one, network.device) for name, one in those.items()}
        for those in deviations
    ]
    if means is None:
        return [_Predictor(network.parameters, those) for those in placed]
    return [
        _Predictor(replace_parameters(network, mean).parameters, those)
        for mean, those in zip(means, placed, strict=True)
    ]


def _moving(network: FoldedNetwork, predictors: Sequence[_Predictor]) -> list[str]:
    """The parameters in which an evaluation may differ from that of the network."""
    return [
        name
        for name, own in network.parameters.items()
        if any(
            not is_still(one.deviations[name]) or not torch.equal(one.mean[name], own)
            for one in predictors
        )
    ]


def _score_trials(
    run: MonteCarlo,
    network: SplitNetwork,
    predictors: Sequence[_Predictor],
    sample: SampleFeatures,
    labels: Tensor,
    batch: int,
) -> None:
    """One batch of examples drawn with replacement, each under weights of its own."""
    size = min(batch, run.count - run.done)
    chosen = torch.randint(_INDEX_RANGE, (size,), generator=run.choice) % len(labels)
    features = sample(chosen)
    truth = labels[chosen].to(run.noise.device)
    noise = Noise(generator=run.noise, keeps_all=len(predictors) > 1)
    for errors, one in zip(run.errors, predictors, strict=True):
        sampler = WeightSampler(deviations=one.deviations, noise=noise)
        logits = network.logits(one.mean, features, sampler)
        errors[0] += int(wrong_answers(logits, truth).sum())
    run.done += size


def _score_draw(
    run: MonteCarlo,
    network: SplitNetwork,
    predictors: Sequence[_Predictor],
    sample: SampleFeatures,
    labels: Tensor,
    batch: int,
) -> None:
    """One draw of weights for each distribution, on the whole sample."""
    normals = {
        name: torch.empty_like(mean).normal_(generator=run.noise)
        for name, mean in predictors[0].mean.items()
        if not all(is_still(one.deviations[name]) for one in predictors)
    }
    drawn = [
        {
            name: mean
            if is_still(one.deviations[name])
            else perturb(mean, one.deviations[name], normals[name])
            for name, mean in one.mean.items()
        }
        for one in predictors
    ]
    counts = [0] * len(predictors)
    for start_at in range(0, len(labels), batch):
        part = slice(start_at, start_at + batch)
        features = sample(part)
        truth = labels[part].to(run.noise.device)
        for index, parameters in enumerate(drawn):
            logits = network.logits(parameters, features)
            counts[index] += int(wrong_answers(logits, truth).sum())
    for errors, one in zip(run.errors, counts, strict=True):
        errors.append(one)
    run.done += 1


def _mean_errors(
    network: SplitNetwork,
    predictor: _Predictor,
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
