"""``config.json`` of a training run: its keys, their types, and how it is read."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, TypedDict, cast

import msgspec

from dlgen_cli.errors import CheckpointError

CONFIG_SCHEMA = "dlgen-run-1"
CONFIG_FILE = "config.json"
MODEL_FILE = "model.safetensors"
#: Key of a safetensors header under which the whole config stands.
HEADER_KEY = "dlgen"
_Axis = Annotated[int, msgspec.Meta(gt=0, lt=1 << 20)]
_Positive = Annotated[float, msgspec.Meta(gt=0, le=sys.float_info.max)]
RETRAIN = "Train the run again with `dlgen train`."


class Counts(TypedDict):
    """How many there are; ``altered`` of the ``examples`` are not the real ones."""

    examples: int
    altered: int
    holdout: int
    test: int
    classes: int
    parameters: int


class InputFacts(TypedDict):
    """What the network sees: pixels in [0, 1] times ``scale``, of norm at most ``norm_bound``.

    ``shape`` is that of one example, without the batch. Of features: finite float32 numbers.
    """

    shape: Annotated[list[_Axis], msgspec.Meta(min_length=1)]
    scale: _Positive
    norm_bound: _Positive


class FeatureFacts(TypedDict):
    """A file of features, in the order of their columns; ``name`` without its folders."""

    name: str
    sha256: str
    columns: _Axis


class OptimizerFacts(TypedDict):
    """The optimizer; ``arguments`` are those of torch's constructor.

    ``schedule`` says how the step size moves: ``constant`` where it is missing.
    """

    name: str
    arguments: dict[str, Any]
    batch_size: int
    schedule: NotRequired[str]


class StopFacts(TypedDict):
    """The stop rule: at most ``epochs``, fewer once the training error is low enough."""

    epochs: int
    until_train_error: float | None


class AncestorFacts(TypedDict):
    """Weights on the way to a run's, told without paths.

    ``name`` and ``sha256`` are those of the file or directory. ``origin`` is ``run`` (images on
    record trained it), ``initial`` (a run's random initialization), ``declared`` (nothing is on
    record) or ``unbound`` (a record that no hash ties to the weights). ``source`` is what its
    images are called and ``source_sha256`` the digest of all images there; ``hashes_sha256`` is
    the digest of the hashes of the ``examples`` that trained it, what it started from aside.
    """

    name: str
    sha256: str
    origin: Literal["declared", "initial", "run", "unbound"]
    source: str | None
    source_sha256: str | None
    examples: int
    hashes_sha256: str


class AnchorFacts(TypedDict):
    """What a run began at: the prior's mean with ``--objective pac-bayes``, or ``--start``.

    ``name`` and ``sha256`` are those of its file. ``examples`` of the run's source are on record
    as having trained it; ``hashes_sha256`` is the digest of their images' hashes
    (``anchor_hashes`` in ``labels.safetensors``), of no bytes where there are none. ``origin`` is
    ``initial`` (the run's own random initialization), ``run`` (a run of dlgen) or ``declared`` (a
    file that records no run). ``ancestors`` are all weights that it goes back to, itself first;
    version 0.1 recorded none.
    """

    name: str
    sha256: str
    examples: int
    hashes_sha256: str
    origin: str
    ancestors: NotRequired[list[AncestorFacts]]


class CodedFacts(TypedDict):
    """What determines a coded network beside its coordinates; see ``coded/network.py``.

    ``predictor`` is ``code`` or ``gaussian``; ``dim`` is D.
    """

    predictor: str
    dim: int
    width: int | None
    depth: int | None
    seed: int


class DataFacts(TypedDict):
    """The part of a run's facts that its examples and its seed determine."""

    schema: str
    dlgen_version: str
    dataset: str
    adversary: str | None
    source: str
    source_sha256: NotRequired[str]
    classes: NotRequired[list[str]]
    examples: int
    counts: Counts
    input: InputFacts
    seed: int
    examples_sha256: str
    versions: dict[str, str]
    features: NotRequired[list[FeatureFacts]]


