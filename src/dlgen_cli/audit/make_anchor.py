"""An anchors file from a checkpoint: its weights, a head for the classes at hand, its origin.

What the file must not hide is what trained it: hashes of the images of a run go with its weights,
so that those examples leave every bound that the file is an anchor of.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dlgen_cli import __version__
from dlgen_cli.architectures import build, code_constructor, is_code
from dlgen_cli.checkpoints.checkpoint import Checkpoint
from dlgen_cli.checkpoints.json_text import parse_object
from dlgen_cli.checkpoints.reader import open_checkpoint
from dlgen_cli.checkpoints.runs.anchor_record import AnchorRecord, AnchorStep, Head, record_metadata
from dlgen_cli.checkpoints.runs.run_directory import (
    INIT_FILE,
    is_run_directory,
    serialize_safetensors,
)
from dlgen_cli.checkpoints.runs.trained_on import trained_on
from dlgen_cli.datasets.image_folder import class_names, is_image_folder
from dlgen_cli.errors import AnchorError, CheckpointError, UsageError
from dlgen_cli.evidence.samples import open_data
from dlgen_cli.networks.loaded_module import BuiltNetwork, build_for, head_of
from dlgen_cli.records import Report

_MOST_BYTES = 1 << 22
_HEADS = ("keep", "zero", "rows")


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorOptions:
    """What the user asked for; None where nothing was given.

    Attributes:
        source: a checkpoint, a run's directory or another anchors file.
        initial: take a run's initialization in place of its trained weights.
        arch: the architecture that the user declares.
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

    source: Path
    initial: bool = False
    arch: str | None = None
    arch_arguments: Mapping[str, Any] = field(default_factory=dict)
    image_size: int | None = None
    mirrored: bool = False
    taps: str | None = None
    head: str = "keep"
    classes: int | None = None
    data: str | None = None
    rows: Path | None = None
    head_scale: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorFile:
    """An anchors file, ready to be written.

    Attributes:
        content: the bytes of a safetensors file; opens as a checkpoint too.
        record: what its header tells of its origin.
        report: what was done.
    """

    content: bytes
    record: AnchorRecord
    report: Report


def make_anchor(options: AnchorOptions, *, file: str) -> AnchorFile:
    """Make an anchors file of one state dict.

    The new head is zero, or each row the average of the rows that the user names for its class.
    The names of classes are knowledge and no data: the anchor stays independent of every sample.

    Args:
        options: what to make.
        file: where it will be written, for the report.

    Raises:
        UsageError: options contradict each other, or the network has no head of its own.
        CheckpointError: the source cannot be read, or records a training on unknown images.
        AnchorError: the file of rows does not fit the classes or the head.
    """
    _require_options(options)
    checkpoint = _open_source(options)
    size = {} if options.image_size is None else {"image_size": options.image_size}
    built = build_for(checkpoint, options.arch, {**options.arch_arguments, **size})
    rows = _read_rows(options)
    count = len(rows) if rows else _count_classes(options)
    scale = 1.0 if options.head_scale is None else options.head_scale
    arguments, tensors = _with_head(built, options.head, count, rows, scale)
    arguments, tensors = _with_views(built.architecture, arguments, tensors, options)
    record = _record(options, checkpoint, built, arguments, rows)
    record = replace(record, tensors_sha256=_tensors_sha256(tensors))
    content = serialize_safetensors(tensors, record_metadata(record))
    results = {
        "file": file,
        "architecture": record.architecture,
        **{f"architecture_{name}": value for name, value in arguments.items()},
        "parameters": sum(one.numel() for one in tensors.values() if one.is_floating_point()),
        "source": options.source.name,
        "source_sha256": checkpoint.sha256,
        "head": options.head,
        "origin": record.origin,
        "examples": record.examples,
        "ancestors": [
            {"name": one.name, "origin": one.origin, "images": one.source, "examples": one.examples}
            for one in record.ancestors
        ],
    }
    settings = {
        "initial": options.initial,
        "head": options.head,
        "head_scale": scale,
        "classes": count,
    }
    report = Report(
        dlgen_version=__version__,
        command="anchors",
        settings=settings,
        results=results | ({"rows": _rows_table(rows)} if rows else {}),
    )
    return AnchorFile(content=content, record=record, report=report)


