"""The network that a compression bound speaks of, written as a checkpoint."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from dlgen_cli.audit.report import report_of
from dlgen_cli.bounds import LayeredNetwork
from dlgen_cli.checkpoints.runs.factored import encode
from dlgen_cli.checkpoints.runs.low_rank import Factors, Whole
from dlgen_cli.checkpoints.runs.quantizer import require_bits
from dlgen_cli.checkpoints.runs.run_config import header_metadata
from dlgen_cli.checkpoints.runs.run_directory import serialize_safetensors
from dlgen_cli.errors import UsageError
from dlgen_cli.evidence.compression import (
    CompressionAudit,
    StoredAt,
    layered_network,
    prepare_compression,
)
from dlgen_cli.evidence.compression_stored import state_dict_of
from dlgen_cli.evidence.inputs import Inputs, read_inputs
from dlgen_cli.evidence.layers import Progress
from dlgen_cli.evidence.options import AuditOptions
from dlgen_cli.networks import GraphLayer, Recipe
from dlgen_cli.records import Bound, Headline, Report

#: Formats of a plain state dict, by the suffix of the file.
DENSE_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin")


@dataclass(frozen=True, slots=True, kw_only=True)
class Compressed:
    """A compressed network, ready to be written.

    Attributes:
        content: the bytes of a safetensors file, or of torch's.
        report: the bound on what was stored, with ``results``.
    """

    content: bytes
    report: Report


def compress(
    options: AuditOptions,
    *,
    ranks: Mapping[str, int | None] | None,
    file: str,
    dense: bool = False,
    progress: Progress,
) -> Compressed:
    """Compress a network to low-rank factors in b bits, and bound the gap by it.

    Args:
        options: checkpoint, b and the numbers of the bound; ``r`` is one rank for all layers.
        ranks: rank of some layers by name, None to store one whole; the others take ``r``, or
            what `compression.layer_ranks` chooses.
        file: where it will be written, for the report.
        dense: give the decoded weights, rounded to the type that the checkpoint has (float32 at
            least), as a plain state dict in the format of the suffix: `DENSE_SUFFIXES`.
        progress: called before each layer.

    Returns:
        The same architecture with factored weights: it reads back like any checkpoint.

    Raises:
        UsageError: the network cannot be compressed as a whole, a layer is unknown, a rank or b
            is out of its range.
    """
    if options.b is not None:
        require_bits(options.b)
    if dense and Path(file).suffix not in DENSE_SUFFIXES:
        raise UsageError(
            f"{file} has no suffix of a state dict.",
            remedy=f"Name the file with one of {', '.join(DENSE_SUFFIXES)}.",
        )
    inputs = read_inputs(options, with_layers=True, for_bounds=True, progress=progress)
    prepared = prepare_compression(inputs)
    if not prepared.applies:
        reason = inputs.read.obstacle or f"{inputs.read.skipped[0].name} was skipped"
        raise UsageError(
            f"{options.checkpoint} cannot be compressed as a whole: {reason.rstrip('.')}.",
            remedy="Give --arch, or see dlgen spectra for what was skipped.",
        )
    network = layered_network(inputs, prepared.gamma.value)
    _require_usual_weights(options, inputs)
    stored, bound = _best(prepared, network, ranks or {})
    packed, fixed = state_dict_of(inputs.read, stored.layers)
    content = (
        _dense_content(inputs, packed, fixed, file)
        if dense
        else _factored_content(prepared, packed, fixed)
    )
    before = sum(inputs.checkpoint.read(name).nbytes for name in inputs.checkpoint.tensors)
    report = report_of(
        inputs,
        command="compress",
        settings={
            "m": inputs.m,
            "delta": options.delta,
            "b": options.b or "auto",
            "r": options.r,
            **({"dense": True} if dense else {}),
        },
        bounds=[bound],
        headline=_headline(bound, options.delta),
        results={
            "file": file,
            "bytes_before": before,
            "bytes_after": len(content),
            "ranks": dict(stored.ranks),
            "bits": bound.terms["bits"],
        },
    )
    return Compressed(content=content, report=report)


def _factored_content(
    prepared: CompressionAudit,
    packed: Mapping[str, Factors | Whole],
    fixed: Mapping[str, Tensor],
) -> bytes:
    tensors, metadata = encode(packed)
    return serialize_safetensors({**fixed, **tensors}, {**metadata, **_origin(prepared)})


def _dense_content(
    inputs: Inputs,
    packed: Mapping[str, Factors | Whole],
    fixed: Mapping[str, Tensor],
    file: str,
) -> bytes:
    """The state dict of the module, decoded, in the order of the module."""
    known = inputs.read.tensors
    decoded: dict[str, Tensor] = {}
    for name in known:
        kind = known[name].dtype
        tensor = packed[name].weight() if name in packed else fixed[name]
        if kind.is_floating_point:
            tensor = tensor.to(kind if kind.itemsize >= 4 else torch.float32)
        decoded[name] = tensor.reshape(known[name].shape).clone()
    if Path(file).suffix == ".safetensors":
        facts = {"format": "pt", "compressed_from": inputs.checkpoint.sha256}
        return serialize_safetensors(decoded, facts)
    stream = io.BytesIO()
    torch.save(decoded, stream)
    return stream.getvalue()


def _require_usual_weights(options: AuditOptions, inputs: Inputs) -> None:
    """A weight that is made of other tensors cannot be written in place.

    Nor can a batch normalization without tensors for its factors.
    """
    for layer in inputs.read.network.layers.values():
        if layer.batch_norm is not None and not layer.batch_norm.affine:
            raise UsageError(
                f"{options.checkpoint} cannot be compressed: {layer.batch_norm.module} has no "
                "weight and bias, which its own factors are written as.",
                remedy="Train it with affine=True.",
            )
        if layer.recipe is not None and layer.recipe != _turned_recipe(layer):
            sources = ", ".join(layer.recipe.sources)
            raise UsageError(
                f"{options.checkpoint} cannot be compressed: {layer.name} is made of {sources}.",
                remedy="Give --arch, or save a state dict of plain weights.",
            )


def _turned_recipe(layer: GraphLayer) -> Recipe:
    """The recipe of a layer of a traced network that is stored with its inputs first."""
    return Recipe(sources=(layer.weight_name,), is_transposed=True, bias=layer.bias_name)


def _best(
    prepared: CompressionAudit, network: LayeredNetwork, ranks: Mapping[str, int | None]
) -> tuple[StoredAt, Bound]:
    delta = prepared.inputs.options.delta
    candidates = []
    for bits in prepared.widths:
        chosen = _chosen_ranks(prepared, network, ranks, bits)
        stored = prepared.store(network, bits, chosen)
        candidates.append((stored, prepared.bound_stored(network, stored, delta)))
    return min(candidates, key=lambda one: one[1].log10_value or 0.0)


def _chosen_ranks(
    prepared: CompressionAudit,
    network: LayeredNetwork,
    given: Mapping[str, int | None],
    bits: int,
) -> dict[str, int | None]:
    names = {map_.name: map_ for map_ in network.maps}
    for name, rank in given.items():
        if name not in names:
            raise UsageError(
                f"There is no layer {name} to give a rank.",
                remedy="Name layers as dlgen spectra lists them.",
            )
        if rank is not None and not 1 <= rank <= names[name].largest_rank:
            raise UsageError(
                f"The rank of {name} is {rank}; 1 to {names[name].largest_rank} was expected."
            )
    rank = prepared.inputs.options.r
    chosen = (
        prepared.best_ranks(network, bits)
        if rank is None
        else {
            name: None if map_.is_diagonal else min(rank, map_.largest_rank)
            for name, map_ in names.items()
        }
    )
    chosen |= given
    # factors that are no smaller than the weight are not a choice of their own: it stays whole
    return {
        name: None
        if one is None or names[name].factor_parameters(one) >= names[name].whole_parameters
        else one
        for name, one in chosen.items()
    }


def _origin(prepared: CompressionAudit) -> dict[str, str]:
    """What the file tells of the network it was made from."""
    checkpoint, read = prepared.inputs.checkpoint, prepared.inputs.read
    facts = {"compressed_from": checkpoint.sha256}
    if checkpoint.config is not None:
        return facts | header_metadata(checkpoint.config, tensors="compressed")
    if read.structure == "graph" and read.architecture is not None:
        facts["architecture"] = read.architecture
    if checkpoint.examples is not None:
        facts["examples"] = str(checkpoint.examples)
    return facts


def _headline(bound: Bound, delta: float) -> Headline:
    return Headline(
        theorem=bound.theorem,
        value=bound.value,
        log10_value=bound.log10_value,
        delta=delta,
        candidates=(bound.theorem,),
        status=bound.status,
    )
