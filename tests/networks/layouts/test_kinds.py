"""Gates, projections, tables and kernels: what torch's own modules compute is the measure."""

import pytest
import torch
from torch import nn

CELLS = {"LSTM": (nn.LSTM, "ifgo"), "GRU": (nn.GRU, "rzn")}


def seeded(seed=0):
    torch.manual_seed(seed)


@pytest.mark.parametrize("cell", CELLS)
def test_gates_are_cut_in_torch_order(read, cell):
    seeded()
    module, gates = CELLS[cell]
    net = module(5, 4, num_layers=2, bidirectional=True)
    found = read(net.state_dict())
    assert len(found.layers) == 2 * 2 * 2 * len(gates)
    assert set(found.kinds.values()) == {"recurrent"}
    assert not found.skipped
    for suffix in ("_l0", "_l0_reverse", "_l1", "_l1_reverse"):
        for which in ("ih", "hh"):
            parts = getattr(net, f"weight_{which}{suffix}").chunk(len(gates))
            offsets = getattr(net, f"bias_{which}{suffix}").chunk(len(gates))
            for gate, part, offset in zip(gates, parts, offsets, strict=True):
                name = f"weight_{which}{suffix}[{gate}]"
                assert torch.equal(found.weight(name).float(), part)
                assert torch.equal(found.bias(name).float(), offset)


def test_the_gates_compute_what_the_lstm_computes(read):
    seeded(1)
    net = nn.LSTM(3, 4)
    found = read({f"lstm.{name}": one for name, one in net.state_dict().items()})
    x = torch.randn(3, dtype=torch.float64)

    def preactivation(gate):
        layers = (f"lstm.weight_{which}_l0[{gate}]" for which in ("ih", "hh"))
        inside, outside = (found.effective(name) for name in layers)
        return inside.weight.double() @ x + inside.bias + outside.bias

    i, _, g, o = (preactivation(gate) for gate in "ifgo")
    expected = o.sigmoid() * (i.sigmoid() * g.tanh()).tanh()
    assert torch.allclose(net.double()(x.reshape(1, 3))[0][0], expected, atol=1e-6)


def test_projections_plain_recurrences_and_cells(read):
    seeded(2)
    found = read(nn.LSTM(3, 6, proj_size=2).state_dict())
    assert found.weight("weight_hh_l0[o]").shape == (6, 2)
    assert found.weight("weight_hr_l0").shape == (2, 6)
    assert list(read(nn.RNN(3, 4).state_dict()).layers) == ["weight_ih_l0", "weight_hh_l0"]
    assert list(read(nn.GRUCell(3, 4).state_dict()).layers)[:3] == [
        f"weight_ih[{gate}]" for gate in "rzn"
    ]


def test_a_recurrent_matrix_of_unknown_gates_is_whole(read):
    found = read({"rnn.weight_ih_l0": torch.ones(10, 3), "rnn.weight_hh_l0": torch.ones(10, 4)})
    assert list(found.layers) == ["rnn.weight_ih_l0", "rnn.weight_hh_l0"]
    assert "taken whole" in found.layers["rnn.weight_ih_l0"].note


@pytest.mark.parametrize("kdim", [None, 6])
def test_multihead_attention_is_cut_in_its_projections(read, kdim):
    seeded(3)
    net = nn.MultiheadAttention(8, 2, kdim=kdim, vdim=kdim)
    with torch.no_grad():
        net.in_proj_bias.normal_()
    found = read({f"attn.{name}": one for name, one in net.state_dict().items()})
    biases = net.in_proj_bias.chunk(3)
    for part, bias in zip("qkv", biases, strict=True):
        name = f"attn.in_proj_weight[{part}]" if kdim is None else f"attn.{part}_proj_weight"
        assert torch.equal(found.bias(name).float(), bias)
        assert found.kinds[name] == "attention"
    if kdim is None:
        parts = [found.weight(f"attn.in_proj_weight[{part}]") for part in "qkv"]
        assert torch.equal(torch.cat(parts).float(), net.in_proj_weight)
    assert not found.skipped


def test_gpt2_keeps_its_matrices_transposed(read):
    seeded(4)
    state = {
        "h.0.attn.c_attn.weight": torch.randn(6, 18),
        "h.0.attn.c_attn.bias": torch.randn(18),
        "h.0.attn.c_proj.weight": torch.randn(6, 6),
        "h.0.attn.c_proj.bias": torch.randn(6),
        "h.0.mlp.c_fc.weight": torch.randn(6, 24),
        "h.0.mlp.c_fc.bias": torch.randn(24),
    }
    found = read(state)
    fused = state["h.0.attn.c_attn.weight"]
    for index, part in enumerate("qkv"):
        name = f"h.0.attn.c_attn.weight[{part}]"
        columns = slice(6 * index, 6 * (index + 1))
        assert torch.equal(found.weight(name).float(), fused[:, columns].T)
        assert torch.equal(found.bias(name).float(), state["h.0.attn.c_attn.bias"][columns])
    square = found.weight("h.0.attn.c_proj.weight").float()
    assert torch.equal(square, state["h.0.attn.c_proj.weight"].T)
    assert found.weight("h.0.mlp.c_fc.weight").shape == (24, 6)
    assert not found.skipped


def test_an_unknown_order_of_heads_is_not_cut(read):
    found = read(
        {"attn.query_key_value.weight": torch.ones(12, 4), "x.qkv.weight": torch.ones(9, 4)}
    )
    assert list(found.layers) == ["attn.query_key_value.weight", "x.qkv.weight"]
    assert all("not on record" in layer.note for layer in found.layers.values())


def test_tables_of_embeddings_are_told_by_name_and_by_having_no_bias(read):
    state = {
        "bert.embeddings.word_embeddings.weight": torch.randn(7, 4),
        "transformer.wte.weight": torch.randn(7, 4),
        "time_embed.weight": torch.randn(5, 4),
        "time_embed.bias": torch.randn(5),
        "embed_out.weight": torch.randn(7, 4),
    }
    kinds = read(state).kinds
    assert list(kinds.values()) == ["embedding", "embedding", "linear", "linear"]


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_the_bias_tells_a_transposed_convolution(read, axes):
    module = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)[axes - 1](4, 6, 3)
    found = read({f"up.{name}": one for name, one in module.state_dict().items()})
    layer = found.layers["up.weight"]
    assert (layer.kind, layer.transposed) == (f"conv_transpose{axes}d", True)
    assert torch.equal(found.bias("up.weight").float(), module.bias)


def test_layers_that_are_no_chain_say_so(read):
    assert "recurrent" in read(nn.GRU(3, 4).state_dict()).network.obstacle
    assert "embeddings" in read({"wte.weight": torch.ones(5, 4)}).network.obstacle
    assert "attention" in read({"a.attn.out.weight": torch.ones(4, 4)}).network.obstacle


def test_reasons_name_what_a_vector_is(read):
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.PReLU(4))
    skipped = read(net.state_dict()).skipped
    assert "statistics" in skipped["1.running_mean"]
    assert "normalization scale" in skipped["1.weight"]
    assert "normalization shift" in skipped["1.bias"]
    assert "vector 4" in skipped["2.weight"]
