"""One layer under a Gaussian posterior whose mean and deviations are trained."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from dlgen_cli.checkpoints.runs.posterior_file import PRIOR_EXPONENTS, prior_deviation
from dlgen_cli.networks.layer_kinds import kind_of

if TYPE_CHECKING:
    from dlgen_cli.networks import GraphLayer

Form = Literal["tensor", "entry", "factor"]

_LEAST_VARIANCE = 1e-20
#: The prior's first deviation of a tensor, in units of its own scale.
_FIRST_DEVIATION = 0.05


class GaussianTensor(nn.Module):
    """``N(theta + t v, (t rho)^2)`` against ``N(theta, t^2)`` for one weight or bias.

    The mean moves in units of the prior's deviation t, so that its part of the divergence is
    ``|v|^2 / 2`` whatever t is. With the form ``factor`` both v and the noise are in a basis U of
    a row's entries: the mean is ``theta + t v U^T``, a row's noise ``t U diag(rho) e``.

    Attributes:
        name: of the coordinate.
        base: the prior mean's own scale.
        form: of the spread.
        exponent: j of the prior's deviation, once it is fixed.
    """

    prior_mean: Tensor
    basis: Tensor

    def __init__(self, name: str, prior_mean: Tensor, base: float, form: Form) -> None:
        super().__init__()
        self.name = name
        self.base = base
        self.form = form
        self.exponent: int | None = None
        self.register_buffer("prior_mean", prior_mean.detach().clone())
        rows = prior_mean.flatten(1) if form == "factor" else prior_mean
        self.shift = nn.Parameter(torch.zeros_like(rows))
        self.log_deviation = nn.Parameter(torch.tensor(math.log(base * _FIRST_DEVIATION)))
        spread = {"tensor": None, "entry": prior_mean.shape, "factor": rows.shape[1:]}[form]
        self.log_spread = None if spread is None else nn.Parameter(torch.zeros(spread))
        self.register_buffer("basis", torch.eye(rows.shape[-1] if form == "factor" else 0))

    def set_basis(self, second_moment: Tensor, noise: float) -> None:
        """Take the eigenvectors of the inputs' second moment, and start with some noise.

        Args:
            second_moment: ``E[x x^T]`` over examples, float64.
            noise: its deviation at the outputs under the prior, about.
        """
        self.basis = torch.linalg.eigh(second_moment).eigenvectors.to(self.shift)
        size = float(second_moment.trace().clamp(min=1e-30).sqrt())
        with torch.no_grad():
            self.log_deviation.fill_(math.log(noise / size))

    def turned_mean(self) -> Tensor:
        """The mean as it acts on inputs that are in the basis already."""
        return self.prior_mean.flatten(1) @ self.basis + self.log_deviation.exp() * self.shift

    def mean(self) -> Tensor:
        """The posterior's mean."""
        moved = self.shift @ self.basis.mT if self.form == "factor" else self.shift
        return self.prior_mean + self.log_deviation.exp() * moved.reshape(self.prior_mean.shape)

    def deviations(self) -> Tensor:
        """The posterior's deviations: a number, or by entry, or along the basis."""
        if self.log_spread is None:
            return self.log_deviation.exp()
        return (self.log_deviation + self.log_spread).exp()

    def sample(self, generator: torch.Generator) -> Tensor:
        """One draw of the whole tensor."""
        normals = torch.empty_like(self.shift).normal_(generator=generator)
        noise = normals * self.deviations()
        if self.form == "factor":
            noise = noise @ self.basis.mT
        return self.mean() + noise.reshape(self.prior_mean.shape)

    def variances(self, x: Tensor, *, is_turned: bool = False) -> Tensor:
        """Variances of ``W x`` under the noise of a matrix W, shape ``(n, rows)`` or ``(n, 1)``.

        Args:
            x: shape ``(n, k)``.
            is_turned: whether x is in the basis already.
        """
        squared = self.deviations().square()
        if self.form == "tensor":
            return squared * x.square().sum(dim=1, keepdim=True)
        if self.form == "entry":
            return functional.linear(x.square(), squared)
        turned = x if is_turned else x @ self.basis
        return (turned.square() @ squared)[:, None]

    def nats(self) -> Tensor:
        """The divergence of this tensor's posterior from its prior."""
        distance = self.shift.square().sum() / 2
        if self.log_spread is None:
            return distance
        copies = self.shift.shape[0] if self.form == "factor" else 1
        one = torch.expm1(2 * self.log_spread) - 2 * self.log_spread
        return distance + copies * one.sum() / 2

    @torch.no_grad()
    def fix_prior(self) -> None:
        """Take the nearest deviation that a bound may choose; mean and noise stay as they are.

        Within a tensor the noise follows the prior: its spread is exactly 1.
        """
        wanted = 2 * math.log2(float(self.log_deviation.exp()) / self.base)
        self.exponent = min(max(round(wanted), PRIOR_EXPONENTS[0]), PRIOR_EXPONENTS[-1])
        fixed = math.log(prior_deviation(self.base, self.exponent))
        moved = float(self.log_deviation.detach()) - fixed
        self.shift.mul_(math.exp(moved))
        if self.log_spread is not None:
            self.log_spread.add_(moved)
        self.log_deviation.fill_(fixed)
        self.log_deviation.requires_grad_(False)  # noqa: FBT003

    @torch.no_grad()
    def stored_spread(self) -> Tensor:
        """The spread as ``posterior.safetensors`` holds it, see `StoredPosterior`."""
        if self.log_spread is None:
            return torch.ones(())
        spread = self.log_spread.double().exp()
        if self.form == "entry":
            return spread.float().cpu()
        scaled = self.basis.double() * spread
        # the triangle of a QR factorization of (U diag(rho))^T is a root of U diag(rho^2) U^T
        triangle = torch.linalg.qr(scaled.mT).R
        signs = triangle.diagonal().sign()
        root: Tensor = (triangle * signs[:, None]).mT.float().cpu()
        return root