def _rows_table(rows: Mapping[str, Sequence[int]]) -> list[dict[str, Any]]:
    return [
        {"class": name, "averaged": ", ".join(str(one) for one in places)}
        for name, places in rows.items()
    ]


def _require_options(options: AnchorOptions) -> None:
    if options.arch_arguments and options.arch is None:
        raise UsageError("--arch-arg was given without --arch.", remedy="Give both.")
    if options.head not in _HEADS:
        raise UsageError(
            f"--head {options.head!r} is unknown.", remedy=f"Choose one of: {', '.join(_HEADS)}."
        )
    if (options.rows is None) == (options.head == "rows"):
        raise UsageError(
            "--head rows and --rows FILE belong together; one of them was given.",
            remedy="Give both, or neither.",
        )
    if options.head_scale is not None and (options.rows is None or not options.head_scale > 0):
        raise UsageError(
            f"--head-scale is {options.head_scale:g}; a number above 0, with --head rows, was "
            "expected.",
            remedy="Leave it out, or give both.",
        )
    if options.head == "keep" and (options.classes is not None or options.data is not None):
        raise UsageError(
            "--classes and --data were given with --head keep, which keeps the classes.",
            remedy="Leave them out, or give --head zero.",
        )
    if options.head == "zero" and (options.classes is None) == (options.data is None):
        raise UsageError(
            "--head zero needs the number of classes, from --classes or from --data.",
            remedy="Give one of them.",
        )
    if options.classes is not None and options.classes < 2:
        raise UsageError(f"--classes is {options.classes}.", remedy="Give at least 2.")


def _open_source(options: AnchorOptions) -> Checkpoint:
    if not options.initial:
        return open_checkpoint(options.source)
    if not is_run_directory(options.source):
        raise UsageError(
            f"--initial was given, but {options.source} is no directory of dlgen train.",
            remedy="Leave out --initial.",
        )
    return open_checkpoint(options.source / INIT_FILE)


def _class_names(data: str) -> tuple[str, ...]:
    """The classes of the data in their order; images are not read where folders name them."""
    path = Path(data)
    if path.is_dir() and is_image_folder(path):
        return class_names(path / "train")
    return open_data(data).classes


def _count_classes(options: AnchorOptions) -> int | None:
    return options.classes if options.data is None else len(_class_names(options.data))


def _read_rows(options: AnchorOptions) -> dict[str, tuple[int, ...]]:
    """Rows of the source's head for each class, in the order of the classes."""
    if options.rows is None:
        return {}
    try:
        with options.rows.open("rb") as file:
            found = parse_object(file.read(_MOST_BYTES + 1))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise AnchorError(
            f"--rows {options.rows} cannot be read as JSON ({reason}).",
            remedy='Give an object such as {"cat": [281, 282], "dog": [207]}.',
        ) from error
    for name, places in found.items():
        fits = isinstance(places, list) and places
        if not fits or not all(type(one) is int and one >= 0 for one in places):
            raise AnchorError(
                f"--rows {options.rows}: the class {name!r} has no list of rows, counted from 0."
            )
        if len(set(places)) < len(places):
            raise AnchorError(f"--rows {options.rows}: the class {name!r} names a row twice.")
    order = list(found) if options.data is None else list(_class_names(options.data))
    if set(order) != set(found):
        odd = min(set(order) ^ set(found))
        where = options.data if odd in found else str(options.rows)
        raise AnchorError(
            f"--rows {options.rows} and --data {options.data} have different classes: {odd!r} is "
            f"not in {where}.",
            remedy="Name every class of the data, and no other.",
        )
    if len(order) < 2 or options.classes not in {None, len(order)}:
        raise AnchorError(
            f"--rows {options.rows} names {len(order)} classes; {options.classes or 'two or more'} "
            "were expected."
        )
    return {name: tuple(found[name]) for name in order}


