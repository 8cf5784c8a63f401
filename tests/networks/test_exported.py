"""Modules that cannot be recorded, as the programs that torch.export makes of them."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from dlgen_cli import api
from dlgen_cli.checkpoints.in_memory import checkpoint_of
from dlgen_cli.networks.exported import exported
from dlgen_cli.networks.front_end import read_network
from dlgen_cli.predictors.folded_network import open_folded


class Branching(nn.Module):
    """Code that asks for sizes: a loop over rows, and a branch."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.last = nn.Linear(4, 2)

    def forward(self, x):
        x = functional.relu(self.norm(self.first(x)))
        if min(x.shape[-2:]) > 4:
            x = functional.avg_pool2d(x, 2)
        rows = [row.mean(-1) for row in x.unbind(2) if len(row.shape) == 3]
        return self.last(torch.stack(rows, -1).mean(-1) * 0.5)


def read(module, shape):
    checkpoint = checkpoint_of(module.state_dict(), "net")
    return checkpoint, read_network(checkpoint, module=module, input_shape=shape)


def test_code_that_asks_for_sizes_is_a_graph_all_the_same():
    torch.manual_seed(0)
    net = Branching().eval()
    net.norm.running_mean.normal_()
    checkpoint, found = read(net, (3, 8, 8))
    assert found.obstacle is None
    assert list(found.network.layers) == ["first.weight", "last.weight"]
    assert found.network.layers["first.weight"].is_folded
    x = torch.randn(5, 3, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(found.module(x), net(x))
        torch.testing.assert_close(open_folded(checkpoint, found)(x), net(x))


class Tokens(nn.Module):
    """Tokens, positions and attention to what came before."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(11, 8)
        self.places = nn.Embedding(16, 8)
        self.norm = nn.LayerNorm(8)
        self.joint = nn.Linear(8, 24)
        self.head = nn.Linear(8, 11)

    def forward(self, ids):
        places = torch.arange(ids.shape[1])
        x = self.norm(self.table(ids) + self.places(places)[None])
        q, k, v = self.joint(x).chunk(3, dim=-1)
        mask = torch.ones(len(places), len(places), dtype=torch.bool).tril()
        return self.head(functional.scaled_dot_product_attention(q, k, v, attn_mask=mask))


def test_tokens_are_taken_as_whole_numbers():
    torch.manual_seed(0)
    net = Tokens().eval()
    _, found = read(net, (6,))
    assert found.obstacle is None
    assert {"table.weight", "places.weight", "norm.weight"} <= found.network.layers.keys()
    ids = torch.randint(0, 11, (3, 6))
    with torch.no_grad():
        torch.testing.assert_close(exported(net, (6,))(ids), net(ids))


def test_what_neither_can_follow_says_why():
    class Values(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x):
            return self.layer(x) if float(x.sum()) > 0 else x

    _, found = read(Values().eval(), (4,))
    assert found.obstacle is not None
    with pytest.raises(Exception, match=r"."):
        exported(Values().eval(), (4,))


class InputsFirst(nn.Module):
    """Weights with their inputs first, as GPT-2 has them."""

    def __init__(self):
        super().__init__()
        self.first = nn.Module()
        self.first.weight = nn.Parameter(torch.randn(6, 5))
        self.first.bias = nn.Parameter(torch.randn(5))
        self.last = nn.Linear(5, 2)

    def forward(self, x):
        size = (*x.size()[:-1], 5)
        x = torch.addmm(self.first.bias, x.view(-1, x.size(-1)), self.first.weight).view(size)
        return self.last(functional.relu(x))


@pytest.mark.parametrize("bits", [6, 16])
@pytest.mark.parametrize("rank", [None, 2])
def test_a_weight_with_its_inputs_first_is_a_linear_layer_and_stored_as_it_was(
    bits, rank, tmp_path
):
    torch.manual_seed(0)
    net = InputsFirst().eval()
    _, found = read(net, (6,))
    assert found.obstacle is None
    layer = found.network.layers["first.weight"]
    assert (layer.kind, layer.weight_shape, layer.has_own_bias) == ("linear", (5, 6), True)
    (measured, _) = api.measure(net, input_shape=(6,)).layers
    norm = float(torch.linalg.matrix_norm(net.first.weight.detach(), 2))
    assert norm * (1 - 1e-6) <= measured.spectral_norm.upper <= norm * (1 + 1e-4)
    ranks = {"first.weight": rank}
    api.compress(net, tmp_path / "small.safetensors", b=bits, ranks=ranks, input_shape=(6,))
    stored = api.read_state_dict(tmp_path / "small.safetensors")["first.weight"]
    assert stored.shape == (6, 5)
    left, values, right = torch.linalg.svd(net.first.weight.detach().double())
    best = (
        (left[:, :5] * values) @ right if rank is None else (left[:, :2] * values[:2]) @ right[:2]
    )
    assert float((stored - best).abs().max()) < (0.3 if bits == 6 else 0.01)
