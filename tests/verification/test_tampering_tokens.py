"""Facts of tokens, normalizations and attention that would make a bound smaller are seen."""

import copy
import json
from pathlib import Path

import pytest
import torch
from token_networks import TOKEN_NETWORKS
from typer.testing import CliRunner

from dlgen_cli.bounds.recorded_fields import Fields
from dlgen_cli.cli.app import app
from dlgen_cli.verification import verify

FILE = Path(__file__).parents[1] / "support" / "token_networks.py"
NAMES = ("transformer", "windows", "normalizations", "mixed")


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    found = {}
    for name in NAMES:
        constructor, shape = TOKEN_NETWORKS[name]
        torch.manual_seed(0)
        path = tmp_path_factory.mktemp("tokens") / "net.pt"
        torch.save(constructor().state_dict(), path)
        words = ["--arch", f"{FILE}:{constructor.__name__}", "--b", "8", "--json"]
        words += ["--input-shape", ",".join(map(str, shape))]
        result = CliRunner().invoke(app, ["audit", str(path), *words])
        assert result.exit_code == 0, result.output
        found[name] = json.loads(result.stdout)
    return found


def nodes_of(report):
    for bound in report["bounds"]:
        if "network" in bound["terms"]:
            yield bound["terms"]["network"]["nodes"]


def seen_after(report, kind, change, operation=None):
    """Whether a change of the first node of a kind, in all bounds, is told of that node."""
    report = copy.deepcopy(report)
    for nodes in nodes_of(report):
        index, node = next(
            (index, node)
            for index, node in enumerate(nodes)
            if node["kind"] == kind and node["operation"] == (operation or node["operation"])
        )
        change(node)
    places = [one.where for one in verify(Fields(report)).mismatches]
    return any(f"nodes[{index}]" in one for one in places)


@pytest.mark.parametrize("name", NAMES)
def test_they_are_sound_before(reports, name):
    assert not verify(Fields(reports[name])).mismatches


def scaled(field, factor):
    return lambda node: node.update({field: node[field] * factor})


def put(**fields):
    return lambda node: node.update(fields)


CHANGES = {
    "layer norm's cap": ("transformer", "normalization", scaled("cap_upper", 0.9)),
    "layer norm's tokens": ("transformer", "normalization", scaled("token_cap_upper", 0.9)),
    "layer norm's entries": ("transformer", "normalization", scaled("entry_cap_upper", 0.9)),
    "layer norm's slope": ("transformer", "normalization", put(factor_upper=0.5)),
    "group norm's cap": ("normalizations", "normalization", scaled("cap_upper", 0.9)),
    "group norm's tokens": ("normalizations", "normalization", put(token_cap_upper=0.1)),
    "attention's factor": ("transformer", "attention", put(factor_upper=0.1)),
    "attention with a cap": ("transformer", "attention", put(cap_upper=0.1)),
    "a sum's first term": ("transformer", "sum", put(coefficients_upper=[0.5, 1.0])),
    "a constant with a norm": ("transformer", "constant", put(offset_upper=0.1)),
    "a rearranged token": ("windows", "identity", put(token_axis=-2), "reshape"),
    "tokens of nothing": ("transformer", "identity", put(token_axis=-1), "reshape"),
    "a product's axes": ("windows", "matmul", put(contracted=[-1, -1])),
    "a mask's entries": ("windows", "constant", scaled("entry_cap_upper", 0.001), "constant"),
    "a repetition's entries": ("windows", "scale", put(entry_factor_upper=0.1)),
    "softmax by another name": ("windows", "softmax", put(operation="relu")),
    "a product with a cap": ("windows", "product", put(cap_upper=0.1)),
    "exp with a slope": ("windows", "exp", put(factor_upper=0.1)),
    "slopes of a parameter": ("normalizations", "prelu", put(factor_upper=0.1)),
    "log-softmax's slope": ("mixed", "lipschitz", put(factor_upper=1.0), "logsoftmax"),
    "largest entries": ("mixed", "max_pool", put(factor_upper=0.5)),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_smaller_fact_is_seen(reports, name):
    network, kind, change, *operation = CHANGES[name]
    if name == "a mask's entries":  # the one that no layer stores
        report = copy.deepcopy(reports[network])
        for nodes in nodes_of(report):
            node = next(one for one in nodes if one["kind"] == kind and "layer" not in one)
            change(node)
        places = [one.where for one in verify(Fields(report)).mismatches]
        assert any("entry_cap_upper" in one for one in places)
        return
    assert seen_after(reports[network], kind, change, *operation)
