"""``config.json`` of a training run: its keys, their types, and how it is read."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NotRequired, TypedDict, cast

from dlgen_cli.errors import CheckpointError

CONFIG_SCHEMA = "dlgen-run-1"
_MOST_PIXELS = 1 << 20  # on an axis
CONFIG_FILE = "config.json"
#: Key of a safetensors header under which the whole config stands.
HEADER_KEY = "dlgen"
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

    ``shape`` is that of one example, without the batch.
    """

    shape: list[int]
    scale: float
    norm_bound: float


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


class AnchorFacts(TypedDict):
    """What a run began at: the prior's mean with ``--objective pac-bayes``, or ``--start``.

    ``name`` and ``sha256`` are those of its file. ``examples`` of the run's source are on record
    as having trained it; ``hashes_sha256`` is the digest of their images' hashes
    (``anchor_hashes`` in ``labels.safetensors``), of no bytes where there are none. ``origin`` is
    ``initial`` (the run's own random initialization), ``run`` (a run of dlgen) or ``declared`` (a
    file that records no run).
    """

    name: str
    sha256: str
    examples: int
    hashes_sha256: str
    origin: str


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
    classes: NotRequired[list[str]]
    examples: int
    counts: Counts
    input: InputFacts
    seed: int
    examples_sha256: str
    versions: dict[str, str]


class RunConfig(DataFacts):
    """``config.json``: the facts of a finished run.

    ``architectures.build(architecture, **architecture_arguments)`` makes the network.
    ``examples`` is the ``m`` of the bounds: training examples really used, holdout excluded.
    ``epochs`` were run in all. ``linf_norm`` is the largest magnitude of a trained parameter;
    with ``clip_linf`` it is at most that, and so it was after every step. Errors are shares in
    [0, 1]: ``train_error`` on the examples trained on, ``test_error`` and ``holdout_error`` on
    real examples with their real labels. ``adversary`` is None but for ``mixed-adversarial``.
    ``examples_sha256`` is the digest of the training images and labels. ``classes`` are the names
    of the classes; ``computation`` tells precision, threads and processes. ``objective`` is
    ``pac-bayes`` where a posterior was trained, around ``anchor``, which also
    tells what an ordinary run started from; ``coded`` where a network of
    few coordinates was, see ``coded``; missing where the cross-entropy was minimised.
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


_NUMBER = (int, float)
_KINDS: Mapping[str, tuple[type, ...]] = {
    "dlgen_version": (str,),
    "architecture": (str,),
    "architecture_arguments": (dict,),
    "dataset": (str,),
    "adversary": (str, type(None)),
    "source": (str,),
    "examples": (int,),
    "counts": (dict,),
    "counts.examples": (int,),
    "counts.altered": (int,),
    "counts.holdout": (int,),
    "counts.test": (int,),
    "counts.classes": (int,),
    "counts.parameters": (int,),
    "input": (dict,),
    "input.shape": (list,),
    "input.scale": _NUMBER,
    "input.norm_bound": _NUMBER,
    "seed": (int,),
    "optimizer": (dict,),
    "optimizer.name": (str,),
    "optimizer.arguments": (dict,),
    "optimizer.batch_size": (int,),
    "stop": (dict,),
    "stop.epochs": (int,),
    "stop.until_train_error": (*_NUMBER, type(None)),
    "epochs": (int,),
    "clip_linf": (*_NUMBER, type(None)),
    "linf_norm": _NUMBER,
    "device": (str,),
    "examples_sha256": (str,),
    "train_error": _NUMBER,
    "test_error": _NUMBER,
    "holdout_error": (*_NUMBER, type(None)),
    "versions": (dict,),
}
#: The same for the keys that may be missing.
_OPTIONAL_KINDS: Mapping[str, Mapping[str, tuple[type, ...]]] = {
    "objective": {"objective": (str,)},
    "anchor": {
        "anchor": (dict,),
        "anchor.name": (str,),
        "anchor.sha256": (str,),
        "anchor.examples": (int,),
        "anchor.hashes_sha256": (str,),
        "anchor.origin": (str,),
    },
}


def read_config(directory: Path) -> RunConfig:
    """Read and check ``config.json``.

    Args:
        directory: a checkpoint directory of ``dlgen train``.

    Returns:
        The facts, with every key of `RunConfig` present and of its type.

    Raises:
        CheckpointError: the file is missing, is not JSON, has another schema, or lacks a key.
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
        CheckpointError: it is not JSON, has another schema, or lacks a key.
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
    for key, kinds in _KINDS.items():
        _check_key(where, found, key, kinds)
    for name, inner in _OPTIONAL_KINDS.items():
        for key, kinds in inner.items() if name in found else ():
            _check_key(where, found, key, kinds)
    shape, bound = found["input"]["shape"], found["input"]["norm_bound"]
    is_shape = all(isinstance(size, int) and 0 < size < _MOST_PIXELS for size in shape)
    if not (shape and is_shape and math.isfinite(bound) and bound > 0):
        raise CheckpointError(
            f"{where} has the input shape {shape} and norm bound {bound}; positive sizes and a "
            "positive bound were expected.",
            remedy=RETRAIN,
        )
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
        HEADER_KEY: json.dumps(config, sort_keys=True),
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
            remedy=f"Finish it with `dlgen train --resume --out {directory}`.",
        )
    return CheckpointError(
        f"{directory} holds no {name}: it is not a checkpoint directory of dlgen train.",
        remedy="Give a directory that `dlgen train` wrote.",
    )


def _check_key(where: str, found: Mapping[str, Any], key: str, kinds: tuple[type, ...]) -> None:
    value: Any = found
    for part in key.split("."):
        if part not in value:
            raise CheckpointError(f"{where} lacks the key {key!r}.", remedy=RETRAIN)
        value = value[part]
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        expected = " or ".join("null" if kind is type(None) else kind.__name__ for kind in kinds)
        raise CheckpointError(
            f"{where} has {value!r} under {key!r}; {expected} was expected.", remedy=RETRAIN
        )
