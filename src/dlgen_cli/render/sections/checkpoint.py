"""What was read, and with which settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dlgen_cli.records import Coverage, Provenance
from dlgen_cli.render import numbers
from dlgen_cli.render.model import Fact, Facts, Section
from dlgen_cli.render.text import unbroken
from dlgen_cli.render.values import line

_SHA256_DIGITS = 12
_MOST_SETTINGS, _BRIEF_SETTINGS = 14, 3
#: Settings that decide the numbers come first.
_FIRST_SETTINGS = (
    "m",
    "delta",
    "b",
    "bits",
    "r",
    "rank",
    "beta",
    "margin",
    "gamma",
    "radius",
    "sigma",
    "epsilon",
)
_ARCHITECTURE = (
    "--arch NAME (torchvision), timm:NAME or FILE.py:NAME (your code) traces the network itself"
)
#: Options that say how to print, not what to compute; shown with -v.
_HOUSEKEEPING = frozenset(
    {"checkpoint", "debug", "format", "json", "output", "plot", "quiet", "verbose", "verbosity"}
)


def checkpoint_section(
    provenance: Provenance | None, settings: Mapping[str, Any], verbosity: int, *, brief: bool
) -> Section | None:
    """Name the file, the network, how much of it was read, and the settings; None without them.

    Args:
        provenance: of the checkpoint; None for a command that reads none.
        settings: every option in force.
        verbosity: 1 or more shows the whole hash and every setting.
        brief: show little of the settings, and nothing of the file.
    """
    facts = (
        *_provenance(provenance, verbosity, brief=brief),
        *_settings(settings, verbosity, brief=brief),
    )
    if not facts:
        return None
    title = "Settings" if provenance is None else "Checkpoint and settings"
    return Section(title=title, blocks=(Facts(facts=facts),), role="main")


def _provenance(provenance: Provenance | None, verbosity: int, *, brief: bool) -> list[Fact]:
    if provenance is None:
        return []
    digits = None if verbosity else _SHA256_DIGITS
    structure = {
        "graph": "traced as a graph",
        "chain": "taken as a chain of matrices",
    }[provenance.structure]
    network = (
        provenance.architecture or "architecture unknown",
        structure,
        f"{numbers.integer(provenance.parameters)} parameters",
    )
    source = (
        provenance.format_title or provenance.format,
        f"sha256 {provenance.sha256[:digits]}",
    )
    return [
        *([] if brief else [Fact(label="file", value=_joined(source))]),
        Fact(label="network", value=_joined(network)),
        *([] if provenance.structure == "graph" else _hint(provenance.architecture)),
        *_coverage(provenance.coverage),
    ]


def _joined(parts: Sequence[str]) -> str:
    return ", ".join(unbroken(part) for part in parts)


def _hint(recorded: str | None) -> list[Fact]:
    """How to give the architecture; one that is on record as code is run only where asked for."""
    is_code = recorded is not None and ":" in recorded
    text = f"--arch {recorded} runs that code, if you trust it, and traces the network itself"
    text = text if is_code else _ARCHITECTURE
    return [Fact(label="hint", value=text)]


def _coverage(coverage: Coverage | None) -> list[Fact]:
    if coverage is None:
        return []
    share = numbers.covered(coverage.parameters, coverage.of)
    covered = f"{numbers.integer(coverage.parameters)} of {numbers.integer(coverage.of)}"
    matrices = "matrix" if coverage.matrices == 1 else "matrices"
    tensors = "tensor" if coverage.left_out == 1 else "tensors"
    others = (
        (coverage.counted, "in other parameters"),
        (coverage.unknown, "not understood"),
        (coverage.aside, "entries kept aside"),
    )
    parts = (
        f"{numbers.integer(coverage.matrices)} {matrices}",
        f"{covered} parameters ({share})",
        *(f"{numbers.integer(count)} {what}" for count, what in others if count),
        f"{numbers.integer(coverage.left_out) if coverage.left_out else 'no'} {tensors} left out",
    )
    return [Fact(label="coverage", value=_joined(parts))]


def _settings(settings: Mapping[str, Any], verbosity: int, *, brief: bool) -> list[Fact]:
    first = [name for name in _FIRST_SETTINGS if name in settings]
    rest = [name for name in settings if name not in _FIRST_SETTINGS]
    names = [*first, *rest]
    if not verbosity:
        names = [name for name in names if name not in _HOUSEKEEPING and _is_set(settings[name])]
    most = _BRIEF_SETTINGS if brief else _MOST_SETTINGS
    hidden = 0 if verbosity else max(0, len(names) - most)
    shown = names[: len(names) - hidden]
    parts = [
        unbroken(f"{name} = {line(settings[name], numbers.setting, between=' | ')}")
        for name in shown
    ]
    if hidden:
        parts.append(unbroken(f"and {hidden} more with -v"))
    return [Fact(label="settings", value=", ".join(parts))] if parts else []


def _is_set(value: object) -> bool:
    return value is not None and value is not False and value not in ("", (), [], {})
