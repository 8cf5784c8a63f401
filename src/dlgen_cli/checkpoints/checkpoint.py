"""A checkpoint as the other rooms see it: named tensors, read when they are needed."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from dlgen_cli.checkpoints.program import Program
from dlgen_cli.checkpoints.runs.anchor_record import AnchorRecord
from dlgen_cli.checkpoints.runs.run_config import RunConfig
from dlgen_cli.checkpoints.stored import MOST_TENSORS, OTHERS, StoredTensor, brief, is_text
from dlgen_cli.errors import CheckpointError, TensorError

#: Parts that wrappers (compiled modules, FSDP, activation checkpoints) put into names, anywhere.
_WRAPPERS = {"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_fpw_module"}
#: What data-parallel wrappers put before every name, and what torch's AveragedModel adds.
_PARALLEL, _AVERAGES = "module.", "n_averaged"
_MOST_NUMBERS = 16  # in a name, for its place in the order
_PART = 1 << 22  # entries
_MOST_TRIED = 8  # names that a prefix is looked for with


#: Buffers that normalization layers keep: statistics of examples, no parameters.
_STATISTICS = ("running_mean", "running_var")
#: Types of entries that index, count or mask; no weight is stored in them.
_INDICES = ("int64", "uint64", "bool")
#: What modules write beside their weights in a form of their own.
_SERIALISED = "_extra_state"


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftAside:
    """A part of a file that is not among the network's tensors.

    Attributes:
        name: where it lies in the file.
        reason: what it is, with the evidence; or that this is not known.
        entries: stored entries that it reaches and that nothing named before it does.
    """

    name: str
    reason: str
    entries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorInfo:
    """What is known of a tensor before it is read.

    Attributes:
        name: as the audit reports it, wrapper prefixes stripped.
        stored_name: as the file has it.
        shape: sizes of its axes.
        is_floating: whether its entries can be read as real floating-point numbers.
        dtype: torch's name of the stored type, or the format's own (``Q4_K``).
        reason: why it cannot be read; empty where it can.
        place: where its entries lie; equal for tensors that share them, None where not known.
        entries: stored entries that it reaches and that no tensor before it does: 0 for a tied
            one, fewer than `numel` for a view that repeats entries.
        is_buffer: whether the file says that it is a buffer of a module, no parameter.
    """

    name: str
    stored_name: str
    shape: tuple[int, ...]
    is_floating: bool
    dtype: str = ""
    reason: str = ""
    place: Hashable = None
    entries: int = 0
    is_buffer: bool = False

    @property
    def is_view(self) -> bool:
        """Whether tensors before it reach all its entries: it is no parameter of its own."""
        return self.entries == 0 and self.numel > 0

    @property
    def is_statistic(self) -> bool:
        """Whether it is a running statistic of a normalization, by its name."""
        return self.name.rsplit(".", 1)[-1] in _STATISTICS

    @property
    def may_be_weight(self) -> bool:
        """Whether its entries, which are not floating point, may be those of a weight.

        A number on its own counts something, such as batches; whole numbers of 64 bits and truth
        values index and mask; ``_extra_state`` is a module's own record.
        """
        return not self.is_floating and bool(
            self.shape
            and self.dtype not in _INDICES
            and self.name.rsplit(".", 1)[-1] != _SERIALISED
        )

    @property
    def numel(self) -> int:
        """Number of entries."""
        count = 1
        for size in self.shape:
            count *= size
        return count


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Named tensors with a lazy reader.

    Nothing vanishes: the ``entries`` of ``tensors``, ``left_aside`` and ``not_understood`` add up
    to all entries that the file stores.

    Attributes:
        path: as the user gave it.
        sha256: hexadecimal digest of the file that holds the tensors; where there are several, of
            what ``sha256sum`` prints for them, in the order of their names.
        tensors: by name, in the order in which a chain takes them.
        reader: reads one tensor by its stored name.
        config: what `dlgen train` recorded; None in a checkpoint of another origin.
        examples: training examples that the checkpoint records; None where it does not.
        architecture: name of the architecture that it records; None where it does not.
        is_initial: whether it records that its tensors are those before the first step.
        is_trained: whether it records that its tensors are those after the last step.
        anchor: what `dlgen anchors` recorded; None in a checkpoint of another origin.
        notes: what a reader should know of how the tensors were found.
        left_aside: what the file holds beside the network and what is known to be no part of it,
            such as an optimizer's state.
        not_understood: what may be a part of the network; no bound can ignore it.
        program: the computation that the file brings; None where it holds weights alone.
        adapter_alpha: alpha of the adapters in it, where the file itself records one.
        format: its name in the table of formats; empty for tensors that were not opened by it.
        format_title: the same on pages.
    """

    path: Path
    sha256: str
    tensors: Mapping[str, TensorInfo]
    reader: Callable[[str], torch.Tensor]
    config: RunConfig | None = None
    examples: int | None = None
    architecture: str | None = None
    is_initial: bool = False
    is_trained: bool = False
    anchor: AnchorRecord | None = None
    notes: tuple[str, ...] = ()
    left_aside: tuple[LeftAside, ...] = ()
    not_understood: tuple[LeftAside, ...] = ()
    program: Program | None = None
    adapter_alpha: float | None = None
    format: str = ""
    format_title: str = ""

    def read(self, name: str) -> torch.Tensor:
        """Read one tensor.

        Returns:
            A tensor on the CPU, in its stored type.

        Raises:
            TensorError: it cannot be read as real numbers, or an entry is NaN or infinite; the
                tensor is named.
            CheckpointError: the file was changed or cannot be read any more.
        """
        info = self.tensors[name]
        if info.reason and info.dtype not in OTHERS:
            raise TensorError(
                f"Tensor {brief(name)} in {self.path} cannot be read ({info.reason}); a dense "
                "tensor of floating-point numbers was expected.",
                remedy="Save it dense: tensor.to_dense() or tensor.dequantize().",
            )
        try:
            tensor = self.reader(info.stored_name)
        except (OSError, ValueError, RuntimeError, MemoryError) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise CheckpointError(
                f"Tensor {brief(name)} of {self.path} cannot be read ({brief(reason)}).",
                remedy="Check that the file is whole and that memory is free.",
            ) from error
        if tensor.is_floating_point():
            bad = _not_finite(tensor)
            if bad:
                raise TensorError(
                    f"Tensor {brief(name)} in {self.path} holds {bad} NaN or infinite "
                    f"{'entry' if bad == 1 else 'entries'}; finite numbers were expected.",
                    remedy="Take a checkpoint from before the training diverged, or leave it out: "
                    f"--exclude {brief(name)}",
                )
        return tensor

    @property
    def floating(self) -> list[TensorInfo]:
        """The floating-point tensors, in order."""
        return [info for info in self.tensors.values() if info.is_floating]

    @property
    def unreadable(self) -> list[TensorInfo]:
        """Tensors that may be weights, but not floating-point ones: no bound can ignore them."""
        return [info for info in self.tensors.values() if info.may_be_weight]

    @property
    def parameters(self) -> int:
        """Entries of the floating-point parameters, tied ones once; buffers are none."""
        return sum(
            info.numel
            for info in self.floating
            if info.entries and not (info.is_buffer or info.is_statistic)
        )


