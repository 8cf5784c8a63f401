"""Numbers for a logger are upper ends of the norms of the weights as they are."""

import torch
from torch import nn

from dlgen_cli.integrations.norms import spectral_norms


def test_a_number_for_each_layer_above_its_norm():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.BatchNorm1d(5), nn.Linear(5, 2))
    found = spectral_norms(module)
    assert found.keys() == {"spectral_norm/0.weight", "spectral_norm/3.weight"}
    for name in ("0", "3"):
        exact = torch.linalg.matrix_norm(module.get_submodule(name).weight.double(), 2).item()
        assert exact <= found[f"spectral_norm/{name}.weight"] <= exact * 1.0001
    assert spectral_norms(module, include=["3*"], prefix="norm_").keys() == {"norm_3.weight"}
