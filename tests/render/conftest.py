"""Reports of every kind, built from records alone."""

import math
from dataclasses import replace
from typing import Any

import pytest

from dlgen_cli.records import (
    Assumption,
    Bound,
    BoundStatus,
    Coverage,
    Headline,
    Interval,
    LayerSpectrum,
    Provenance,
    Report,
    ReportError,
    SkippedLayer,
    Truncation,
)


@pytest.fixture
def _no_drawing(monkeypatch: pytest.MonkeyPatch):
    """Drawings differ between versions of matplotlib; their frame does not."""
    monkeypatch.setattr("dlgen_cli.render.formats.html._drawn", lambda _: "<svg></svg>")


SHA256 = "9f2c64b1d07a" + "0" * 52
SETTINGS = {"m": 50_000, "delta": 0.05, "b": 32, "r": 8, "beta": 1.0, "radius": 1.0}
LEDGER = (
    Assumption(
        statement="Every tensor was read and is finite.",
        status="verified",
        evidence="3 of 3 tensors.",
    ),
    Assumption(
        statement="The examples are drawn independently.",
        status="declared",
        evidence="Every bound needs it.",
    ),
    Assumption(
        statement="Inputs have norm at most 1.",
        status="assumed",
        evidence="No --radius was given.",
    ),
)
INDEPENDENCE = Assumption(
    statement="The anchors do not depend on the bound's sample.",
    status="violated",
    evidence="Anchor seed-0 equals the checkpoint.",
)


def make_layer(
    name: str, shape: tuple[int, ...], norm: float, *, rank: int = 8, convolution: bool = False
):
    error = norm * 0.25
    return LayerSpectrum(
        name=name,
        kind="conv2d" if convolution else "linear",
        shape=shape,
        parameters=math.prod(shape),
        spectral_norm=Interval(lower=norm * 0.999, upper=norm),
        frobenius_norm=Interval(lower=2 * norm, upper=2 * norm),
        stable_rank=4.0,
        truncation_errors_upper=(norm, error, 0.0),
        truncation=Truncation(rank=rank, error_upper=error, relative_error_upper=0.25025),
        geometry="known" if convolution else None,
        reshaped_norm=Interval(lower=0.7 * norm, upper=0.8 * norm) if convolution else None,
        bias_norm_upper=0.5 if convolution else 0.0,
        bias_parameters=shape[0] if convolution else 0,
    )


def make_bound(
    theorem: str,
    value: float | None,
    log10_value: float | None,
    terms: dict[str, Any],
    *,
    status: BoundStatus | None = None,
    ledger: tuple[Assumption, ...] = LEDGER,
):
    above = log10_value is not None and log10_value >= 0
    is_assumed = any(line.status == "assumed" for line in ledger)
    return Bound(
        theorem=theorem,
        title=f"The bound {theorem}",
        status=status or ("vacuous" if above else "conditional" if is_assumed else "holds"),
        value=value,
        log10_value=log10_value,
        terms=terms,
        assumptions=ledger,
        source="a book",
    )


def sweep_row(rank: int, log10_approximation: float):
    complexity = 0.3 * math.sqrt(rank)
    small = log10_approximation < 300
    approximation = 10**log10_approximation if small else None
    value = complexity + approximation if small else None
    return {
        "rank": rank,
        "bits": 12_288 * rank,
        "complexity": complexity,
        "log10_complexity": math.log10(complexity),
        "distance": approximation,
        "log10_distance": log10_approximation,
        "approximation": approximation,
        "log10_approximation": log10_approximation,
        "value": value,
        "log10_value": math.log10(value) if small else log10_approximation,
    }


def make_sweep(length: int, log10_start: float):
    return [sweep_row(rank, log10_start * (1 - rank / length)) for rank in range(1, length + 1)]