class GaussianLayer(nn.Module):
    """A linear map or a convolution; weight and bias are Gaussian, or stay at the anchor.

    Attributes:
        weight: a `GaussianTensor`, or the anchor's tensor.
        bias: the same, or None.
        is_turned: whether the inputs are in the basis of the weight's factor already.
    """

    def __init__(
        self,
        layer: GraphLayer,
        weight: GaussianTensor | Tensor | None,
        bias: GaussianTensor | Tensor | None,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self._kind = kind_of(layer)
        self._generator = generator
        self._drawn: tuple[Tensor | None, Tensor | None] | None = None
        self._is_noisy = True
        self._tells_variances = False
        self._moment: Tensor | None = None
        self._place = 0
        self.is_turned = False
        self.weight: GaussianTensor | Tensor | None
        self.bias: GaussianTensor | Tensor | None
        for name, tensor in (("weight", weight), ("bias", bias)):
            if isinstance(tensor, GaussianTensor):
                self.add_module(name, tensor)
            else:
                self.register_buffer(name, tensor)

    @property
    def has_factor(self) -> bool:
        """Whether the weight's spread is a factor."""
        return isinstance(self.weight, GaussianTensor) and self.weight.form == "factor"

    def gaussians(self) -> list[GaussianTensor]:
        """Those of its tensors that are trained."""
        return [one for one in (self.weight, self.bias) if isinstance(one, GaussianTensor)]

    def begin(self, *, noisy: bool, tells_variances: bool = False) -> None:
        """Forget the draw of the last step: all calls until the next one share theirs.

        Args:
            noisy: whether the next calls draw; otherwise they apply the mean.
            tells_variances: of vectors, the next calls give the means of the outputs with their
                variances below them, twice as many rows, in the place of a draw.
        """
        self._drawn = None
        self._is_noisy = noisy
        self._tells_variances = tells_variances

    def watch(self) -> None:
        """Add up the second moment of what the layer reads."""
        width = math.prod(self._kind.layer.weight_shape[1:])
        self._moment = torch.zeros((width, width), dtype=torch.float64)
        self._place = 0

    def has_read(self, feature: Tensor) -> bool:
        """Whether the last inputs that it watched are this very tensor."""
        return self._place == feature.data_ptr()

    def take_basis(self, count: int, noise: float) -> None:
        """End watching, and turn the weight's factor to what was seen of ``count`` examples."""
        if self._moment is not None and isinstance(self.weight, GaussianTensor):
            self.weight.set_basis(self._moment / count, noise)
        self._moment = None

    def forward(self, x: Tensor) -> Tensor:
        """Apply the mean, or a draw.

        Vectors get noise of their own at the outputs, which has the law of weights drawn for each
        example; feature maps share one draw.
        """
        if self._moment is not None:
            rows = self._kind.patches(x).flatten(0, 1).double()
            self._moment += (rows.mT @ rows).cpu()
            self._place = x.data_ptr()
        if not self._is_noisy:
            return self._at_mean(x)
        if self._kind.operator == "matrix" and x.ndim == 2:
            return self._vectors(x)
        if self._drawn is None:
            self._drawn = (
                _sample(self.weight, self._generator),
                _sample(self.bias, self._generator),
            )
        return self._applied(x, *self._drawn)

    def _applied(self, x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
        assert weight is not None  # noqa: S101  every layer has one
        return self._kind.apply(x, weight, bias)

    def _at_mean(self, x: Tensor) -> Tensor:
        if self.is_turned and isinstance(self.weight, GaussianTensor):
            return self._applied(x, self.weight.turned_mean(), _mean(self.bias))
        return self._applied(x, _mean(self.weight), _mean(self.bias))

    def _vectors(self, x: Tensor) -> Tensor:
        mean = self._at_mean(x)
        variance = mean.new_full((), _LEAST_VARIANCE)
        if isinstance(self.weight, GaussianTensor):
            variance = variance + self.weight.variances(x, is_turned=self.is_turned)
        if isinstance(self.bias, GaussianTensor):
            variance = variance + self.bias.deviations().square()
        if self._tells_variances:
            return torch.cat([mean, variance.expand_as(mean)])
        return mean + variance.sqrt() * torch.empty_like(mean).normal_(generator=self._generator)


def _mean(tensor: GaussianTensor | Tensor | None) -> Tensor | None:
    return tensor.mean() if isinstance(tensor, GaussianTensor) else tensor


def _sample(tensor: GaussianTensor | Tensor | None, generator: torch.Generator) -> Tensor | None:
    return tensor.sample(generator) if isinstance(tensor, GaussianTensor) else tensor
