"""What a function of the API returns: a report for scripts, terminals and notebooks."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dlgen_cli import files, records
from dlgen_cli.errors import DependencyError, UsageError
from dlgen_cli.records import Bound, Headline, LayerSpectrum, SkippedLayer
from dlgen_cli.render import Format, render_text

if TYPE_CHECKING:
    import pandas as pd

_WIDTH = 100
_PAGE_HEIGHT = 640  # pixels in a notebook


class Report:
    """What was found of a network.

    Attributes:
        record: the same as the plain record that the JSON is written from.
    """

    def __init__(self, record: records.Report) -> None:
        self.record = record

    @property
    def bounds(self) -> Mapping[str, Bound]:
        """The bounds by theorem, for example ``bounds["compression.stored"].value``."""
        return {bound.theorem: bound for bound in self.record.bounds}

    @property
    def layers(self) -> Sequence[LayerSpectrum]:
        """What was measured of each layer."""
        return self.record.layers

    @property
    def skipped(self) -> Sequence[SkippedLayer]:
        """Tensors that were left out, with reasons."""
        return self.record.skipped

    @property
    def headline(self) -> Headline | None:
        """The bound that the report stands for; None where none applies."""
        return self.record.headline

    @property
    def settings(self) -> Mapping[str, Any]:
        """Every option in force."""
        return self.record.settings

    @property
    def results(self) -> Mapping[str, Any]:
        """What a command reports beside bounds, such as the errors of a certificate."""
        return self.record.results or {}

    def to_frame(self, rows: Literal["layers", "bounds"] | None = None) -> pd.DataFrame:
        """The layers or the bounds as a data frame of pandas.

        Args:
            rows: which; None takes the layers where there are any.

        Returns:
            A row for each, named by layer or theorem. Norms are upper ends.

        Raises:
            DependencyError: pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise DependencyError(
                "A data frame needs pandas.", remedy="Run: pip install 'dlgen[pandas]'"
            ) from error
        if (rows or ("layers" if self.layers else "bounds")) == "layers":
            found, name = [_layer_row(layer) for layer in self.layers], "layer"
        else:
            found, name = [_bound_row(bound) for bound in self.record.bounds], "theorem"
        return pd.DataFrame(found).set_index(name) if found else pd.DataFrame()

    def to_json(self) -> str:
        """The JSON of the command line, complete."""
        return render_text(self.record, Format.JSON)

    def save(self, path: str | Path) -> Path:
        """Write the report; the suffix gives the format.

        Args:
            path: ends in ``.html``, ``.json``, ``.md``, ``.csv`` or ``.txt``.

        Returns:
            The path.

        Raises:
            UsageError: the suffix names no format.
            OutputError: the file cannot be written.
        """
        path = Path(path)
        suffixes = {one.suffix: one for one in Format}
        if path.suffix.lower() not in suffixes:
            raise UsageError(f"The suffix of {path} names no format; {', '.join(suffixes)} do.")
        text = render_text(self.record, suffixes[path.suffix.lower()], width=_WIDTH)
        files.write_whole(path, text.encode())
        return path

    def __str__(self) -> str:
        """The page of the terminal."""
        return render_text(self.record, Format.TABLE, width=_WIDTH)

    def __repr__(self) -> str:
        """One line: command, and what the report stands for."""
        found = self.headline
        told = "no headline" if found is None else f"{found.theorem} = {found.value}"
        return f"<dlgen report of {self.record.command}: {told}>"

    def _repr_html_(self) -> str:
        """The page, in a frame of its own: its style does not touch the notebook's."""
        page = html.escape(render_text(self.record, Format.HTML))
        return (
            f'<iframe title="dlgen {html.escape(self.record.command)}" srcdoc="{page}" '
            f'style="width: 100%; height: {_PAGE_HEIGHT}px; border: 0"></iframe>'
        )


def _layer_row(layer: LayerSpectrum) -> dict[str, Any]:
    truncation = layer.truncation
    return {
        "layer": layer.name,
        "kind": layer.kind,
        "shape": layer.shape,
        "parameters": layer.parameters,
        "spectral_norm": layer.spectral_norm.upper,
        "spectral_norm_lower": layer.spectral_norm.lower,
        "folded_norm": None if layer.folded_norm is None else layer.folded_norm.upper,
        "frobenius_norm": layer.frobenius_norm.upper,
        "stable_rank": layer.stable_rank,
        "truncation_error": None if truncation is None else truncation.error_upper,
    }


def _bound_row(bound: Bound) -> dict[str, Any]:
    names = ("theorem", "status", "value", "log10_value", "title", "source")
    return {name: getattr(bound, name) for name in names}