def _with_head(
    built: BuiltNetwork,
    head: str,
    count: int | None,
    rows: Mapping[str, Sequence[int]],
    scale: float,
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The constructor's arguments and the state dict with the head that was asked for."""
    arguments, tensors = dict(built.arguments), dict(built.tensors)
    if head == "keep" or count is None:
        return arguments, tensors
    name = head_of(built.module)
    if built.architecture == "mlp" or f"{name}.weight" not in tensors:
        raise UsageError(
            f"The architecture {built.architecture} has no head of its own to replace.",
            remedy="Give --head keep.",
        )
    arguments["num_classes"] = count
    for one in (f"{name}.weight", f"{name}.bias"):
        if one in tensors:
            tensors[one] = _new_rows(tensors[one], count, rows, scale)
    _require_fit(_made(built.architecture, arguments), tensors, built.architecture)
    return arguments, tensors


def _made(architecture: str, arguments: Mapping[str, Any]) -> nn.Module:
    """The network of other arguments; by the code that the user named, where it was code."""
    if is_code(architecture):
        return code_constructor(architecture)(**arguments)
    return build(architecture, **arguments)


def _with_views(
    architecture: str,
    arguments: dict[str, Any],
    tensors: dict[str, Tensor],
    options: AnchorOptions,
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Mirrored images and taps, whose maps are zero at first."""
    if options.mirrored:
        arguments["mirrored"] = True
    if options.taps is not None:
        try:
            arguments["taps"] = [int(one) for one in options.taps.split(",")]
        except ValueError:
            raise UsageError(
                f"--taps is {options.taps!r}; numbers of blocks separated by commas were expected.",
                remedy="Give for example --taps 13,16.",
            ) from None
    fresh = _made(architecture, arguments).state_dict()
    return arguments, tensors | {name: fresh[name] for name in fresh.keys() - tensors.keys()}


def _new_rows(old: Tensor, count: int, rows: Mapping[str, Sequence[int]], scale: float) -> Tensor:
    """Zeros, or scaled averages of old rows, computed in float64 and rounded once.

    What all classes have in common changes no softmax; it is taken out.
    """
    if not rows:
        return old.new_zeros((count, *old.shape[1:]))
    for name, places in rows.items():
        if max(places) >= len(old):
            raise AnchorError(
                f"--rows names row {max(places)} for the class {name!r}; the head has "
                f"{len(old)} rows, counted from 0."
            )
    wide = old.double()
    averages = [wide[list(places)].mean(dim=0) for places in rows.values()]
    stacked = torch.stack(averages)
    return ((stacked - stacked.mean(dim=0)) * scale).to(old.dtype)


def _require_fit(module: nn.Module, tensors: Mapping[str, Tensor], architecture: str) -> None:
    """Refuse a network with more than one part that knows the number of classes."""
    for name, wanted in module.state_dict().items():
        if name in tensors and tensors[name].shape != wanted.shape:
            raise UsageError(
                f"The architecture {architecture} has another part that depends on the number of "
                f"classes: {name}.",
                remedy="Give --head keep.",
            )


def _record(
    options: AnchorOptions,
    checkpoint: Checkpoint,
    built: BuiltNetwork,
    arguments: Mapping[str, Any],
    rows: Mapping[str, Sequence[int]],
) -> AnchorRecord:
    found = trained_on(checkpoint)
    if found.origin == "untraced":
        raise CheckpointError(
            f"{options.source} records training on examples of {found.source}, but not on which; "
            "an anchor's examples must be able to leave a bound.",
            remedy="Give the run's whole directory.",
        )
    head: Head = "zero" if options.head == "zero" else "rows" if rows else "keep"
    step = AnchorStep(
        file=options.source.resolve().name, sha256=checkpoint.sha256, head=head, rows=rows
    )
    earlier = checkpoint.anchor.steps if checkpoint.anchor is not None else ()
    return AnchorRecord(
        origin=found.origin,
        architecture=built.architecture,
        arguments=arguments,
        input_shape=built.input_shape,
        steps=(*earlier, step),
        source=found.source,
        hashes=found.hashes.contiguous().numpy().tobytes(),
        looks=found.looks.contiguous().numpy().tobytes(),
        indices=found.indices.numpy().astype("<i8").tobytes(),
        ancestors=found.ancestors,
    )


def _tensors_sha256(tensors: Mapping[str, Tensor]) -> str:
    """Digest of what follows the header of a safetensors file, whatever its metadata."""
    content = serialize_safetensors(tensors, {})
    return hashlib.sha256(content[8 + int.from_bytes(content[:8], "little") :]).hexdigest()
