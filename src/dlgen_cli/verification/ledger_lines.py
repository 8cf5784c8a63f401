"""Every line that the ledger of a report can hold, and the evidence that gives it its status."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Line:
    """A line that a ledger may hold: its statement, and by status what speaks for it.

    In the templates ``{*}`` stands for any text, ``{#}`` for any count, and ``{name}`` for a number
    of the report.
    """

    key: str
    statement: str
    verified: Sequence[str] = ()
    declared: Sequence[str] = ()
    assumed: Sequence[str] = ()
    violated: Sequence[str] = ()


_SEEN = "None of its {examples} images is among those trained on, by hash."
_RECORDED = "None of its {examples} images is on record as having trained it, by hash."
_LEFT = "{#} examples trained it and left the bound; {examples} are in it."
_LOOKS = (
    "{#} of its {examples} images look like one that did, by the signs of differences of 8 x 8 "
    "means of grey; they were stored or decoded otherwise, so that no hash agrees."
)
_FRESH = (
    "None of the {examples} is on record as having, by hash; one that was stored otherwise has "
    "another hash."
)
_APART = "{*}, was trained on {#} examples on record; none of them is among the {examples} left in "
_GIVEN = "As given: nothing but these numbers is known of the predictor."
_LINES = (
    Line(
        "m",
        "m is the number of training examples.",
        declared=("--m {m} was given.", "The checkpoint records m = {m}."),
        assumed=("Neither --m nor the checkpoint gives it; {m} was taken.",),
        violated=("--m {m} was given, but the checkpoint records training on {#}.",),
    ),
    Line(
        "independence",
        "The m examples are independent draws from the population.",
        declared=(
            (
                "Every theorem needs it, so that using one declares it; nothing in a "
                "checkpoint can "
                "check it."
            ),
        ),
    ),
    Line(
        "structure",
        "The layers and their biases are the whole network.",
        violated=("Skipped: {*}.",),
    ),
    Line(
        "structure",
        "The network applies the layers one after another.",
        assumed=("The architecture is not on record; {*}, taken in order; shapes fit.",),
        violated=("{*}",),
    ),
    Line(
        "structure",
        "The network computes what its traced graph says.",
        verified=(
            "The checkpoint records the architecture {architecture}: {*}.",
            "It was traced from the module that was given, a {architecture}: {*}.",
        ),
        declared=("--arch {arch} was given, and its tensors fit: {*}.",),
        violated=("{*}",),
    ),
    Line(
        "geometry",
        "Convolutions pad with zeros, or not at all.",
        assumed=(
            (
                "Stride, groups and map sizes of {#} convolutions are not on record; their "
                "norms are "
                "those of stride 1 on any map, which are never smaller."
            ),
        ),
    ),
    Line(
        "activation",
        "Activations have the Lipschitz constants that are used.",
        verified=("Read off the traced graph: {*}; at most {*}.",),
        violated=("--gamma {gamma} is below that of {*}: {*}.",),
    ),
    Line(
        "activation",
        "Activations are {gamma}-Lipschitz and map 0 to 0.",
        declared=("--gamma {gamma} was given.",),
        assumed=("The default; give --gamma for another activation.",),
    ),
    Line(
        "radius",
        "Every input has norm at most {radius}.",
        verified=("The checkpoint records inputs scaled to a norm of at most {*}.",),
        declared=("--radius {radius} was given.",),
        assumed=("The default; give --radius for other inputs.",),
    ),
    Line(
        "loss",
        "The loss is in [0, 1] and {beta}-Lipschitz in the prediction.",
        verified=("The ramp loss at margin {margin}, which bounds the 0-1 error: sqrt(2)/margin.",),
        declared=("--beta {given_beta} was given.",),
        assumed=("The default; give --beta, or --margin for the ramp loss.",),
    ),
    Line(
        "idealized",
        "The best rank-r factors are representable with {bits} bits for each parameter.",
        assumed=("The theorem's idealization: rounding the factors is not part of this value.",),
    ),
    Line(
        "stored",
        "The compressed network is the one that is stored with {bits} bits for each parameter.",
        verified=(
            (
                "Factors, biases and scales were rounded, read back and measured; all their bits "
                "count."
            ),
        ),
    ),
    Line("stored", "Parameters are stored in 1 to 32 bits.", violated=("b is {#}.",)),
    Line(
        "parameters",
        "Every weight is a floating-point parameter of the hypothesis.",
        violated=("Not understood: {*}.",),
    ),
    Line(
        "buffers",
        "What the predictor reads is a parameter of the hypothesis.",
        verified=("Running statistics and buffers too: {#} entries of {#} tensors, first {*}.",),
    ),
    Line(
        "fixed",
        "Indices and masks, which are no parameters, are those of the anchors.",
        violated=("{*} differs from that of the anchor {*}.",),
    ),
    Line(
        "finite",
        "Every parameter of the hypothesis is a finite number.",
        violated=("{*}",),
    ),
    Line(
        "zero_one",
        "The loss is in [0, 1].",
        verified=("The statement is about the 0-1 error.",),
    ),
    Line(
        "anchors",
        "The anchors do not depend on the bound's sample.",
        declared=(
            "The initialization that the run recorded before its first step.",
            "Given with --anchors: {*}.",
        ),
        violated=("Anchor {*} equals the checkpoint, which was trained on that sample.",),
    ),
    Line("sigma", "The values of sigma were fixed before the sample.", declared=("As given.",)),
    Line(
        "random",
        "The statement is about the random predictor Q = N(theta, sigma^2 I).",
        verified=("It does not cover the mean network itself.",),
    ),
    Line(
        "random",
        "The statement is about the random predictor Q, the trained Gaussian over the weights.",
        verified=("It does not cover the mean network itself.",),
    ),
    Line(
        "random",
        "The statement is about the random predictor.",
        verified=("It does not cover the network at the posterior's mean.",),
    ),
    Line(
        "counted",
        "m is the number of examples that the bound is evaluated on.",
        verified=("{sample} examples were counted.",),
        violated=("--m {#} was given; there are {#}.",),
    ),
    Line(
        "trained_on",
        "The sample is the one that the checkpoint was trained on.",
        verified=(
            (
                "All {sample} images of the run were found in the data by their hashes; labels are "
                "those that it used."
            ),
        ),
        declared=(
            (
                "All {sample} images of the run were found in the data by their hashes; labels are "
                "those that it used. The run recorded no sha256 of its files."
            ),
        ),
    ),
    Line(
        "sample",
        "The sample is drawn independently from the population.",
        declared=(
            (
                "The {sample} training examples of {*} were given as the checkpoint's "
                "sample; {*}, by "
                "hash."
            ),
            "Given as such with --data, with the real labels; {*}, by hash.",
            "Its population is the one with altered labels: {#} of {sample} are; {*}, by hash.",
        ),
    ),
    Line(
        "excluded",
        "No example of the bound's sample trained {*}.",
        verified=(_LEFT, _RECORDED),
        declared=(_LEFT + " {*}", _RECORDED + " {*}"),
        violated=(
            "{#} examples trained it; {#} would be left.",
            "It records training on examples of {*}",
            "{#} examples trained both; {*}",
        ),
    ),
    Line("looks", "No image of {*} is a copy of one that trained {*}.", assumed=(_LOOKS,)),
    Line(
        "seen",
        "No example of the holdout was trained on.",
        verified=(_SEEN,),
        declared=(_SEEN + " {*}",),
        violated=("{#} images of it are among those trained on, by their hashes.",),
    ),
    Line(
        "not_chosen",
        "The checkpoint was not chosen by its errors on the holdout.",
        declared=(
            (
                "The run set it aside first; whether anyone looked before choosing this run, no "
                "program can tell."
            ),
            "It is the test set of the data given.",
        ),
    ),
    Line(
        "holdout",
        "The holdout is drawn independently from the population.",
        declared=("Given as such with --data; {*}, by hash.",),
    ),
    Line(
        "features",
        "What computed {*} was fixed without a look at these examples.",
        declared=(
            (
                "Given with --features: {#} features of each example, sha256 {*}. No program can "
                "tell what trained the model that made them."
            ),
        ),
    ),
    Line(
        "base",
        "The base does not depend on the bound's sample.",
        declared=("Given with --base: {*}, sha256 {*}.",),
        violated=("{*} is the checkpoint, which was trained on that sample.",),
    ),
    Line(
        "change",
        "Every bit of the change from the base is paid for.",
        verified=(
            (
                "All {code_bits} bits, read with the base at hand: rank, step, which tensors "
                "changed, and multiples of the step for {*}, 2^{*} root mean squares of the base's "
                "tensor. A code tells its own length, so that codes are a prefix code."
            ),
        ),
    ),
    Line(
        "pair",
        "Both networks were fixed before the unlabelled examples were seen.",
        declared=(
            (
                "Given as such with --surrogate and --unlabelled: no program can tell who looked "
                "at what."
            ),
        ),
    ),
    Line(
        "fresh",
        "No unlabelled example trained either network.",
        declared=(_FRESH, _FRESH + " {*}"),
        violated=("{#} of the {examples} did, by their hashes.",),
    ),
    Line(
        "unlabelled",
        "The unlabelled examples are independent draws from the population.",
        declared=("Given as such with --unlabelled; {*}, by hash.",),
    ),
    Line(
        "draws",
        "The number of draws, {draws}, and their seed were fixed before their errors.",
        declared=(
            (
                "As given; each draw of weights meets one example of the sample, drawn "
                "uniformly. The "
                "generator's numbers stand for independent standard normals; the predictor "
                "computes "
                "in float32."
            ),
        ),
    ),
    Line(
        "drawn_network",
        "The statement is about the one network that was drawn and written.",
        verified=("{drawn_file}, sha256 {drawn_sha256}: its errors on the sample were counted.",),
    ),
    Line(
        "seed",
        "The draw depends on the sample through the posterior alone.",
        declared=(
            (
                "Its seed is the SHA-256 of a constant of dlgen and of the run's files, and stands "
                "for independent standard normals; no run was repeated because of what was drawn "
                "from it."
            ),
        ),
    ),
    Line(
        "integral",
        "The risk of Q on the sample is bounded without draws.",
        verified=(
            (
                "Only the weights that give the logits move, so that these are independent "
                "Gaussians: an integral of one dimension for each example, by the lower ends of "
                "{cells} cells. Every rounding of float64 is paid; features are what float32 gives."
            ),
        ),
    ),
    Line(
        "frozen",
        "Frozen parameters cost nothing.",
        verified=("{#} tensors equal every anchor's, entry by entry, first {*}.",),
    ),
    Line(
        "frozen_before",
        "What is frozen was fixed before the sample.",
        declared=("As given with --freeze.", "As the run recorded it."),
    ),
    Line(
        "relative",
        "The deviations of tensors are in a fixed proportion.",
        verified=("Each is sigma times the root mean square of the first anchor's tensor.",),
    ),
    Line(
        "code",
        "Every bit of the stored network is paid for, and the choice of its code.",
        verified=(
            "{*} at {#} bits for each parameter, scales and biases included; one of {#} codes.",
        ),
    ),
    Line("width", "b was fixed before the sample.", declared=("--b {b} was given.",)),
    Line(
        "code",
        "The network is rebuilt from its code alone.",
        verified=(
            (
                "All {code_bits} bits of the file are paid: architecture, seed, D, step, lengths, "
                "coordinates. A file tells its own length, so that files are a prefix code."
            ),
        ),
    ),
    Line(
        "family",
        "The architecture's list and its constants were fixed before the sample, or paid.",
        declared=(
            (
                "Its constants were chosen among at most {#} settings by trying them on CIFAR-10: "
                "their logarithm is paid."
            ),
            "Both are part of dlgen; nothing of them was chosen by data.",
        ),
    ),
    Line(
        "prior",
        "The prior is the standard normal over the coordinates, fixed before the sample.",
        verified=(
            (
                "Architecture, width, seed and D are paid with the {#} bits that write them, the "
                "prior's deviation with the logarithm of its 49 values."
            ),
        ),
    ),
    Line(
        "landmarks",
        "The prior over functions does not depend on the landmarks.",
        declared=(
            (
                "In exact arithmetic it is the same Gaussian process whatever they are: "
                "they only say "
                "where the posterior differs from it. float32 stands for exact arithmetic."
            ),
        ),
    ),
    Line(
        "prior",
        "The prior's mean does not depend on the bound's sample.",
        verified=(_APART + "the bound, by hash.",),
        declared=(
            "The initialization that the run drew before its first step.",
            "{*}, records no run; it was given as independent.",
            _APART + "the bound, by hash. {*}",
        ),
    ),
    Line(
        "deviations",
        "The prior's deviations were fixed before the sample but for a choice that is paid for.",
        verified=(
            (
                "Each is the root mean square of its tensor in the prior's mean times "
                "2^(j/2), j one "
                "of 49: {*} nats for {tensors} tensors."
            ),
        ),
    ),
    Line(
        "tried",
        "All settings of the prior that were tried on these data are paid for.",
        declared=(
            (
                "{tried} as given with --tried, a list fixed before any result was seen {*}: "
                "ln {tried} nats."
            ),
            (
                "{tried_nats} nats as given with --tried-nats: the length of those that the search "
                "chose, in a prefix code over all that it could have reached, fixed before it."
            ),
            "No other was tried: neither --tried nor --tried-nats was given.",
        ),
    ),
    Line(
        "evaluated",
        "The predictor errs on {errors} of {examples} examples.",
        declared=("As given with --errors and --examples.",),
    ),
    Line(
        "evaluated",
        "Each example was counted once.",
        verified=("{#} rows of {*}, sha256 {*}.",),
    ),
    Line(
        "unseen",
        "The predictor was neither trained nor chosen on these examples.",
        declared=(_GIVEN,),
    ),
    Line(
        "unseen",
        "The choice of the predictor is paid for.",
        declared=(
            (
                "--nats {nats}: the logarithm of the number of predictors in a list fixed before "
                "the sample, or the length of this one in a code fixed before it."
            ),
        ),
    ),
    Line("drawn", "The examples are independent draws from the population.", declared=(_GIVEN,)),
    Line("drawn", "The groups are independent draws from the population.", declared=(_GIVEN,)),
    Line(
        "groups",
        "Examples of a group may depend on each other.",
        verified=(
            (
                "{examples} groups of {#} examples; each counts once, with its mean loss: the risk "
                "is that of a random example of a random group."
            ),
        ),
    ),
    Line(
        "least",
        "At least 8 examples (Maurer's theorem).",
        violated=("m is {examples}.",),
    ),
)


def _of_surrogate(line: Line) -> Line:
    """The line on the holdout of a surrogate, whose examples are others than the bound's."""

    def renamed(templates: Sequence[str]) -> tuple[str, ...]:
        return tuple(one.replace("{examples}", "{surrogate_examples}") for one in templates)

    return Line(
        key=f"surrogate_{line.key}",
        statement=f"Of the surrogate: {line.statement}",
        verified=renamed(line.verified),
        declared=renamed(line.declared),
        assumed=renamed(line.assumed),
        violated=renamed(line.violated),
    )


_OF_HOLDOUT = ("seen", "not_chosen", "holdout", "looks", "features")
LINES = (*_LINES, *(_of_surrogate(one) for one in _LINES if one.key in _OF_HOLDOUT))
