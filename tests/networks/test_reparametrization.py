"""The names of weight normalization, against what torch itself calls its parameters."""

import pytest
import torch
from torch import nn

from dlgen_cli.networks.reparametrization import (
    normalized_weight,
    resolve_weight_norm,
    weight_norm_names,
)


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
@pytest.mark.parametrize("form", [0, 1])
def test_both_forms_are_named_and_resolved_as_torch_has_them(form):
    normalize = (nn.utils.weight_norm, nn.utils.parametrizations.weight_norm)[form]
    plain = nn.Linear(5, 3).double()
    expected = plain.weight.detach().clone()
    state = nn.Sequential(nn.ReLU(), normalize(plain)).state_dict()
    g, v = weight_norm_names("1.weight")[form]
    assert {g, v, "1.bias"} == set(state)
    assert normalized_weight(g) == "1.weight"
    assert normalized_weight(v) is None
    torch.testing.assert_close(resolve_weight_norm(state[g], state[v]), expected)


@pytest.mark.parametrize("name", ["1.weight", "a.original0", "parametrizations.a.b.original0"])
def test_other_names_are_no_norms(name):
    assert normalized_weight(name) is None
