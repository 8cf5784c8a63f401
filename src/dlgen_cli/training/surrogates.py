"""What is minimised in the place of a bound: the same formula with a differentiable risk."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional


def bounded_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy in units of that of the uniform guess, ``ln C``."""
    return functional.cross_entropy(logits, labels) / math.log(logits.shape[1])


def softmax_error(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean of ``1 - p(label)``, the error of a guess drawn from the softmax; in [0, 1]."""
    own = functional.log_softmax(logits, dim=1).gather(1, labels[:, None])
    return (1 - own.exp()).mean()


def quadratic_bound(risk: Tensor, nats: Tensor, examples: int) -> Tensor:
    """``(sqrt(q + c/2) + sqrt(c/2))^2`` with ``c = nats/m``: at least ``kl^-1(q | c)``.

    Source: Perez-Ortiz and others 2021, "Tighter risk certificates for neural networks",
    https://arxiv.org/abs/2007.12911, their f_quad.

    Args:
        risk: q, at least 0.
        nats: KL or code length, with ``ln(xi(m)/delta)``.
        examples: m.
    """
    half = nats.clamp_min(1e-6) / (2 * examples)
    return ((risk + half).sqrt() + half.sqrt()).square()


def kl_bound(risk: Tensor, nats: Tensor, examples: int) -> Tensor:
    """``kl^-1(q | nats/m)`` by bisection, with the derivatives of the implicit function.

    Args:
        risk: q in (0, 1).
        nats: as in `quadratic_bound`.
        examples: m.
    """
    found: float
    paid: float
    found, paid = torch.stack([risk.detach(), nats.detach()]).tolist()  # one wait for a device
    q = min(max(found, 1e-9), 1 - 1e-6)
    c = paid / examples
    low, high = q, 1 - 1e-9
    for _ in range(60):
        p = (low + high) / 2
        divergence = q * math.log(q / p) + (1 - q) * math.log((1 - q) / (1 - p))
        low, high = (low, p) if divergence > c else (p, high)
    p = max(high, q + 1e-9)
    by_risk = math.log(q / p) - math.log((1 - q) / (1 - p))
    by_p = (1 - q) / (1 - p) - q / p
    slope = (nats / examples - by_risk * risk) / by_p
    return p + slope - slope.detach()


def confidence_nats(examples: int, delta: float) -> float:
    """``ln(xi(m)/delta)``, what Maurer's theorem takes beside KL.

    Args:
        examples: m.
        delta: failure probability in (0, 1).
    """
    return math.log((math.sqrt(math.pi * examples / 2) + 2 / 3) / delta)


class VotingError:
    """The chance that independent Gaussian logits err: a one-dimensional integral.

    ``P(all others below the label's) = E_u prod_k Phi((a_y - a_k + s_y u) / s_k)`` for logits
    ``a + s xi``, xi and u standard normal; Gauss-Hermite quadrature.
    """

    def __init__(self, nodes: int = 20) -> None:
        """Prepare the quadrature."""
        import numpy as np

        points, weights = np.polynomial.hermite_e.hermegauss(nodes)
        self._nodes = torch.from_numpy(points.astype(np.float32))
        self._weights = torch.from_numpy((weights / weights.sum()).astype(np.float32))

    def __call__(self, logits: Tensor, deviations: Tensor, labels: Tensor) -> Tensor:
        """The chance of an error for each example.

        Args:
            logits: means, shape ``(n, classes)``.
            deviations: s, above 0, shape ``(n, classes)``, or ``(n, 1)`` where they are the same.
            labels: int64, shape ``(n,)``.
        """
        nodes, weights = (one.to(logits.device) for one in (self._nodes, self._weights))
        label, is_shared = labels[:, None], deviations.shape[1] == 1
        own = logits.gather(1, label)
        if is_shared:
            ahead = ((own - logits) / deviations)[:, :, None] + nodes
        else:
            spread = deviations.gather(1, label)
            ahead = (own - logits)[:, :, None] + (spread * nodes)[:, None]
            ahead = ahead / deviations[:, :, None]
        chances = _log_cdf(ahead).sum(1) - _log_cdf(nodes)
        right: Tensor = chances.exp() @ weights
        return 1 - right


def _log_cdf(x: Tensor) -> Tensor:
    """``ln Phi``, several times faster than `torch.special.log_ndtr`; flat below -13."""
    return (torch.erfc(x * -math.sqrt(0.5)) / 2).clamp_min(1e-37).log()