def natural_key(name: str) -> str:
    """Sort key that puts ``layers.2`` before ``layers.10``."""

    def by_length(match: re.Match[str]) -> str:
        digits = match.group().lstrip("0")
        return f"\0{chr(len(digits))}{digits}"

    return re.sub(r"[0-9]+", by_length, name, count=_MOST_NUMBERS)


def index_tensors(tensors: Mapping[str, StoredTensor], path: Path) -> dict[str, TensorInfo]:
    """Index tensors by name with the prefixes of wrappers stripped.

    Args:
        tensors: by stored name, in order.
        path: for the message.

    Raises:
        CheckpointError: there is no tensor at all, or there are too many.
    """
    if not tensors:
        raise CheckpointError(
            f"{path} holds no tensor; a state dict with weights was expected.",
            remedy="Save model.state_dict() and pass that file.",
        )
    if len(tensors) > MOST_TENSORS:
        raise CheckpointError(
            f"{path} holds {len(tensors):,} tensors; at most {MOST_TENSORS:,} are read.",
            remedy="Pass the weights of one network.",
        )
    names = list(tensors)
    if not all(is_text(name) for name in names):
        raise CheckpointError(
            f"{path} has tensors whose names are no Unicode text.",
            remedy="Take the checkpoint from a source that you trust.",
        )
    names = _unwrapped(names)
    places: set[Hashable] = set()
    found = {}
    for name, (stored, one) in zip(names, tensors.items(), strict=True):
        entries = one.entries
        if entries is None:
            entries = 0 if one.place in places else math.prod(one.shape)
        if one.place is not None:
            places.add(one.place)
        found[name] = TensorInfo(
            name=name,
            stored_name=stored,
            shape=one.shape,
            is_floating=not one.reason,
            dtype=one.dtype,
            reason=one.reason,
            place=one.place,
            entries=entries,
            is_buffer=one.is_buffer,
        )
    return found