class RunConfig(DataFacts):
    """``config.json``: the facts of a finished run.

    ``architectures.build(architecture, **architecture_arguments)`` makes the network.
    ``examples`` is the ``m`` of the bounds: training examples really used, holdout excluded.
    ``epochs`` were run in all. ``linf_norm`` is the largest magnitude of a trained parameter;
    with ``clip_linf`` it is at most that, and so it was after every step. Errors are shares in
    [0, 1]: ``train_error`` on the examples trained on, ``test_error`` and ``holdout_error`` on
    real examples with their real labels. ``adversary`` is None but for ``mixed-adversarial``.
    ``examples_sha256`` is the digest of the training images and labels, ``source_sha256`` that of
    all images of the source, missing where the run did not decode all. ``features`` are the files
    that rows of features came from, where they stand in the place of images. ``files`` are the
    sha256 of the run's files, in ``config.json`` alone and not in version 0.1: see `facts_of`.
    ``classes`` are the names of the classes; ``computation`` tells precision, threads and
    processes. ``objective`` is ``pac-bayes`` where a posterior was trained, around ``anchor``,
    which also tells what an ordinary run started from; ``coded`` where a network of few coordinates
    was, see ``coded``; missing where the cross-entropy was minimised.
    """

    architecture: str
    architecture_arguments: dict[str, Any]
    optimizer: OptimizerFacts
    stop: StopFacts
    epochs: int
    clip_linf: float | None
    linf_norm: float
    device: str
    computation: NotRequired[dict[str, Any]]
    train_error: float
    test_error: float
    holdout_error: float | None
    objective: NotRequired[str]
    anchor: NotRequired[AnchorFacts]
    coded: NotRequired[CodedFacts]
    files: NotRequired[dict[str, str]]


def facts_of(config: RunConfig) -> RunConfig:
    """The facts without the digests of files: what the headers of weight files repeat."""
    return cast("RunConfig", {name: one for name, one in config.items() if name != "files"})


def read_config(directory: Path) -> RunConfig:
    """Read and check ``config.json``.

    Args:
        directory: a checkpoint directory of ``dlgen train``.

    Returns:
        The facts as they stand there, with every key of `RunConfig` that must be, of its type.

    Raises:
        CheckpointError: the file is missing, is not JSON, has another schema, lacks a key, or holds
            a value of another type or out of its range.
    """
    path = directory / CONFIG_FILE
    try:
        return parse_config(path.read_bytes(), str(path))
    except FileNotFoundError as error:
        raise missing_file(directory, CONFIG_FILE) from error
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}.") from error


def parse_config(text: str | bytes, where: str) -> RunConfig:
    """Check the facts of a run, from ``config.json`` or from a weight file's header.

    Args:
        text: JSON.
        where: names the text in messages.

    Raises:
        CheckpointError: as `read_config`.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{where} is not JSON: {error}.", remedy=RETRAIN) from error
    if not isinstance(found, dict) or found.get("schema") != CONFIG_SCHEMA:
        schema = found.get("schema") if isinstance(found, dict) else None
        raise CheckpointError(
            f"{where} has schema {schema!r}; {CONFIG_SCHEMA!r} was expected.", remedy=RETRAIN
        )
    try:
        msgspec.convert(found, RunConfig)
    except msgspec.ValidationError as error:
        raise CheckpointError(
            f"{where} does not hold the facts of a run: {error}.", remedy=RETRAIN
        ) from error
    return cast("RunConfig", found)


def header_metadata(config: RunConfig, *, tensors: str) -> dict[str, str]:
    """The facts that a weight file of the run carries in its own header.

    Args:
        config: the run's facts.
        tensors: ``trained`` or ``initial``.

    Returns:
        The whole config as JSON under ``dlgen``, and flat: ``architecture``, ``examples`` (the
        bounds' ``m``) and ``tensors``.
    """
    return {
        HEADER_KEY: json.dumps(facts_of(config), sort_keys=True),
        "architecture": config["architecture"],
        "examples": str(config["examples"]),
        "tensors": tensors,
    }


def partial_directory(directory: Path) -> Path:
    """Where an unfinished run of ``directory`` keeps its state."""
    return directory.with_name(f"{directory.name}.partial")


def missing_file(directory: Path, name: str) -> CheckpointError:
    """The error for a file that a finished checkpoint directory would hold."""
    if partial_directory(directory).is_dir():
        return CheckpointError(
            f"{directory} is not finished: its training was interrupted.",
            remedy=f"Finish it with `dlgen train --resume --save {directory}`.",
        )
    return CheckpointError(
        f"{directory} holds no {name}: it is not a checkpoint directory of dlgen train.",
        remedy="Give a directory that `dlgen train` wrote.",
    )
