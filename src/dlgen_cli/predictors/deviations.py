"""How far the Gaussian weights of one tensor spread, in each of the forms that are evaluated."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Factor:
    """Noise that is correlated within each row of a weight.

    Attributes:
        matrix: F, float32, shape ``(k, k)``, k the entries of ``weight[0]``. The noise of each row
            ``weight[o]``, flattened, is ``F e`` with e standard normal and its own.
    """

    matrix: Tensor


#: Of all entries alike; of each entry, float32 and of the tensor's shape; or of rows.
Deviation = float | Tensor | Factor


def is_zero(deviation: Deviation) -> bool:
    """Whether a tensor stays as it is."""
    return isinstance(deviation, float | int) and deviation == 0


def perturb(mean: Tensor, deviation: Deviation, normals: Tensor) -> Tensor:
    """Gaussian copies of a tensor.

    Args:
        mean: its mean.
        deviation: of any form.
        normals: standard, of the shape of ``mean`` with any axes before it.
    """
    if isinstance(deviation, Factor):
        rows = normals.reshape(*normals.shape[: normals.ndim - mean.ndim], len(mean), -1)
        return torch.matmul(rows, deviation.matrix.mT).reshape(normals.shape).add_(mean)
    if isinstance(deviation, Tensor):
        return torch.addcmul(mean, normals, deviation)
    return torch.add(mean, normals, alpha=deviation)


def output_deviations(x: Tensor, deviation: Deviation) -> Tensor:
    """Standard deviations of ``W x`` under the noise of the matrix W.

    Args:
        x: shape ``(n, k)``.
        deviation: of W, of any form.

    Returns:
        Shape ``(n, 1)`` where all outputs have the same, else ``(n, outputs)``.
    """
    if not isinstance(deviation, Tensor):
        rows = x @ deviation.matrix if isinstance(deviation, Factor) else x
        length: Tensor = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
        return length if isinstance(deviation, Factor) else length * deviation
    tiny = torch.finfo(x.dtype).tiny
    largest = deviation.amax().clamp_min(tiny)  # squares of what is divided by it do not vanish
    size = x.abs().amax(dim=1, keepdim=True).clamp_min(tiny)
    variances = (x / size).square() @ (deviation / largest).square().mT
    found: Tensor = variances.sqrt_() * (size * largest)
    return found


def to_device(deviation: Deviation, device: torch.device) -> Deviation:
    """The same deviation, where the network computes."""
    if isinstance(deviation, Factor):
        return Factor(deviation.matrix.to(device))
    return deviation.to(device) if isinstance(deviation, Tensor) else deviation