def _unwrapped(names: Sequence[str]) -> list[str]:
    """Names without the parts of wrappers; as they were where two would be the same."""
    found = [
        ".".join(part for part in name.split(".") if part not in _WRAPPERS) or name
        for name in names
    ]
    while all(name.startswith(_PARALLEL) or name == _AVERAGES for name in found) and any(
        name.startswith(_PARALLEL) for name in found
    ):
        found = [name.removeprefix(_PARALLEL) for name in found]
    return found if len(set(found)) == len(found) else list(names)


def with_prefix(checkpoint: Checkpoint, prefix: str) -> Checkpoint:
    """The tensors whose names start with a prefix, without it; the others are left aside.

    Args:
        checkpoint: opened.
        prefix: such as ``model.``; the dot may be missing.

    Raises:
        CheckpointError: no name starts with it.
    """
    if prefix and not prefix.endswith("."):
        prefix += "."
    kept, left = {}, []
    for name, info in checkpoint.tensors.items():
        if name.startswith(prefix) and name != prefix:
            short = name.removeprefix(prefix)
            kept[short] = replace(info, name=short)
        else:
            reason = f"its name does not start with {prefix}, the prefix given"
            left.append(LeftAside(name=name, reason=reason, entries=info.entries))
    if not kept:
        raise CheckpointError(
            f"No tensor of {checkpoint.path} has a name that starts with {brief(prefix)}; the "
            f"first is {brief(next(iter(checkpoint.tensors)))}.",
            remedy="Give --prefix as the names start.",
        )
    return replace(checkpoint, tensors=kept, left_aside=(*left, *checkpoint.left_aside))


def fitting_prefix(names: Iterable[str], wanted: Iterable[str]) -> str | None:
    """The prefix without which names are those that were wanted; None where none fits.

    Args:
        names: as they are.
        wanted: as they should be; nine in ten of them must be there under the prefix.
    """
    there, expected = set(names), list(wanted)
    counts: Counter[str] = Counter()
    for one in expected[:_MOST_TRIED]:
        counts.update(name.removesuffix(one) for name in there if name.endswith(f".{one}"))
    for prefix, _ in counts.most_common(3):
        if sum(f"{prefix}{one}" in there for one in expected) >= 0.9 * len(expected):
            return prefix
    return None


def without_prefix(checkpoint: Checkpoint, wanted: Iterable[str], prefix: str = "") -> Checkpoint:
    """A checkpoint to set beside another: without a prefix that the other's names lack.

    Args:
        checkpoint: opened.
        wanted: the other's names.
        prefix: what the user gave; without one, that under which the names are those wanted.
    """
    found = prefix or fitting_prefix(checkpoint.tensors, wanted) or ""
    has_it = found and any(name.startswith(found) for name in checkpoint.tensors)
    return with_prefix(checkpoint, found) if has_it else checkpoint


def prefix_remedy(one: Iterable[str], two: Iterable[str]) -> str:
    """What to do where the first names are the others but for a prefix; empty elsewhere."""
    prefix = fitting_prefix(one, two)
    return "" if prefix is None else f"The names fit without a prefix: give --prefix '{prefix}'"


def _not_finite(tensor: torch.Tensor) -> int:
    """How many entries are NaN or infinite; a part at a time, in little memory."""
    bad = 0
    flat = tensor.reshape(-1)
    for part in [flat] if flat.numel() <= _PART else torch.split(flat, _PART):
        # float8 types lack these operations; float32 holds them exactly
        wide = part if part.dtype.itemsize > 1 else part.float()
        # a sum of NaN or infinite entries is one; a sum may be infinite without them
        if not math.isfinite(float(wide.sum())):
            bad += wide.numel() - int(torch.isfinite(wide).sum())
    return bad
