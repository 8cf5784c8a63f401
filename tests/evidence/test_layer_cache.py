"""Measurements kept on disk: the same to the bit, never trusted, bounded."""

import json
import os
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from dlgen_cli.audit.audit import audit
from dlgen_cli.evidence import layer_cache as cache
from dlgen_cli.evidence import layers
from dlgen_cli.evidence.layer_cache import MeasurementCache, cache_directory, measurement_key
from dlgen_cli.evidence.options import AuditOptions
from dlgen_cli.networks import EffectiveLayer, GraphLayer
from dlgen_cli.records import Interval, LayerSpectrum, Truncation

SPECTRUM = LayerSpectrum(
    name="W",
    kind="conv2d",
    shape=(3, 2, 1, 1),
    parameters=6,
    spectral_norm=Interval(lower=0.1 + 0.2, upper=1 / 3),
    frobenius_norm=Interval(lower=5e-324, upper=float("inf")),
    stable_rank=None,
    truncation_errors_upper=(1.5, 0.1, 0.0),
    truncation=Truncation(rank=1, error_upper=0.1, relative_error_upper=None),
    singular_values=(Interval(lower=0.0, upper=1e-7),),
    geometry="known",
    reshaped_norm=Interval(lower=1.0, upper=2.0),
)


def never():
    raise AssertionError("it was measured again")


def test_what_is_kept_reads_back_to_the_bit(tmp_path):
    pair = (SPECTRUM, replace(SPECTRUM, folded_norm=Interval(lower=1.0, upper=1.1)))
    kept = MeasurementCache(tmp_path)
    assert kept.recall("a" * 64, "W", lambda: pair) == pair
    assert MeasurementCache(tmp_path).recall("a" * 64, "W", never) == pair
    other = MeasurementCache(tmp_path).recall("a" * 64, "another name", never)
    assert other == tuple(replace(one, name="another name") for one in pair)


DAMAGES = {
    "cut short": lambda text: text[:40],
    "emptied": lambda _: "",
    "a changed digit": lambda text: text.replace("0.3333", "0.3334"),
    "no object": lambda _: "[1, 2]",
    "another digest": lambda text: json.dumps(json.loads(text) | {"digest": "0" * 64}),
    "no text": lambda text: json.dumps({"digest": json.loads(text)["digest"]}),
    "bytes": lambda _: "\x00\xff",
    "deep": lambda _: "[" * 100_000,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_entry_is_measured_again_and_rewritten(tmp_path, damage):
    kept, pair = MeasurementCache(tmp_path), (SPECTRUM, SPECTRUM)
    kept.recall("k", "W", lambda: pair)
    (path,) = tmp_path.rglob("*.json")
    whole = path.read_text()
    path.write_text(DAMAGES[damage](whole))
    assert kept.recall("k", "W", lambda: pair) == pair
    assert path.read_text() == whole


def test_an_entry_under_another_key_is_not_believed(tmp_path):
    kept, pair = MeasurementCache(tmp_path), (SPECTRUM, SPECTRUM)
    kept.recall("one", "W", lambda: pair)
    (path,) = tmp_path.rglob("*.json")
    path.rename(path.with_name("two.json"))
    with pytest.raises(AssertionError, match="again"):
        kept.recall("two", "W", never)


def test_the_least_recently_used_go_first(tmp_path, monkeypatch):
    kept, pair = MeasurementCache(tmp_path), (SPECTRUM, SPECTRUM)
    for age, key in enumerate(["new", "old", "older"]):
        kept.recall(key, "W", lambda: pair)
        path = next(tmp_path.rglob(f"{key}.json"))
        os.utime(path, (1e9 - age, 1e9 - age))
    monkeypatch.setattr(cache, "_MOST_BYTES", 2 * path.stat().st_size)
    kept.recall("older", "W", never)  # used just now
    kept.trim()
    assert {path.stem for path in tmp_path.rglob("*.json")} == {"new", "older"}


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path):
    (tmp_path / "file").write_text("")
    kept, pair = MeasurementCache(tmp_path / "file"), (SPECTRUM, SPECTRUM)
    assert kept.recall("k", "W", lambda: pair) == pair
    kept.trim()


def effective(weight, **facts):
    layer = GraphLayer(
        name="W",
        module="W",
        kind="linear",
        weight_shape=tuple(weight.shape),
        has_own_bias=False,
        input_shape=(weight.shape[1],),
        output_shape=(weight.shape[0],),
        **facts,
    )
    return EffectiveLayer(layer=layer, weight=weight, bias=None, rounding_upper=0.0)


def test_a_key_is_of_content_type_shape_geometry_and_settings_but_not_of_names():
    weight = torch.arange(12.0).reshape(3, 4)
    one = effective(weight)
    same = replace(one, layer=replace(one.layer, name="other", module="other"))
    key = measurement_key([one], rank=8)
    assert key == measurement_key([same], rank=8)
    assert key == measurement_key([effective(weight.t().contiguous().t())], rank=8)
    changed = weight.clone()
    changed[2, 3] = torch.nextafter(changed[2, 3], torch.tensor(99.0))
    others = [
        measurement_key([effective(changed)], rank=8),
        measurement_key([effective(weight.double())], rank=8),
        measurement_key([effective(weight.reshape(4, 3))], rank=8),
        measurement_key([effective(weight, stride=(2,))], rank=8),
        measurement_key([replace(one, rounding_upper=1e-9)], rank=8),
        measurement_key([replace(one, bias=torch.zeros(3))], rank=8),
        measurement_key([one], rank=9),
        measurement_key([one, one], rank=8),
    ]
    assert len({key, *others}) == 9


def test_the_folder_is_the_users_or_the_platforms(monkeypatch, tmp_path):
    monkeypatch.setenv("DLGEN_CACHE_DIR", str(tmp_path / "own"))
    assert cache_directory() == tmp_path / "own"
    monkeypatch.delenv("DLGEN_CACHE_DIR")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_directory() == tmp_path / "dlgen"


def test_a_second_audit_measures_nothing_and_says_the_same(tmp_path, monkeypatch):
    generator = torch.Generator().manual_seed(0)
    tensors = {f"l.{n}.weight": torch.randn(300, 260, generator=generator) for n in range(3)}
    save_file(tensors, tmp_path / "x.safetensors")
    options = AuditOptions(checkpoint=tmp_path / "x.safetensors", r=4, singular_values=True)
    plain = audit(options, command="spectra")
    first = audit(replace(options, cache=True), command="spectra")
    monkeypatch.setattr(layers, "measure_layer", lambda *_, **__: never())
    second = audit(replace(options, cache=True), command="spectra")
    assert plain.layers == first.layers == second.layers
    with pytest.raises(AssertionError, match="again"):
        audit(options, command="spectra")
