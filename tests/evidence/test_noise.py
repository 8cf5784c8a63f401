"""A sigma that drowns the weights is said, with the power of two that would do."""

import math
import re

import pytest
from safetensors.torch import load_file

from dlgen_cli.bounds import Anchor, pinsker


def warning(invoke, run, *words):
    result = invoke("pacbayes", run, "-q", "--json", *words)
    assert result.exit_code == 0, result.output
    return " ".join(result.stderr.split())


def test_weights_below_sigma_are_noise(digits_mlp, invoke):
    weights = load_file(digits_mlp / "model.safetensors")
    start = load_file(digits_mlp / "init.safetensors")
    count = sum(one.numel() for one in weights.values())
    scale = math.sqrt(sum(float(one.double().square().sum()) for one in weights.values()) / count)
    assert 0.25 < scale < 0.5
    assert "warning" not in warning(invoke, digits_mlp, "--sigma", 0.25)
    said = warning(invoke, digits_mlp, "--sigma", 0.5)
    assert f"root mean square of the weights, {scale:.4g}: Q is mostly noise" in said
    squared = sum(float((weights[name] - start[name]).double().square().sum()) for name in weights)
    anchor = Anchor(name="start", squared_distance_upper=squared, contributions=())
    powers = [2.0**exponent for exponent in range(-16, 4)]
    values = {row["sigma"]: row for row in pinsker([anchor], powers, 1300, 0.05).terms["sigmas"]}
    best = min((one for one in powers if one < scale), key=lambda one: values[one]["log10_value"])
    found = re.search(r"sigma = ([\d.]+) minimizes pac_bayes.pinsker .*: about ([\d.]+),", said)
    assert found is not None
    assert float(found[1]) == best
    assert float(found[2]) == pytest.approx(values[best]["value"], rel=1e-3)


def test_a_predictor_that_errs_like_a_guess_is_noise(digits_mlp, invoke):
    words = ("--data", "digits", "--draws", 500, "--sigma")
    assert "warning" not in warning(invoke, digits_mlp, *words, 0.1)
    said = warning(invoke, digits_mlp, *words, 2)
    assert "guessing errs on 0.9: Q is mostly noise" in said
    assert "among the 20 powers of two" in said
    assert "the union over all of them paid" in said
