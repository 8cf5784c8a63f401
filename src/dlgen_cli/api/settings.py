"""The options of the functions, by the names of the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict

from torch import Tensor, nn


class AuditSettings(TypedDict, total=False):
    """What every audit takes; what is left out takes the default of the command line.

    Attributes:
        m: sample count; by default what the checkpoint records, else that of data in memory.
        delta: failure probability, in (0, 1).
        b: bits for each parameter; ``"auto"`` takes the best width, and pays for the choice.
        r: rank of a truncation.
        beta: Lipschitz constant of the loss.
        margin: margin of the ramp loss, instead of beta.
        gamma: Lipschitz constant of the activations.
        radius: bound on the norm of inputs.
        anchors: files, state dicts or modules that do not depend on the sample; one or several.
        sigma: standard deviation or several, above 0; the union is paid.
        epsilon: width of a Rademacher shell.
        include: glob patterns of matrices.
        exclude: glob patterns of matrices.
        part: of a file that holds several networks: its key, or keys with dots.
        prefix: taken off the names of a file's tensors.
        arch: name of the architecture of a file or a state dict, or ``FILE.py:NAME``, whose code
            is run.
        arch_arguments: of its constructor.
        input_shape: of one example, without the batch. A module needs it, unless it begins with a
            linear layer or data in memory tell it.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        tolerance: relative width of the bracket of a convolution's norm.
        strict: a skipped tensor is an error.
        singular_values: report all of them.
        cache: keep measurements of large layers on disk, and take them from there.
    """

    m: int | None
    delta: float
    b: int | Literal["auto"]
    r: int | None
    beta: float | None
    margin: float | None
    gamma: float | None
    radius: float | None
    anchors: (
        str
        | Path
        | nn.Module
        | Mapping[str, Tensor]
        | Sequence[str | Path | nn.Module | Mapping[str, Tensor]]
    )
    sigma: float | Sequence[float]
    epsilon: float
    include: Sequence[str]
    exclude: Sequence[str]
    part: str | None
    prefix: str
    arch: str | None
    arch_arguments: Mapping[str, Any]
    input_shape: tuple[int, ...] | None
    device: str
    tolerance: float
    strict: bool
    singular_values: bool
    cache: bool


class AnchorSettings(TypedDict, total=False):
    """What an anchors file is made with.

    Attributes:
        initial: take a run's initialization in place of its trained weights.
        arch: name of the architecture.
        arch_arguments: of its constructor.
        image_size: for ``mobilenet_v2``.
        mirrored: for ``mobilenet_v2`` with an image size.
        taps: blocks of it with maps of their own to the logits, separated by commas.
        head: ``keep``, ``zero`` or ``rows``.
        classes: of the new head.
        data: gives the classes and their order.
        rows: JSON that maps each class to rows of the source's head.
        head_scale: multiplies the averages, above 0.
    """

    initial: bool
    arch: str | None
    arch_arguments: Mapping[str, Any]
    image_size: int | None
    mirrored: bool
    taps: str | None
    head: str
    classes: int | None
    data: str | None
    rows: Path | None
    head_scale: float | None


class CertifySettings(AuditSettings, total=False):
    """What a certificate takes beside.

    Attributes:
        features: files of features, which then stand in the place of the data.
        draws: draws of weights for the risk of the random predictor.
        delta_monte_carlo: failure probability of that estimate, within delta.
        freeze: glob patterns of parameters that equal the anchor's and are not perturbed.
        relative: sigma multiplies the anchor's own scale, tensor by tensor.
        seed: of the draws.
        state: file that keeps the draws of an interrupted run.
        shrink: a posterior's mean is scored at these multiples of its way from the prior's.
        tried: settings of a posterior's prior that were tried on the data.
        tried_nats: nats that a search of the prior has cost, in the place of ``tried``.
        base: weights that the network was tuned from; the one anchor, and what codes start at.
        surrogate: a certified network, whose disagreements with this one are counted.
        unlabelled: where: a folder of images, or files of features in the order of ``features``.
        occam: evaluate Occam's bound of a posterior's mean too.
        draw_network: where one network that is drawn from a posterior is written, and certified.
    """

    features: Sequence[Path]
    draws: int
    delta_monte_carlo: float | None
    freeze: Sequence[str]
    relative: bool
    seed: int
    state: Path | None
    shrink: Sequence[float]
    tried: int
    tried_nats: float
    base: Path | None
    surrogate: Path | None
    unlabelled: Sequence[Path]
    occam: bool
    draw_network: Path | None
