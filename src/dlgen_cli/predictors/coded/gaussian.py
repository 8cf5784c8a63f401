"""A Gaussian over the coordinates of a network, and what it costs against the standard normal.

The prior is ``N(0, I)`` over ``e`` in R^D, and the network's coordinates are ``z = t e`` with
``t = 2^(j/2)``: the same as ``N(0, t^2 I)`` over z, but with nothing rounded between prior and
posterior, for both are stated in e. The posterior has a mean and a deviation for each entry of e,
as float32. Where the head is one matrix whose entries have coordinates of their own, it may have a
factor L instead of deviations: every row of the head has covariance ``L L^T``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal, localcontext
from fractions import Fraction

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from dlgen_cli.errors import CheckpointError
from dlgen_cli.predictors.coded.network import CodedNetwork

#: What j may be; the choice is paid with ``ln 49``.
EXPONENTS = range(-40, 9)
_REMEDY = "Take the file as dlgen train wrote it."
_MARGIN = Decimal("1e-40")


@dataclass(frozen=True, slots=True, kw_only=True)
class GaussianCoordinates:
    """The posterior over e.

    Attributes:
        mean: float32, shape ``(D,)``.
        spread: float32, shape ``(D,)``, above 0; not read for the head where there is a factor.
        factor: float32, lower triangular with a positive diagonal, shape ``(k, k)`` for a head of
            k inputs; None where there is none.
        exponent: j, one of `EXPONENTS`.
        landmarks: float32 images of a kernel machine, scaled; None for other networks.
    """

    mean: Tensor
    spread: Tensor
    factor: Tensor | None
    exponent: int
    landmarks: Tensor | None = None

    @property
    def scale(self) -> float:
        """t, rounded to float32."""
        return float(np.float32(2.0 ** (self.exponent / 2)))

    def coordinates(self, noise: Tensor, head_start: int) -> Tensor:
        """The coordinates z of a draw.

        Args:
            noise: standard normals, float32, shape ``(D,)``.
            head_start: the head's first coordinate; from there on the factor holds.
        """
        moved = noise * self.spread
        if self.factor is not None:
            rows = noise[head_start:].reshape(-1, len(self.factor)) @ self.factor.T
            moved = torch.cat([moved[:head_start], rows.flatten()])
        return (self.mean + moved) * self.scale

    def distance_nats(self) -> float:
        """``|mean|^2 / 2``, rounded upward."""
        squares = self.mean.double().square()  # exact: 48 of 53 bits
        return math.nextafter(math.fsum(squares.tolist()) / 2, math.inf)

    def spread_nats(self, head_start: int) -> float:
        """``(tr R - D - ln det R) / 2`` for the posterior's covariance R, rounded upward."""
        own = self.spread if self.factor is None else self.spread[:head_start]
        nats = _entry_nats(own)
        if self.factor is not None:
            rows = (len(self.mean) - head_start) // len(self.factor)
            diagonal = self.factor.diagonal()
            below = self.factor.double().tril(-1).square().sum().item()
            # sums of n nonnegative doubles, in any order, are within n 2^-53 relative
            allowance = Fraction(self.factor.numel(), 2**53) * 2
            off = Fraction(below) * (1 + allowance) / 2
            nats += rows * (_entry_nats(diagonal) + off)
        return _upward(max(nats, Fraction(0)))


def _entry_nats(spread: Tensor) -> Fraction:
    """At least ``sum (s^2 - 1 - 2 ln s) / 2``: exact sums, and one logarithm of 60 digits."""
    values = spread.double().tolist()
    squares = sum((Fraction(value) ** 2 for value in values), Fraction(0))
    with localcontext() as context:
        context.prec, context.rounding = 60, ROUND_FLOOR
        context.Emin, context.Emax = -(10**12), 10**12
        product = Decimal(1)
        for value in values:
            product *= Decimal(value)
        logarithm = product.ln()  # to nearest
        least = logarithm - abs(logarithm) * _MARGIN - _MARGIN
    return (squares - len(values)) / 2 - Fraction(least)


def _upward(value: Fraction) -> float:
    nearest = float(value)
    return nearest if Fraction(nearest) >= value else math.nextafter(nearest, math.inf)


def gaussian_tensors(gaussian: GaussianCoordinates) -> dict[str, Tensor]:
    """What `read_gaussian` reads."""
    found = {
        "mean": gaussian.mean,
        "spread": gaussian.spread,
        "exponent": torch.tensor([gaussian.exponent], dtype=torch.int64),
    }
    further = {"factor": gaussian.factor, "landmarks": gaussian.landmarks}
    return found | {name: one for name, one in further.items() if one is not None}


def read_gaussian(data: bytes, network: CodedNetwork, where: str) -> GaussianCoordinates:
    """Read a posterior, check that it fits a network, and set the network's landmarks.

    Raises:
        CheckpointError: it does not, or the bytes are no safetensors file.
    """
    try:
        tensors = safetensors.torch.load(data)
    except (SafetensorError, ValueError) as error:
        raise CheckpointError(f"{where} cannot be read: {error}.", remedy=_REMEDY) from error
    reason = _obstacle(tensors, network)
    if reason is not None:
        raise CheckpointError(
            f"{where} holds no posterior of this network: {reason}.", remedy=_REMEDY
        )
    landmarks = tensors.get("landmarks")
    if landmarks is not None:
        network.set_landmarks(landmarks)
    return GaussianCoordinates(
        mean=tensors["mean"],
        spread=tensors["spread"],
        factor=tensors.get("factor"),
        exponent=int(tensors["exponent"]),
        landmarks=landmarks,
    )


def head_inputs(network: CodedNetwork) -> int | None:
    """Inputs of the head where a factor may stand: one matrix with coordinates of its own."""
    head = network.projection.groups[-1]
    if not head.is_own or len(head.names) != 1:
        return None
    return network.projection.shapes[head.names[0]][1]


def _obstacle(tensors: Mapping[str, Tensor], network: CodedNetwork) -> str | None:
    dim, inputs = network.projection.dim, head_inputs(network)
    expected: dict[str, tuple[int, ...]] = {"mean": (dim,), "spread": (dim,), "exponent": (1,)}
    if "factor" in tensors and inputs is not None:
        expected["factor"] = (inputs, inputs)
    if network.landmark_shape is not None:
        expected["landmarks"] = network.landmark_shape
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if network.landmark_shape is not None and inputs is not None:
        expected["factor"] = (inputs, inputs)  # the rest of the process stands beside a factor only
    if found != expected:
        return f"its tensors are {found} instead of {expected}"
    numbers = [tensor for name, tensor in tensors.items() if name != "exponent"]
    if any(one.dtype != torch.float32 or not bool(one.isfinite().all()) for one in numbers):
        return "an entry is not a finite float32"
    factor = tensors.get("factor", torch.ones(1, 1))
    if bool((tensors["spread"] <= 0).any()) or bool((factor.diagonal() <= 0).any()):
        return "a deviation is not positive"
    if not torch.equal(factor, factor.tril()):
        return "its factor is not lower triangular"
    if tensors["exponent"].dtype != torch.int64 or int(tensors["exponent"]) not in EXPONENTS:
        return "its exponent is out of range"
    return None
