"""What the user asked of an audit, and every default: the command line takes them from here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlgen_cli.bounds.ranges import (
    require_count,
    require_delta,
    require_epsilon,
    require_examples,
    require_positive,
)
from dlgen_cli.errors import UsageError

if TYPE_CHECKING:
    from dlgen_cli.datasets import SourceData
    from dlgen_cli.networks.given import Given

#: What ``--b auto`` chooses from.
WIDTHS = (1, 2, 3, 4, 6, 8, 12, 16, 32)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditOptions:
    """What the user asked for; None where a default is taken.

    Attributes:
        checkpoint: file or directory.
        m: sample count.
        delta: failure probability.
        b: bits for each parameter; None takes the best of `WIDTHS`, and pays for the choice.
        r: rank for `compression.fixed_rank` and the truncation errors of the layers.
        beta: Lipschitz constant of the loss.
        margin: margin of the ramp loss, instead of beta.
        gamma: Lipschitz constant of the activations.
        radius: bound on the norm of inputs.
        anchors: files with anchors.
        sigma: standard deviations.
        epsilon: width of a Rademacher shell.
        include: glob patterns of matrices.
        exclude: glob patterns of matrices.
        part: dotted keys of the part of a file that is audited; None for the one that is found.
        prefix: taken off the names of tensors; those without it are left aside.
        arch: the architecture that the user declares; ``FILE.py:NAME`` runs the user's code.
        arch_arguments: of its constructor.
        input_shape: of one example, where the checkpoint does not record it.
        device: where matrices are measured.
        tolerance: relative width of the bracket of a convolution's norm, between 0 and 1.
        strict: a skipped tensor is an error.
        singular_values: report all of them.
        given: weights in memory that are audited in the place of the file; from Python alone.
        cache: keep measurements of large layers on disk, and take them from there.
    """

    checkpoint: Path
    m: int | None = None
    delta: float = 0.05
    b: int | None = 32
    r: int | None = None
    beta: float | None = None
    margin: float | None = None
    gamma: float | None = None
    radius: float | None = None
    anchors: Sequence[Path] = ()
    sigma: Sequence[float] = (0.01,)
    epsilon: float = 1e-9
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    part: str | None = None
    prefix: str = ""
    arch: str | None = None
    arch_arguments: Mapping[str, Any] = field(default_factory=dict)
    input_shape: tuple[int, ...] | None = None
    device: str = "auto"
    tolerance: float = 0.02
    strict: bool = False
    singular_values: bool = False
    cache: bool = False
    given: Given | None = None

    def require_ranges(self) -> None:
        """Refuse numbers that no theorem accepts, before any work.

        Raises:
            UsageError: naming the option.
        """
        require_delta(self.delta)
        require_epsilon(self.epsilon)
        if self.m is not None:
            require_examples(self.m)
        for name, count in (("r", self.r), ("b", self.b)):
            if count is not None:
                require_count(name, count)
        positive = ("tolerance", "beta", "margin", "gamma", "radius")
        given = [(name, getattr(self, name)) for name in positive]
        for name, value in [*given, *(("sigma", sigma) for sigma in self.sigma)]:
            if value is not None:
                require_positive(name, value)

    @property
    def initialization(self) -> Path:
        """Where a run directory keeps the weights that it began with."""
        return self.checkpoint / "init.safetensors"

    @property
    def has_anchor(self) -> bool:
        """Whether an anchor was given, or stands in the run directory."""
        return bool(self.anchors) or self.initialization.is_file()


@dataclass(frozen=True, slots=True, kw_only=True)
class DataOptions:
    """What a certificate is made from beside the checkpoint.

    Attributes:
        data: ``digits``, ``cifar10``, or a directory of images; from Python, examples in memory.
        features: files of features, which then stand in the place of ``data``.
        draws: draws of weights, at least 1; fixed before any result is seen.
        delta_monte_carlo: failure probability of the Monte Carlo step; None takes a fifth of the
            certificate's share of delta.
        freeze: glob patterns of parameters that equal the anchor's and are not perturbed.
        relative: sigma multiplies the anchor's own scale, tensor by tensor.
        seed: of the draws.
        state: file that keeps the draws of an interrupted run.
        shrink: a posterior's mean is scored at these multiples of its way from the prior's.
        tried: settings of a posterior's prior in a list that was fixed before any was tried on
            the data, at least 1: the choice is paid for.
        tried_nats: what the choice costs where a search looked at each result before the next
            setting: the length of the chosen settings in a prefix code over all that it could have
            reached, in nats, at least 0.
        base: weights that the checkpoint was tuned from; the one anchor, and what codes start at.
        surrogate: a certified network g, whose disagreements with the checkpoint are counted.
        unlabelled: where: a folder of images, or files of features in the order of ``features``.
        occam: evaluate Occam's bound of a posterior's mean too.
        draw_network: where one network that is drawn from a posterior is written, and certified.
    """

    data: str | SourceData = ""
    features: Sequence[Path] = ()
    draws: int = 20_000
    delta_monte_carlo: float | None = None
    freeze: Sequence[str] = ()
    relative: bool = False
    seed: int = 0
    state: Path | None = None
    shrink: Sequence[float] = (1.0,)
    tried: int = 1
    tried_nats: float = 0.0
    base: Path | None = None
    surrogate: Path | None = None
    unlabelled: Sequence[Path] = ()
    occam: bool = False
    draw_network: Path | None = None

    @property
    def name(self) -> str:
        """What the data are called."""
        if self.features:
            return " + ".join(path.name for path in self.features)
        return self.data if isinstance(self.data, str) else self.data.name


def refuse_options_of_a_prior(options: AuditOptions, data: DataOptions) -> None:
    """Refuse what sets a prior beside the one that a run trained with.

    Raises:
        UsageError: naming the option.
    """
    given = {
        "--anchors": bool(options.anchors),
        "--freeze": bool(data.freeze),
        "--relative-sigma": data.relative,
        "--sigma": list(options.sigma) != list(AuditOptions(checkpoint=options.checkpoint).sigma),
    }
    for option, is_given in given.items():
        if is_given:
            raise UsageError(
                f"{option} was given, but {options.checkpoint} holds a prior of its own.",
                remedy="Leave it out.",
            )
