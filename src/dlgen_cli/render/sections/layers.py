"""The layers with their norms, and the tensors that were left out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from dlgen_cli.records import LayerSpectrum, SkippedLayer
from dlgen_cli.render import numbers
from dlgen_cli.render.model import Column, Paragraph, Section, Table

_MOST_SKIPPED, _BRIEF_LAYERS = 8, 6

Cell = Callable[[LayerSpectrum], str]


def layers_section(
    layers: Sequence[LayerSpectrum], verbosity: int, *, brief: bool = False
) -> Section | None:
    """Describe the layers that were measured; None without layers.

    Args:
        layers: in the order of the network.
        verbosity: 1 or more keeps the lower ends of the norms on a narrow page.
        brief: of many layers, show those of the largest norm.

    Returns:
        One table, a row for each layer.
    """
    if not layers:
        return None
    weights = numbers.integer(sum(layer.parameters for layer in layers))
    title = f"Layers: {numbers.integer(len(layers))}, with {weights} weights"
    if brief and len(layers) > _BRIEF_LAYERS:
        largest = sorted(layers, key=_norm, reverse=True)[:_BRIEF_LAYERS]
        title += f"; the {_BRIEF_LAYERS} of the largest norm"
        layers = [layer for layer in layers if layer in largest]
    described = _columns(layers, verbosity)
    table = Table(
        columns=tuple(column for column, _ in described),
        rows=tuple(tuple(cell(layer) for _, cell in described) for layer in layers),
        note="" if brief and _geometries(layers) == {"known"} else _geometry_note(layers),
        brief=brief,
    )
    return Section(title=title, blocks=(table, *_notes(layers)), role="main")


def _norm(layer: LayerSpectrum) -> float:
    return (layer.folded_norm or layer.spectral_norm).upper


def skipped_section(skipped: Sequence[SkippedLayer], verbosity: int) -> Section | None:
    """Name every tensor that was left out, with the reason; None where nothing was.

    Args:
        skipped: the tensors.
        verbosity: 1 or more shows all of a long list.

    Returns:
        One table; a long list ends with how many are not shown.
    """
    if not skipped:
        return None
    shown = skipped if verbosity else skipped[:_MOST_SKIPPED]
    hidden = len(skipped) - len(shown)
    table = Table(
        columns=(Column(header="tensor", kind="name"), Column(header="reason", kind="prose")),
        rows=tuple((layer.name, layer.reason) for layer in shown),
        note=f"And {numbers.integer(hidden)} more; -v shows all." if hidden else "",
    )
    title = f"Skipped: {numbers.integer(len(skipped))}"
    return Section(title=title, blocks=(table,))


def shape(layer: LayerSpectrum) -> str:
    """Write a shape as ``64×32×3×3``."""
    return "×".join(str(size) for size in layer.shape)


def _notes(layers: Sequence[LayerSpectrum]) -> list[Paragraph]:
    """What is said of layers, once for all of which the same is true."""
    names: dict[str, list[str]] = {}
    for layer in layers:
        if layer.note:
            names.setdefault(layer.note, []).append(layer.name)
    return [
        Paragraph(
            text=f"{named[0]}{_others(len(named) - 1)}: {note}.",
            tone="muted",
        )
        for note, named in names.items()
    ]


def _others(count: int) -> str:
    return f" and {numbers.integer(count)} more" if count else ""


def _columns(layers: Sequence[LayerSpectrum], verbosity: int) -> list[tuple[Column, Cell]]:
    columns: list[tuple[Column, Cell]] = [
        (Column(header="layer", kind="name"), lambda layer: layer.name),
        (Column(header="shape", priority=1), shape),
    ]
    if any(layer.kind != "linear" for layer in layers):
        columns.append((Column(header="kind", kind="status", priority=8), lambda layer: layer.kind))
    columns += [
        (
            Column(
                header="weights", priority=4, bars=_bars([layer.parameters for layer in layers])
            ),
            lambda layer: numbers.integer(layer.parameters),
        ),
        (
            Column(header="spectral norm ≥", priority=3 if verbosity else 9),
            lambda layer: numbers.lower(layer.spectral_norm.lower),
        ),
        (
            Column(
                header="spectral norm ≤",
                bars=_bars([layer.spectral_norm.upper for layer in layers]),
            ),
            lambda layer: numbers.upper(layer.spectral_norm.upper),
        ),
        (
            Column(
                header="Frobenius norm ≤",
                priority=3,
                bars=_bars([layer.frobenius_norm.upper for layer in layers]),
            ),
            lambda layer: numbers.upper(layer.frobenius_norm.upper),
        ),
        (
            Column(
                header="stable rank",
                priority=2,
                bars=_bars([layer.stable_rank or 0.0 for layer in layers]),
            ),
            lambda layer: numbers.estimate(layer.stable_rank),
        ),
    ]
    return [*columns, *_truncation_columns(layers), *_convolution_columns(layers), *_bias(layers)]


def _bars(values: Sequence[float]) -> tuple[float, ...]:
    """Each as a share of the largest."""
    largest = max(values)
    return tuple(value / largest if 0 < largest < math.inf else 0.0 for value in values)


def _truncation_columns(layers: Sequence[LayerSpectrum]) -> list[tuple[Column, Cell]]:
    ranks = {layer.truncation.rank for layer in layers if layer.truncation is not None}
    if not ranks:
        return []

    def rank(layer: LayerSpectrum) -> str:
        return numbers.integer(None if layer.truncation is None else layer.truncation.rank)

    def error(layer: LayerSpectrum) -> str:
        return numbers.upper(None if layer.truncation is None else layer.truncation.error_upper)

    def relative(layer: LayerSpectrum) -> str:
        cut = layer.truncation
        return numbers.upper(None if cut is None else cut.relative_error_upper)

    def reshaped(layer: LayerSpectrum) -> str:
        cut = layer.truncation
        return numbers.upper(None if cut is None else cut.reshaped_error_upper)

    where = f"at r\u00a0=\u00a0{min(ranks)} ≤" if len(ranks) == 1 else "at r ≤"
    columns: list[tuple[Column, Cell]] = [
        (Column(header=f"error {where}"), error),
        (Column(header="relative error ≤"), relative),
    ]
    cuts = [layer.truncation for layer in layers if layer.truncation is not None]
    if any(cut.reshaped_error_upper is not None for cut in cuts):
        columns.append((Column(header="reshaped error ≤", priority=6), reshaped))
    return columns if len(ranks) == 1 else [(Column(header="r"), rank), *columns]


def _convolution_columns(layers: Sequence[LayerSpectrum]) -> list[tuple[Column, Cell]]:
    columns: list[tuple[Column, Cell]] = []
    if any(layer.row_norm is not None for layer in layers):

        def largest_row(layer: LayerSpectrum) -> str:
            return numbers.upper(None if layer.row_norm is None else layer.row_norm.upper)

        columns.append((Column(header="largest row ≤", priority=6), largest_row))
    if any(layer.reshaped_norm is not None for layer in layers):

        def reshaped(layer: LayerSpectrum) -> str:
            norm = layer.reshaped_norm
            return numbers.upper(None if norm is None else norm.upper)

        columns.append((Column(header="reshaped norm ≤", priority=6), reshaped))
    if any(layer.folded_norm is not None for layer in layers):

        def folded(layer: LayerSpectrum) -> str:
            norm = layer.folded_norm
            return numbers.upper(None if norm is None else norm.upper)

        columns.append((Column(header="folded norm ≤", priority=1), folded))
    if len(_geometries(layers)) > 1:
        columns.append(
            (
                Column(header="geometry", kind="status", priority=5),
                lambda layer: layer.geometry or numbers.MISSING,
            )
        )
    return columns


def _bias(layers: Sequence[LayerSpectrum]) -> list[tuple[Column, Cell]]:
    if not any(layer.bias_parameters for layer in layers):
        return []

    def norm(layer: LayerSpectrum) -> str:
        return numbers.upper(layer.bias_norm_upper if layer.bias_parameters else None)

    return [(Column(header="bias norm ≤", priority=7), norm)]


def _geometries(layers: Sequence[LayerSpectrum]) -> set[str]:
    return {layer.geometry for layer in layers if layer.geometry is not None}


def _geometry_note(layers: Sequence[LayerSpectrum]) -> str:
    folded = (
        " The folded norm is that of the map with batch normalization, which bounds use."
        if any(layer.folded_norm is not None for layer in layers)
        else ""
    )
    geometries = _geometries(layers)
    if geometries == {"known"}:
        return "Stride, padding and groups of the convolutions are known." + folded
    if geometries == {"assumed"}:
        return (
            "Stride, padding, groups and direction (transposed or not) of the convolutions are "
            "assumed: their norms are upper bounds for any, and may be loose."
        )
    return ""
