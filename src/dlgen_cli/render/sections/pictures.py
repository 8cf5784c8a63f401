"""The drawings of a page: norms by layer, truncation tails, bounds against what was swept."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from dlgen_cli.records import Bound, LayerSpectrum
from dlgen_cli.render import terms
from dlgen_cli.render.model import Picture, Section
from dlgen_cli.render.plots import figures
from dlgen_cli.render.sections.pac_bayes_posterior import posteriors

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_STYLE: Any = figures.STYLE | {"font.size": 10}
_MOST_NAMES = 16
_LONGEST_NAME = 28
_SMALLEST_TAIL = 1e-8


def pictures_section(layers: Sequence[LayerSpectrum], bounds: Sequence[Bound]) -> Section | None:
    """What a page shows beside the tables; None where there is nothing to draw.

    Args:
        layers: as measured.
        bounds: with their terms.

    Returns:
        Pictures that are drawn only when a page is written.
    """
    drawn = [
        *_layer_pictures(layers),
        *_rank_pictures(bounds),
        *_sigma_pictures(bounds),
        *_posterior_pictures(bounds),
    ]
    return Section(title="Plots", blocks=tuple(drawn), role="main") if drawn else None


def _picture(caption: str, figure: Callable[[], Figure]) -> Picture:
    return Picture(caption=caption, draw=lambda: figures.svg_text(figure()))


def _layer_pictures(layers: Sequence[LayerSpectrum]) -> list[Picture]:
    cut = [layer for layer in layers if layer.truncation_errors_upper]
    later = "" if len(cut) <= len(figures.PALETTE) else ", the later the stronger"
    found = []
    if layers:
        found.append(
            _picture(
                "Norms of every layer, in the order of the network.",
                lambda: norms_by_layer(layers),
            )
        )
    if cut:
        found.append(
            _picture(
                "What a truncation to a share of the full rank cuts off, relative to the layer's "
                f"norm; one line for each layer{later}.",
                lambda: truncation_tails(cut),
            )
        )
    return found


def _rank_pictures(bounds: Sequence[Bound]) -> list[Picture]:
    from dlgen_cli.render.plots.rank_sweep import rank_sweep

    return [
        _picture(
            "The compression bound and its two parts against the rank.",
            partial(rank_sweep, bound.terms["sweep"], title=bound.theorem),
        )
        for bound in bounds
        if bound.status != "not_applicable" and bound.terms.get("sweep")
    ]


def _sigma_pictures(bounds: Sequence[Bound]) -> list[Picture]:
    curves = {
        bound.theorem: bound.terms["sigmas"]
        for bound in bounds
        if bound.status != "not_applicable" and len(bound.terms.get("sigmas", ())) > 1
    }
    if not curves:
        return []
    return [
        _picture("PAC-Bayes bounds against the standard deviation.", lambda: bound_by_sigma(curves))
    ]


def _posterior_pictures(bounds: Sequence[Bound]) -> list[Picture]:
    return [
        _picture(
            "Complexity against the risk on the sample and the bound: the posteriors of "
            f"{bound.theorem}.",
            partial(risk_by_complexity, rows),
        )
        for bound in bounds
        if bound.status != "not_applicable" and len(rows := posteriors(bound)) > 1
    ]


def norms_by_layer(layers: Sequence[LayerSpectrum]) -> Figure:
    """Upper ends of the spectral and the Frobenius norm of each layer, on a logarithmic axis.

    Raises:
        DependencyError: matplotlib is missing.
    """
    matplotlib, figure = figures.new_figure(8.0, 3.8, _STYLE)
    with matplotlib.rc_context(_STYLE):
        axes = figure.add_subplot()
        places = range(1, len(layers) + 1)
        series = [
            ("Frobenius norm", [one.frobenius_norm.upper for one in layers]),
            ("spectral norm", [one.spectral_norm.upper for one in layers]),
        ]
        if any(one.folded_norm is not None for one in layers):
            folded = [one.folded_norm.upper if one.folded_norm else math.nan for one in layers]
            series.append(("spectral norm, normalization folded in", folded))
        for index, (label, values) in enumerate(series):
            shown = [value if value > 0 else math.nan for value in values]
            style = figures.curve_style(index, len(series)) | {"linewidth": 0.8}
            axes.plot(places, shown, label=label, **style)
        axes.set_yscale("log")
        figures.label_sizes(axes.yaxis)
        _name_places(axes, [one.name for one in layers])
        _finish(axes, "norm")
        figures.legend_below(figure, len(series))
    return figure


def truncation_tails(layers: Sequence[LayerSpectrum]) -> Figure:
    """The relative truncation error of each layer against the share of its full rank.

    Few layers are named; of many, the later is the stronger line.

    Raises:
        DependencyError: matplotlib is missing.
    """
    matplotlib, figure = figures.new_figure(8.0, 3.8, _STYLE)
    with matplotlib.rc_context(_STYLE):
        axes = figure.add_subplot()
        shown = [layer for layer in layers if layer.truncation_errors_upper[0] > 0]
        named = len(shown) <= len(figures.PALETTE)
        for index, layer in enumerate(shown):
            tails = layer.truncation_errors_upper
            full = len(tails) - 1
            share = (index + 1) / len(shown)
            style = figures.curve_style(index, len(shown)) if named else {"color": figures.INK}
            axes.plot(
                [rank / full for rank in range(full)],
                [max(tail / tails[0], 1e-16) for tail in tails[:full]],
                label=_short(layer.name),
                **style | {"linewidth": 1.4, "marker": "", "alpha": 1.0 if named else share},
            )
        axes.set_yscale("log")
        axes.set_ylim(bottom=max(_SMALLEST_TAIL, axes.get_ylim()[0]))
        figures.label_sizes(axes.yaxis)
        axes.set_xlabel("share of the full rank")
        _finish(axes, "relative error")
        if named:
            figures.legend_below(figure, min(3, len(shown)))
    return figure


def bound_by_sigma(curves: Mapping[str, Sequence[Mapping[str, Any]]]) -> Figure:
    """Each bound's value at every sigma, on logarithmic axes.

    Args:
        curves: rows ``{sigma, value}`` by theorem.

    Raises:
        DependencyError: matplotlib is missing.
    """
    matplotlib, figure = figures.new_figure(8.0, 3.8, _STYLE)
    with matplotlib.rc_context(_STYLE):
        axes = figure.add_subplot()
        for index, (theorem, rows) in enumerate(curves.items()):
            points = sorted(
                (row["sigma"], 10 ** terms.magnitude(row, "value"))
                for row in rows
                if abs(terms.magnitude(row, "value")) < 300
            )
            axes.plot(
                [sigma for sigma, _ in points],
                [value for _, value in points],
                label=theorem,
                **figures.curve_style(index, len(curves)),
            )
        axes.axhline(
            1.0, color=figures.QUIET, linewidth=1.0, linestyle=":", label="1 (vacuous above)"
        )
        axes.set_xscale("log")
        axes.set_yscale("log")
        figures.label_sizes(axes.xaxis)
        figures.label_sizes(axes.yaxis)
        axes.set_xlabel("sigma")
        _finish(axes, "bound")
        figures.legend_below(figure, 3)
    return figure


def risk_by_complexity(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """The risk on the sample and the bound of each posterior against its KL.

    Args:
        rows: ``{name, kl_nats, empirical_risk, value}``.

    Raises:
        DependencyError: matplotlib is missing.
    """
    matplotlib, figure = figures.new_figure(8.0, 3.8, _STYLE)
    with matplotlib.rc_context(_STYLE):
        axes = figure.add_subplot()
        points = sorted(
            (row for row in rows if terms.number(row, "kl_nats") is not None),
            key=lambda row: float(row["kl_nats"]),
        )
        nats = [row["kl_nats"] for row in points]
        series = (("value", "bound"), ("empirical_risk", "risk on the sample"))
        for index, (name, label) in enumerate(series):
            style = figures.curve_style(index, len(series))
            axes.plot(nats, [row[name] for row in points], label=label, **style)
        middle = (min(nats) + max(nats)) / 2
        for row in points:
            place = (row["kl_nats"], row["value"])
            side = "right" if row["kl_nats"] > middle else "left"  # names stay within the axes
            axes.annotate(
                str(row["name"]), place, (0, 8), textcoords="offset points", fontsize=8,
                ha=side, parse_math=False,
            )  # fmt: skip
        axes.set_xlabel("KL (nats)")
        axes.set_ylim(bottom=0, top=1.12 * max(row["value"] for row in points))
        _finish(axes, "risk")
        figures.legend_below(figure, len(series))
    return figure


def _name_places(axes: Axes, names: Sequence[str]) -> None:
    if len(names) > _MOST_NAMES:
        from matplotlib.ticker import MaxNLocator

        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlim(0.5, len(names) + 0.5)
        axes.set_xlabel("layer")
        return
    shown = [_short(name) for name in names]
    axes.set_xticks(range(1, len(names) + 1), shown, rotation=30, ha="right", parse_math=False)


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"…{name[-_LONGEST_NAME:]}"


def _finish(axes: Axes, label: str) -> None:
    axes.set_ylabel(label)
    axes.grid(visible=True, axis="y", color=figures.GRID, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