@pytest.fixture
def small_report():
    """Three matrices and two compression bounds, one of them beyond the float range."""
    layers = [make_layer(f"layers.{i}.weight", (64, 64), n) for i, n in enumerate((2.5, 1.9, 12.3))]
    sweep = make_sweep(64, 3700.0)
    fixed = {key: sweep[7][key] for key in sweep[7] if key not in {"value", "log10_value"}}
    return Report(
        dlgen_version="0.1.0",
        command="compress-bound",
        provenance=Provenance(
            checkpoint="ckpt.safetensors",
            format="safetensors",
            sha256=SHA256,
            architecture=None,
            structure="chain",
            parameters=12_288,
        ),
        settings=SETTINGS,
        layers=layers,
        bounds=[
            make_bound("compression.fixed_rank", None, 3699.1139, fixed),
            make_bound("compression.all_ranks", 3.4, 0.531479, {**sweep[-1], "sweep": sweep}),
        ],
    )


def _audit_bounds(names: list[str]) -> list[Bound]:
    anchors = [
        {
            "name": f"anchors/seed-{k}.safetensors",
            "distance": 100.0 + k,
            "kl_nats": 500_000.0 + 1000 * k,
            "value": 2.2 + 0.1 * k,
            "layers": [
                {"name": name, "squared_distance": 10.0 + i, "share": 1 / len(names)}
                for i, name in enumerate(names)
            ],
        }
        for k in range(4)
    ]
    sigmas = [{"sigma": s, "kl_nats": 50 / s**2, "value": 0.02 / s} for s in (0.01, 0.1)]
    pac_bayes = {"kl_nats": 500_000.0, "sigma": 0.01, "anchors": anchors, "sigmas": sigmas}
    shell = {
        "shell": 101,
        "volume": 0.3636,
        "complexity": 0.7271,
        "deviation": 0.0113,
        "linf_norm": 0.49,
        "largest_parameter": names[2],
        "parameters": 2_236_682,
        "epsilon": 1e-9,
        "distance": 0.01,
        "informative_distance": 1.5e-7,
        "informative_distance_any_epsilon": 1.6e-7,
    }
    stored = {
        "ranks": {name: 3 + i % 5 for i, name in enumerate(names)},
        "bits": 123_456,
        "complexity": 3.2,
        "distance": None,
        "log10_distance": 3698.8,
        "approximation": None,
        "log10_approximation": 3699.1139,
        "layer_error_upper": {name: 0.1 * i for i, name in enumerate(names)},
    }
    occam = {"bits": 12_345, "empirical_risk": 0.0125, "examples": 50_000}
    return [
        make_bound("compression.stored", None, 3699.1139, stored),
        make_bound("compression.occam", 0.41237, -0.38471, occam, ledger=LEDGER[:2]),
        make_bound(
            "pac_bayes.anchors",
            None,
            None,
            pac_bayes,
            status="not_applicable",
            ledger=(*LEDGER, INDEPENDENCE),
        ),
        make_bound("pac_bayes.mixture", 2.2, 0.342423, pac_bayes),
        make_bound(
            "rademacher.printed",
            0.0243,
            -1.6144,
            {**shell, "volume": None, "log10_volume": -673_309.2},
            status="not_applicable",
            ledger=(),
        ),
        make_bound("rademacher.expected", 0.7384, -0.13171, shell, ledger=()),
        make_bound("holdout.clopper_pearson", 0.02, -1.69897, {"errors": 12, "examples": 1000}),
    ]


@pytest.fixture
def audit_report():
    """Fifty-three layers with long names, bounds of every family, and a headline."""
    names = ["features.0.0.weight"]
    names += [f"features.{i}.conv.{j}.weight" for i in range(1, 18) for j in (0, 1, 2)]
    names += ["classifier.1.weight"]
    layers = [
        make_layer(name, (96, 16, 3, 3), 1.5 + index, convolution=True)
        for index, name in enumerate(names[:-1])
    ]
    layers.append(make_layer(names[-1], (10, 1280), 90_000.0))
    return Report(
        dlgen_version="0.1.0",
        command="audit",
        provenance=Provenance(
            checkpoint="runs/standard",
            format="run",
            format_title="run directory",
            sha256=SHA256,
            architecture="mobilenet_v2",
            structure="graph",
            parameters=2_236_682,
        ),
        settings={**SETTINGS, "sigma": [0.01, 0.1], "epsilon": 1e-9, "format": "table"},
        layers=layers,
        skipped=[
            SkippedLayer(
                name=f"features.{i}.conv.1.1.num_batches_tracked",
                reason="an integer counter, not a parameter",
            )
            for i in range(30)
        ],
        bounds=_audit_bounds(names),
        headline=Headline(
            theorem="compression.occam",
            value=0.41237,
            log10_value=-0.38471,
            delta=0.025,
            candidates=("compression.occam", "holdout.clopper_pearson"),
            status="conditional",
        ),
    )


