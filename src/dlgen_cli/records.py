"""The frozen records that rooms exchange: standard library only.

A number that enters a bound carries its direction in its name (``_upper``, ``_lower``) or in
its type (`Interval`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

SCHEMA_VERSION = "2"

BoundStatus = Literal["holds", "conditional", "refuted", "vacuous", "not_applicable"]
AssumptionStatus = Literal["verified", "declared", "assumed", "violated"]
NodeKind = Literal[
    "input",
    "linear",
    "diagonal",
    "lipschitz",
    "sum",
    "concat",
    "scale",
    "max_pool",
    "identity",
    "constant",
    "embedding",
    "normalization",
    "prelu",
    "exp",
    "product",
    "matmul",
    "softmax",
    "attention",
    "unsupported",
]
#: A stored tensor costs up to so many bits for each entry, and those of its scale.
MOST_STORED_BITS = 32
SCALE_BITS = 32
#: Layers of these kinds are diagonal maps, or constants: their weights are stored whole.
DIAGONAL_KINDS = (
    "diagonal",
    "layer_norm",
    "rms_norm",
    "group_norm",
    "instance_norm",
    "layer_scale",
    "prelu",
    "constant",
)
#: The update of an adapter, whose parameters are those of its factors and not of the product.
ADAPTER_KIND = "lora"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelRegime:
    """What is done to real examples before a network is trained on them.

    Attributes:
        meaning: the examples that it makes, as a phrase.
        has_random_images: whether some of its images are in no data set.
        has_adversary: whether ``--adversary`` says how its wrong labels are made.
        postulate: number of the postulate that a run of it is judged by; None where none is.
    """

    meaning: str
    has_random_images: bool = False
    has_adversary: bool = False
    postulate: int | None = None


#: By the name that ``--dataset`` and the records of runs give; `dlgen_cli.training.regimes` makes
#: their examples.
REGIMES: Mapping[str, LabelRegime] = {
    "standard": LabelRegime(meaning="the real images with their real labels", postulate=1),
    "random": LabelRegime(
        meaning="random images (every pixel uniform) with uniformly random labels",
        has_random_images=True,
        postulate=2,
    ),
    "mixed-random": LabelRegime(
        meaning="the real examples, half of them replaced by random images with random labels",
        has_random_images=True,
        postulate=3,
    ),
    "mixed-adversarial": LabelRegime(
        meaning="the real images, half of them with a wrong label", has_adversary=True, postulate=4
    ),
}
#: Data that have a name; others are folders.
SOURCES = ("cifar10", "digits")
#: Those whose images a certificate finds again in the data.
REAL_IMAGE_REGIMES = tuple(name for name, one in REGIMES.items() if not one.has_random_images)


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """Two floats that enclose an exact real number: ``lower <= exact <= upper``."""

    lower: float
    upper: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Truncation:
    """The best rank-``rank`` approximation of one linear map.

    Attributes:
        rank: number of singular triplets kept, at least 1.
        error_upper: upper bound on the operator norm of what is cut off.
        relative_error_upper: ``error_upper`` over a lower bound of the operator norm; None
            where the map is zero.
        reshaped_error_upper: convolutions: upper bound on ``sigma_{r+1}`` of the reshaped kernel
            matrix, which is not the operator norm of what is cut off.
    """

    rank: int
    error_upper: float
    relative_error_upper: float | None
    reshaped_error_upper: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSpectrum:
    """What was measured of one linear map ``x -> W x + c``.

    Attributes:
        name: the tensor's name in the checkpoint.
        kind: ``linear``, ``conv2d``, ...
        shape: the stored shape of the weight.
        parameters: entries of the weight (its bias is counted in ``bias_parameters``).
        spectral_norm: encloses the operator norm ``||W||_2``.
        frobenius_norm: encloses ``||W||_F``.
        stable_rank: ``||W||_F^2 / ||W||_2^2``, an estimate between 1 and the rank; None for a
            zero map.
        truncation_errors_upper: entry ``r`` bounds from above the operator norm of ``W`` minus
            its rank-``r`` truncation, ``r = 0 .. min(shape)``; the last is 0. Empty where norms
            alone were measured.
        geometry: convolutions: whether stride, padding and groups are known or assumed.
        reshaped_norm: convolutions: spectral norm of the reshaped kernel matrix.
        folded_norm: operator norm with batch normalization folded in: the map that the network
            applies; None without one.
        row_norm: tables of embeddings: encloses the largest norm of a row.
        note: what a reader should know of how the weight was taken; empty where nothing.
        truncation: the entry that the user asked for with ``--r``.
        singular_values: enclosures of all singular values, descending; empty where norms alone
            were measured.
        bias_norm_upper: upper bound on ``||c||_2``; 0 without a bias.
        bias_parameters: entries of the bias.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    spectral_norm: Interval
    frobenius_norm: Interval
    stable_rank: float | None
    truncation_errors_upper: tuple[float, ...]
    geometry: Literal["known", "assumed"] | None = None
    reshaped_norm: Interval | None = None
    folded_norm: Interval | None = None
    row_norm: Interval | None = None
    note: str = ""
    truncation: Truncation | None = None
    singular_values: tuple[Interval, ...] = ()
    bias_norm_upper: float = 0.0
    bias_parameters: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphNode:
    """One step of a traced network, as plain facts; norms are Euclidean, over one example.

    What a kind says of the map ``f`` from the values of ``inputs``:

    - ``input``: the network's input; the first node.
    - ``linear``: dense or convolution, ``W x + c`` of the layer ``layer``.
    - ``diagonal``: one factor for each channel: ``W`` diagonal. Of ``layer``.
    - ``lipschitz``: pointwise, ``factor_upper``-Lipschitz.
    - ``sum``: ``||f(x) - f(y)|| <= sum_i coefficients_upper[i] ||x_i - y_i||`` and linear.
    - ``concat``: the inputs side by side.
    - ``scale``: linear but for a constant; nothing in it is trained.
    - ``max_pool``: ``factor_upper``-Lipschitz, and zero at zero.
    - ``identity``: each entry is kept at most once, up to its sign.
    - ``constant``: a value that no input changes, of the ``layer`` that is stored or, without one,
      of norm ``offset_upper``.
    - ``embedding``: rows of the table ``layer``, one for each entry of the input.
    - ``normalization``: ``factor_upper``-Lipschitz, zero at zero, of norm ``cap_upper``; then the
      diagonal map of ``layer``, where it has one.
    - ``prelu``: positive entries as they are, negative ones times their factor of ``layer``.
    - ``exp``: of each entry.
    - ``product``: of two values, entry by entry, with broadcasting.
    - ``matmul``: of two values, summed over one axis of each.
    - ``softmax``: along ``token_axis``.
    - ``attention``: ``softmax(factor q k^T + b) v`` of the inputs q, k, v and, where there are
      four, b.
    - ``unsupported``: there is no rule; ``reason`` says why.

    Attributes:
        name: unique in the network.
        kind: the rule.
        operation: what the network calls, for example ``conv2d`` or ``relu6``.
        inputs: names of earlier nodes; one but for ``input``, ``constant``, ``sum``, ``concat``,
            ``product``, ``matmul`` and ``attention``.
        shape: of the value of one example, without the batch; empty for several tensors. Of a
            value that no input changes, all of it.
        layer: name of the layer, for ``linear``, ``diagonal`` and the like.
        factor_upper: Lipschitz constant of the whole map, rounded upward.
        token_factor_upper: for ``scale``, its Lipschitz constant in the largest norm of a token;
            None where that of the whole is all that is known.
        entry_factor_upper: the same in the largest magnitude of an entry.
        coefficients_upper: for ``sum``, one for each input.
        offset_upper: bounds ``||f(0)||`` from above.
        cap_upper: bounds the norm of every value; None where values are not bounded.
        spread_upper: bounds the distance of any two values; None where it has no bound.
        token_axis: the axis of ``shape``, counted from the end, along which a token lies; None
            where the whole value is one.
        token_cap_upper: for ``normalization``, bounds the norm of every token.
        entry_cap_upper: the same of every entry; for ``constant`` too.
        contracted: for ``matmul``, the axis of each input that is summed over, from the end;
            empty where all that is known is that no norm exceeds the product of both.
        reason: for ``unsupported``.
    """

    name: str
    kind: NodeKind
    operation: str
    inputs: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()
    layer: str | None = None
    factor_upper: float = 1.0
    token_factor_upper: float | None = None
    entry_factor_upper: float | None = None
    coefficients_upper: tuple[float, ...] = ()
    offset_upper: float = 0.0
    cap_upper: float | None = None
    spread_upper: float | None = None
    token_axis: int | None = None
    token_cap_upper: float | None = None
    entry_cap_upper: float | None = None
    contracted: tuple[int, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SkippedLayer:
    """A tensor that was left out, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumption:
    """One line of a bound's ledger."""

    statement: str
    status: AssumptionStatus
    evidence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """A theorem evaluated with all its constants.

    Attributes:
        theorem: stable identifier, for example ``compression.all_ranks``.
        title: one line for a reader.
        status: ``holds`` (below 1, every line of the ledger verified or declared), ``conditional``
            (below 1, but a line is only assumed), ``refuted`` (the errors on record contradict
            it), ``vacuous`` (1 or more), ``not_applicable``.
        value: upper bound on the risk or on the generalization gap, rounded upward; None where
            it exceeds the float range or the theorem does not apply.
        log10_value: its decimal logarithm, rounded upward.
        terms: the numbers that the value is made of.
        assumptions: the ledger.
        source: where the theorem stands.
    """

    theorem: str
    title: str
    status: BoundStatus
    value: float | None
    log10_value: float | None
    terms: Mapping[str, Any]
    assumptions: tuple[Assumption, ...]
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """The bound that a report stands for.

    Attributes:
        theorem: identifier of the bound.
        value: the bound with the choice among ``candidates`` paid for.
        log10_value: its decimal logarithm.
        delta: failure probability that the value was evaluated at: ``delta / candidates``.
        candidates: the theorems that were compared.
        status: of the bound at that delta.
    """

    theorem: str
    value: float | None
    log10_value: float | None
    delta: float
    candidates: tuple[str, ...]
    status: BoundStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """How much of a checkpoint was audited.

    Attributes:
        matrices: the linear maps that were measured; a gate is one of its own.
        parameters: stored entries that they read.
        of: stored entries that are, or may be, parameters: ``parameters``, ``counted`` and
            ``unknown`` together. A tied one counts once.
        left_out: tensors that no measured layer reads; each is among the skipped.
        counted: entries of other parameters, such as normalizations, which bounds on parameters
            count and bounds on matrices need.
        unknown: entries that are not understood: they withhold every bound.
        aside: entries that are known to be no parameters: buffers, indices, an optimizer's state.
        entries: all that the file stores: ``of`` and ``aside`` together.
    """

    matrices: int
    parameters: int
    of: int
    left_out: int
    counted: int = 0
    unknown: int = 0
    aside: int = 0
    entries: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedErrors:
    """0-1 errors of a trained network, and the population that its examples stand for.

    Attributes:
        dataset: one of `REGIMES`: what was done to the training examples.
        classes: of the labels, at least 2.
        examples: that the network was trained on.
        altered: of them, examples that are not the real ones.
        training_errors: errors on the training examples, with the labels that were trained on.
        test_examples: real examples with their real labels, none of them trained on.
        test_errors: errors on those.
    """

    dataset: str
    classes: int
    examples: int
    altered: int
    training_errors: int
    test_examples: int
    test_errors: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where the numbers come from.

    Attributes:
        checkpoint: the path as the user gave it.
        format: its name in the table of formats that are read.
        sha256: digest of the file that holds the tensors.
        architecture: what the checkpoint records or the user declared; None where unknown.
        structure: ``graph`` where the network was traced, ``chain`` where the matrices are
            taken one after another.
        parameters: floating-point entries in the checkpoint.
        coverage: how much of it was measured; None where no layer was.
        format_title: the format on pages, which the JSON leaves out; empty where it is the name.
        recorded_errors: those of the run that trained the checkpoint, or else those that were
            counted on the data given; None where there are none.
    """

    checkpoint: str
    format: str
    sha256: str
    architecture: str | None
    structure: Literal["graph", "chain"]
    parameters: int
    coverage: Coverage | None = None
    format_title: str = ""
    recorded_errors: RecordedErrors | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportError:
    """One failure, as scripts read it."""

    code: str
    message: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The one envelope that every command prints; the fields stand in the order of its keys.

    ``headline_reason`` tells why no bound stands for a report that has some; empty elsewhere.
    """

    schema_version: str = SCHEMA_VERSION
    dlgen_version: str
    command: str
    status: Literal["success", "error"] = "success"
    provenance: Provenance | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    layers: Sequence[LayerSpectrum] = ()
    skipped: Sequence[SkippedLayer] = ()
    bounds: Sequence[Bound] = ()
    headline: Headline | None = None
    headline_reason: str = ""
    results: Mapping[str, Any] | None = None
    errors: Sequence[ReportError] = ()
