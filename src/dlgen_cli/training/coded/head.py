"""A Gaussian head on features that are fixed: the bound itself, minimised, with a full covariance.

The features of all examples are computed once. Every row of the head has the same covariance, so
the logits of an example are independent Gaussians of one variance, and the chance of an error is a
one-dimensional integral: the objective is the certificate's own formula, ``kl^-1(L_S(Q) | (KL +
ln(xi(m)/delta))/m)``, without a surrogate and without sampled noise.

Means and deviations are those along the leading eigenvectors of the features' second moments; in
all other directions the posterior is the prior. A posterior may depend on the sample as it likes.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dlgen_cli.predictors.coded.gaussian import GaussianCoordinates
from dlgen_cli.training.coded.general import Task
from dlgen_cli.training.seeds import generator
from dlgen_cli.training.surrogates import VotingError, kl_bound

#: Directions that are trained, at most.
MOST_DIRECTIONS = 2000
_FEATURE_BATCH = 100
_PART = 2000
#: The spread that the training starts from is that of a regression on so many examples.
_FIRST_EXAMPLES = 2000.0
_SPREAD_RATE = 0.02
_LEAST_RATE = 1e-3


@torch.no_grad()
def _all_features(task: Task) -> Tensor:
    """The features of the training examples, float32, shape ``(m, k)``."""
    starts = range(0, len(task.train), _FEATURE_BATCH)
    batches = (task.train.batch(slice(start, start + _FEATURE_BATCH))[0] for start in starts)
    return torch.cat([task.network.features(images) for images in batches])


def train_head(task: Task) -> tuple[GaussianCoordinates, float]:
    """Train the posterior of the head.

    Args:
        task: of a network whose only parameters are the matrix of its head.

    Returns:
        The posterior, its covariance as a factor; and the training error of its mean.
    """
    landmarks = _place_landmarks(task)
    features = _all_features(task)
    eigenvalues, directions = _leading(features)
    turned = torch.cat([part @ directions for part in torch.split(features, _PART)])
    rest = (_squares(features) - _squares(turned)).clamp_min(0) + task.network.rest(features)
    mean, logs = _descend(task, turned, rest, eigenvalues)
    factor = _factor(directions.double(), logs.double())
    weights = (directions @ mean).T.contiguous()
    posterior = GaussianCoordinates(
        mean=weights.flatten(),
        spread=torch.ones(weights.numel()),
        factor=factor,
        exponent=0,
        landmarks=landmarks,
    )
    wrong = (features @ weights.T).argmax(1) != task.train.stored.labels
    return posterior, int(wrong.sum()) / len(wrong)


def _place_landmarks(task: Task) -> Tensor | None:
    """Random training images, as the network sees them."""
    shape = task.network.landmark_shape
    if shape is None:
        return None
    order = torch.randperm(len(task.train), generator=generator(task.recipe.seed, "landmarks"))
    landmarks = task.train.batch(order[: shape[0]])[0].contiguous()
    task.network.set_landmarks(landmarks)
    return landmarks


def _leading(features: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues and eigenvectors of the second moments, the largest first."""
    inputs = features.shape[1]
    moments = torch.zeros(inputs, inputs)
    for part in torch.split(features, _PART):
        moments.addmm_(part.T, part)
    values, vectors = torch.linalg.eigh(moments / len(features))
    kept = min(MOST_DIRECTIONS, inputs)
    return values.flip(0)[:kept].clamp_min(0), vectors.flip(1)[:, :kept].contiguous()


def _descend(
    task: Task, turned: Tensor, rest: Tensor, eigenvalues: Tensor
) -> tuple[Tensor, Tensor]:
    """Adam on means and deviations; the step size falls linearly."""
    recipe = task.recipe
    labels = task.train.stored.labels
    classes, count = _classes(task), len(turned)
    mean = torch.zeros(len(eigenvalues), classes, requires_grad=True)
    logs = (-0.5 * torch.log1p(eigenvalues * _FIRST_EXAMPLES)).requires_grad_()
    error = VotingError()
    optimizer = torch.optim.Adam([{"params": [mean]}, {"params": [logs]}])
    rates = (recipe.learning_rate, _SPREAD_RATE)
    done, steps = 0, recipe.epochs * math.ceil(count / recipe.batch_size)
    for epoch in range(recipe.epochs):
        source = generator(recipe.seed, "coded-batches", epoch)
        total = 0.0
        order = torch.randperm(count, generator=source)
        for part in torch.split(order, recipe.batch_size):
            x = turned[part]
            deviations = (x.square() @ (2 * logs).exp() + rest[part]).clamp_min(1e-12).sqrt()
            risk = error(x @ mean, deviations[:, None], labels[part]).mean()
            spread = (torch.expm1(2 * logs) - 2 * logs).sum() / 2
            nats = mean.square().sum() / 2 + classes * spread + task.constant_nats()
            loss = kl_bound(risk, nats, count)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * max(_LEAST_RATE, 1 - done / steps)
            optimizer.step()
            done += 1
            total += float(loss.detach()) * len(part)
        task.tick(epoch + 1, total / count)
    return mean.detach(), logs.detach()


def _classes(task: Task) -> int:
    """Rows of the head."""
    head = task.network.projection.groups[-1].names[0]
    return task.network.projection.shapes[head][0]


def _factor(directions: Tensor, logs: Tensor) -> Tensor:
    """The triangular factor of ``I + U (S^2 - 1) U^T``, float32."""
    inputs = len(directions)
    gain = torch.expm1(2 * logs)
    covariance = torch.eye(inputs, dtype=torch.float64) + (directions * gain) @ directions.T
    factor: Tensor = torch.linalg.cholesky(covariance).float().tril()
    return factor


def _squares(x: Tensor) -> Tensor:
    return torch.cat([part.square().sum(1) for part in torch.split(x, _PART)])