@pytest.fixture
def results_report():
    """What a command without bounds found."""
    times = [0.5 * step for step in range(40)]
    return Report(
        dlgen_version="0.1.0",
        command="postulates",
        settings={"source": "digits", "epochs": 20},
        results={
            "directory": "runs/all",
            "seconds": 12.3456,
            "runs": [
                {"dataset": "standard", "examples": 1437, "train_error": 0.0, "test_error": 0.025},
                {"dataset": "random", "examples": 1437, "train_error": 0.0, "test_error": None},
            ],
            "verdicts": [
                {
                    "postulate": 1,
                    "holds": True,
                    "rule": "the test error is at most 0.1 while the train error is 0",
                    "evidence": "test error 0.025",
                }
            ],
            "times": times,
            "theory": [[time, 2 * time] for time in times],
        },
    )


@pytest.fixture
def comparison_report():
    """Gates, a table and an adapter beside those of another checkpoint; a part left out."""
    gates = [make_layer(f"decoder.lstm.weight_ih_l0[{gate}]", (128, 64), 3.0) for gate in "ifgo"]
    table = make_layer("embeddings.word_embeddings.weight", (30_522, 384), 25.0)
    product = make_layer("base_model.model.layers.11.self_attn.q_proj.lora", (384, 384), 0.5)
    layers = [
        *(replace(gate, kind="recurrent") for gate in gates),
        replace(table, kind="embedding", row_norm=Interval(lower=1.99, upper=2.0)),
        replace(product, kind="lora", note="the product B A of an adapter without its scale"),
    ]

    def distance(layer: LayerSpectrum, share: float):
        size = layer.spectral_norm.upper * share
        return {
            "name": layer.name,
            "kind": layer.kind,
            "shape": layer.shape,
            "spectral": Interval(lower=0.999 * size, upper=size),
            "frobenius": Interval(lower=1.999 * size, upper=2 * size),
            "relative_spectral": Interval(lower=0.99 * share, upper=share),
            "relative_frobenius": Interval(lower=0.99 * share, upper=share) if share else None,
        }

    shares = (0.25, 0.003, 0.0, 0.0)
    return Report(
        dlgen_version="0.1.0",
        command="spectra",
        provenance=Provenance(
            checkpoint="tuned.pt",
            format="torch",
            sha256=SHA256,
            architecture=None,
            structure="chain",
            parameters=12_000_000,
            coverage=Coverage(
                matrices=6,
                parameters=11_990_015,
                of=11_990_016,
                left_out=2,
                counted=1,
                entries=11_990_016,
            ),
        ),
        settings={"m": 50_000, "delta": 0.05, "r": None, "against": "base.pt"},
        layers=layers,
        skipped=[
            SkippedLayer(name="norm.running_mean", reason="normalization statistics: not a matrix"),
            SkippedLayer(name="lm_head.weight", reason="tied: the same entries as the table"),
        ],
        results={
            "against": {
                "checkpoint": "base.pt",
                "format": "torch",
                "sha256": SHA256,
                "layers": [distance(*pair) for pair in zip(layers, shares, strict=False)],
                "only_in_checkpoint": [layers[-1].name],
                "only_in_against": ["pooler.dense.weight"],
                "mismatched": [
                    {"name": table.name, "shape": table.shape, "against_shape": (28_996, 384)}
                ],
            }
        },
    )


@pytest.fixture
def error_report():
    """A failure."""
    return Report(
        dlgen_version="0.1.0",
        command="spectra",
        status="error",
        errors=[
            ReportError(
                code="checkpoint",
                message="The file ckpt.bin is not a checkpoint.",
                remedy="Give a .safetensors file.",
            )
        ],
    )


@pytest.fixture(params=["small", "audit", "results", "comparison", "error"])
def any_report(request: pytest.FixtureRequest):
    """Each of the reports in turn."""
    return request.getfixturevalue(f"{request.param}_report")
