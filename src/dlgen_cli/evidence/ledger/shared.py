"""The ledger: which assumption of a bound was checked, declared or merely assumed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dlgen_cli.bounds.assumptions import assumed, declared, verified, violated
from dlgen_cli.records import Assumption, SkippedLayer

if TYPE_CHECKING:
    from dlgen_cli.checkpoints.checkpoint import Checkpoint
    from dlgen_cli.checkpoints.runs.run_config import RunConfig
    from dlgen_cli.networks import ReadNetwork

#: Sample count where neither the user nor the checkpoint gives one.
DEFAULT_EXAMPLES = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """A number in force, and whether the user gave it.

    Attributes:
        value: what the bound uses.
        option: the flag that gave it; None where it is a default.
    """

    value: float
    option: str | None


def sample_lines(checkpoint: Checkpoint, given: int | None) -> tuple[int, list[Assumption]]:
    """Settle m and its lines.

    Args:
        checkpoint: may record how many examples it was trained on.
        given: ``--m``.

    Returns:
        m, and the ledger's lines about the sample.
    """
    recorded = checkpoint.examples
    statement = "m is the number of training examples."
    if given is not None and recorded is not None and given > recorded:
        line = violated(
            statement,
            f"--m {given:,} was given, but the checkpoint records training on {recorded:,}.",
        )
    elif given is not None:
        line = declared(statement, f"--m {given:,} was given.")
    elif recorded is not None:
        line = declared(statement, f"The checkpoint records m = {recorded:,}.")
    else:
        line = assumed(
            statement,
            f"Neither --m nor the checkpoint gives it; {DEFAULT_EXAMPLES:,} was taken.",
        )
    m = given if given is not None else recorded if recorded is not None else DEFAULT_EXAMPLES
    iid = declared(
        "The m examples are independent draws from the population.",
        "Every theorem needs it, so that using one declares it; nothing in a checkpoint can check "
        "it.",
    )
    return m, [line, iid]


def structure_lines(read: ReadNetwork, declared_name: str | None) -> list[Assumption]:
    """Whether the network is the one that the theorem speaks of."""
    layers = list(read.network.layers)
    names = f"{len(layers)} layers, {layers[0]} to {layers[-1]}" if layers else "no layer"
    if read.skipped:
        first = read.skipped[0]
        more = f" and {len(read.skipped) - 1} more" if len(read.skipped) > 1 else ""
        return [
            violated(
                "The layers and their biases are the whole network.",
                f"Skipped: {first.name} ({first.reason}){more}.",
            )
        ]
    if read.structure == "chain":
        statement = "The network applies the layers one after another."
        if read.obstacle is not None:
            return [violated(statement, read.obstacle)]
        evidence = f"The architecture is not on record; {names}, taken in order; shapes fit."
        return [assumed(statement, evidence), *_assumed_geometry(read)]
    statement = "The network computes what its traced graph says."
    if read.obstacle is not None:
        return [violated(statement, read.obstacle)]
    if declared_name is not None:
        return [
            declared(statement, f"--arch {declared_name} was given, and its tensors fit: {names}.")
        ]
    known = f"The checkpoint records the architecture {read.architecture}"
    if read.architecture is None:
        known = "The checkpoint holds the program that computes it"
    elif read.module is not None:
        known = f"It was traced from the module that was given, a {read.architecture}"
    return [verified(statement, f"{known}: {names}.")]


def _assumed_geometry(read: ReadNetwork) -> list[Assumption]:
    kernels = [layer.name for layer in read.network.layers.values() if layer.stride]
    if not kernels:
        return []
    return [
        assumed(
            "Convolutions pad with zeros, or not at all.",
            f"Stride, groups and map sizes of {len(kernels)} convolutions are not on record; their "
            "norms are those of stride 1 on any map, which are never smaller.",
        )
    ]


def activation_line(gamma: Declared, read: ReadNetwork) -> Assumption:
    """Whether the activations have the Lipschitz constants in force."""
    if read.structure == "graph":
        nodes = [node for node in read.network.nodes if node.kind == "lipschitz"]
        largest = max((node.factor_upper for node in nodes), default=1.0)
        statement = "Activations have the Lipschitz constants that are used."
        kinds = ", ".join(dict.fromkeys(node.operation for node in nodes)) or "none"
        if gamma.option is not None and gamma.value < largest:
            return violated(
                statement, f"{gamma.option} {gamma.value:g} is below that of {kinds}: {largest:g}."
            )
        return verified(statement, f"Read off the traced graph: {kinds}; at most {largest:g}.")
    statement = f"Activations are {gamma.value:g}-Lipschitz and map 0 to 0."
    if gamma.option is not None:
        return declared(statement, f"{gamma.option} {gamma.value:g} was given.")
    return assumed(statement, "The default; give --gamma for another activation.")


def radius_line(radius: Declared, recorded_bound: float | None) -> Assumption:
    """Whether inputs have norm at most R."""
    statement = f"Every input has norm at most {radius.value:g}."
    if recorded_bound is not None and recorded_bound <= radius.value:
        return verified(
            statement,
            f"The checkpoint records inputs scaled to a norm of at most {recorded_bound:g}.",
        )
    if radius.option is not None:
        return declared(statement, f"{radius.option} {radius.value:g} was given.")
    return assumed(statement, "The default; give --radius for other inputs.")


def loss_line(beta: Declared, margin: float | None) -> Assumption:
    """Whether the loss is in [0, 1] and beta-Lipschitz."""
    statement = f"The loss is in [0, 1] and {beta.value:.6g}-Lipschitz in the prediction."
    if margin is not None:
        return verified(
            statement,
            f"The ramp loss at margin {margin:g}, which bounds the 0-1 error: sqrt(2)/margin.",
        )
    if beta.option is not None:
        return declared(statement, f"{beta.option} {beta.value:g} was given.")
    return assumed(statement, "The default; give --beta, or --margin for the ramp loss.")


def bits_line(bits: int) -> Assumption:
    """What the theorem leaves out about b-bit storage."""
    return assumed(
        f"The best rank-r factors are representable with {bits} bits for each parameter.",
        "The theorem's idealization: rounding the factors is not part of this value.",
    )


def stored_line(bits: int) -> Assumption:
    """What the stored network really is."""
    return verified(
        f"The compressed network is the one that is stored with {bits} bits for each parameter.",
        "Factors, biases and scales were rounded, read back and measured; all their bits count.",
    )


def width_line(bits: int) -> Assumption:
    """A width that nothing is stored in."""
    return violated("Parameters are stored in 1 to 32 bits.", f"b is {bits}.")


def not_understood(checkpoint: Checkpoint, read: ReadNetwork) -> list[SkippedLayer]:
    """What may be a part of the network in a form that is not known, with reasons."""
    parts = [SkippedLayer(name=one.name, reason=one.reason) for one in checkpoint.not_understood]
    return [*parts, *read.not_understood]


def parameter_lines(checkpoint: Checkpoint, read: ReadNetwork) -> list[Assumption]:
    """Whether every tensor that may be a weight is among the parameters of the hypothesis."""
    unknown = not_understood(checkpoint, read)
    if not unknown:
        return []
    first = unknown[0]
    more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
    return [
        violated(
            "Every weight is a floating-point parameter of the hypothesis.",
            f"Not understood: {first.name} ({first.reason}){more}.",
        )
    ]


def buffer_lines(buffers: Sequence[tuple[str, int]]) -> list[Assumption]:
    """What counts as a parameter of the hypothesis beside the parameters of the network.

    Args:
        buffers: names and numbers of entries of running statistics, tables and the like.
    """
    if not buffers:
        return []
    entries = sum(count for _, count in buffers)
    return [
        verified(
            "What the predictor reads is a parameter of the hypothesis.",
            f"Running statistics and buffers too: {entries:,} entries of {len(buffers):,} tensors, "
            f"first {buffers[0][0]}.",
        )
    ]


def fixed_line(name: str, anchor: str) -> Assumption:
    """An index or a mask that is in no distance."""
    return violated(
        "Indices and masks, which are no parameters, are those of the anchors.",
        f"{name} differs from that of the anchor {anchor}.",
    )


def bounded_loss_line() -> Assumption:
    """The loss of the bounds that need nothing more of it."""
    return verified("The loss is in [0, 1].", "The statement is about the 0-1 error.")


def anchor_lines(names: Sequence[str], *, from_run: bool) -> list[Assumption]:
    """Whether anchors and predictor are what the theorem speaks of."""
    listed = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
    evidence = (
        "The initialization that the run recorded before its first step."
        if from_run
        else f"Given with --anchors: {listed}."
    )
    return [
        declared("The anchors do not depend on the bound's sample.", evidence),
        declared("The values of sigma were fixed before the sample.", "As given."),
        verified(
            "The statement is about the random predictor Q = N(theta, sigma^2 I).",
            "It does not cover the mean network itself.",
        ),
    ]


def count_line(given: int | None, found: int) -> Assumption:
    """Whether m is the number of examples that the bound is evaluated on."""
    statement = "m is the number of examples that the bound is evaluated on."
    if given is not None and given > found:
        return violated(statement, f"--m {given:,} was given; there are {found:,}.")
    return verified(statement, f"{found:,} examples were counted.")


def declared_sample_line(data: str, count: int, repeated: int) -> Assumption:
    """What the sample is where no run recorded it; ``repeated`` images equal others of it."""
    return declared(
        "The sample is drawn independently from the population.",
        f"The {count:,} training examples of {data} were given as the checkpoint's sample; "
        f"{told_repeated(repeated)}",
    )


def told_repeated(repeated: int) -> str:
    """How many images of a part of the data repeat others of it, as the end of a sentence."""
    if not repeated:
        return "none of its images repeats another, by hash."
    return (
        f"{repeated:,} of its images {'repeats' if repeated == 1 else 'repeat'} another, by hash."
    )


def run_sample_lines(config: RunConfig, repeated: int, *, is_bound: bool) -> list[Assumption]:
    """What the sample is where a run recorded it.

    Args:
        config: the run's facts.
        repeated: images of the sample that equal others of it.
        is_bound: whether hashes tie the record to the checkpoint's file.
    """
    count, altered = config["examples"], config["counts"]["altered"]
    tie = "" if is_bound else " The run recorded no sha256 of its files."
    found = (verified if is_bound else declared)(
        "The sample is the one that the checkpoint was trained on.",
        f"All {count:,} images of the run were found in the data by their hashes; labels are those "
        f"that it used.{tie}",
    )
    population = declared(
        "The sample is drawn independently from the population.",
        f"Given as such with --data, with the real labels; {told_repeated(repeated)}"
        if not altered
        else f"Its population is the one with altered labels: {altered:,} of {count:,} are; "
        f"{told_repeated(repeated)}",
    )
    return [found, population]


def gibbs_lines(draws: int, frozen: Sequence[str], *, relative: bool) -> list[Assumption]:
    """What the Monte Carlo step rests on.

    Args:
        draws: of weights.
        frozen: parameters that are not perturbed.
        relative: whether sigma multiplies an anchor's own scale.
    """
    lines = [draws_line(draws), *frozen_lines(frozen, "As given with --freeze.")]
    if relative:
        lines.append(
            verified(
                "The deviations of tensors are in a fixed proportion.",
                "Each is sigma times the root mean square of the first anchor's tensor.",
            )
        )
    return lines


def draws_line(draws: int) -> Assumption:
    """What the Monte Carlo step takes for granted."""
    return declared(
        f"The number of draws, {draws:,}, and their seed were fixed before their errors.",
        "As given; each draw of weights meets one example of the sample, drawn uniformly. The "
        "generator's numbers stand for independent standard normals; the predictor computes in "
        "float32.",
    )


def integral_line(cells: int) -> Assumption:
    """What stands in the place of draws where the logits are independent Gaussians."""
    return verified(
        "The risk of Q on the sample is bounded without draws.",
        "Only the weights that give the logits move, so that these are independent Gaussians: an "
        f"integral of one dimension for each example, by the lower ends of {cells:,} cells. Every "
        "rounding of float64 is paid; features are what float32 gives.",
    )


def frozen_lines(frozen: Sequence[str], why: str) -> list[Assumption]:
    """Why parameters that are not perturbed cost nothing; empty where all are perturbed.

    Args:
        frozen: their names.
        why: what says that they were fixed.
    """
    if not frozen:
        return []
    return [
        verified(
            "Frozen parameters cost nothing.",
            f"{len(frozen)} tensors equal every anchor's, entry by entry, first {frozen[0]}.",
        ),
        declared("What is frozen was fixed before the sample.", why),
    ]


def code_lines(rank: str, width: int, choices: int, *, is_given: bool) -> list[Assumption]:
    """What the code length counts.

    Args:
        rank: in words.
        width: bits for each parameter.
        choices: codes that the program chose from.
        is_given: the user gave the width, which no program can tell to be fixed in advance.
    """
    paid = verified(
        "Every bit of the stored network is paid for, and the choice of its code.",
        f"{rank} at {width} bits for each parameter, scales and biases included; one of {choices} "
        "codes.",
    )
    if not is_given:
        return [paid]
    return [paid, declared("b was fixed before the sample.", f"--b {width} was given.")]
