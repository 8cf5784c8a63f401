"""Weights that are stored in several tensors, against the modules that apply them."""

import json
import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize

from dlgen_cli.errors import CheckpointError, TensorError


def old_weight_norm(module, dim=0):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nn.utils.weight_norm(module, dim=dim)


MODULES = {
    "linear": lambda: nn.Linear(5, 7),
    "conv1d": lambda: nn.Conv1d(3, 4, 5),
    "conv2d": lambda: nn.Conv2d(3, 4, 3),
    "transposed": lambda: nn.ConvTranspose1d(6, 3, 4),
}


INPUTS = {"linear": (5,), "conv1d": (3, 9), "conv2d": (3, 9, 9), "transposed": (6, 9)}


@pytest.mark.parametrize("dim", [0, 1, None])
@pytest.mark.parametrize("form", [old_weight_norm, parametrizations.weight_norm])
@pytest.mark.parametrize("module", MODULES)
def test_weight_normalization_gives_the_weight_that_the_module_applies(read, module, form, dim):
    torch.manual_seed(0)
    net = form(MODULES[module](), dim=dim).double()
    with torch.no_grad():
        for name, part in net.named_parameters():
            if name.endswith(("_g", "original0")):
                part.mul_(torch.rand_like(part) + 0.5)
    net(torch.randn(2, *INPUTS[module], dtype=torch.float64))
    found = read({f"x.{name}": one for name, one in net.state_dict().items()})
    assert list(found.layers) == ["x.weight"]
    assert not found.skipped
    effective = found.effective("x.weight")
    assert torch.allclose(effective.weight, net.weight, rtol=1e-13, atol=0)
    assert torch.equal(effective.bias, net.bias)
    assert 0 < effective.rounding_upper < 1e-13


def test_a_normed_recurrent_matrix_is_cut_in_gates(read):
    torch.manual_seed(1)
    net = nn.LSTM(3, 4).double()
    parametrizations.weight_norm(net, "weight_hh_l0")
    found = read(net.state_dict())
    parts = torch.cat([found.weight(f"weight_hh_l0[{gate}]") for gate in "ifgo"])
    assert torch.allclose(parts, net.weight_hh_l0, rtol=1e-13)
    assert not found.skipped


def test_a_plain_weight_beside_a_norm_and_a_direction_is_not_the_one_applied(read):
    state = {"x.weight": torch.ones(3, 4), "x.weight_g": torch.ones(3, 1)}
    found = read({**state, "x.weight_v": torch.eye(3, 4)})
    assert torch.equal(found.weight("x.weight"), torch.eye(3, 4).double())
    assert "applied in its place" in found.skipped["x.weight"]


def test_a_direction_of_zero_is_refused(read):
    found = read({"x.weight_g": torch.ones(3, 1), "x.weight_v": torch.zeros(3, 4)})
    with pytest.raises(TensorError, match="zero"):
        found.weight("x.weight")


@pytest.mark.parametrize("form", [nn.utils.spectral_norm, parametrizations.spectral_norm])
@pytest.mark.parametrize("module", MODULES)
def test_spectral_normalization_is_that_of_evaluation(read, module, form):
    torch.manual_seed(2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = form(MODULES[module]().double(), n_power_iterations=20)
    x = torch.randn(2, *INPUTS[module], dtype=torch.float64)
    for _ in range(3):
        net(x)
    net.eval()
    net(x)
    found = read(net.state_dict())
    assert list(found.layers) == ["weight"]
    assert torch.allclose(found.weight("weight"), net.weight, rtol=1e-12, atol=1e-15)
    assert not found.skipped


def test_a_square_transposed_convolution_is_normed_along_its_outputs(read):
    torch.manual_seed(3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = nn.utils.spectral_norm(nn.ConvTranspose2d(4, 4, 3, bias=False).double())
    for _ in range(60):
        net(torch.randn(1, 4, 5, 5, dtype=torch.float64))
    net.eval()(torch.randn(1, 4, 5, 5, dtype=torch.float64))
    assert torch.allclose(read(net.state_dict()).weight("weight"), net.weight, rtol=1e-12)


def test_an_unknown_parametrization_is_named(read):
    net = nn.Linear(4, 4)
    parametrize.register_parametrization(net, "weight", nn.Identity())
    other = parametrizations.orthogonal(nn.Linear(3, 3))
    state = {f"a.{name}": one for name, one in net.state_dict().items()}
    state |= {f"b.{name}": one for name, one in other.state_dict().items()}
    found = read({**state, "c.weight": torch.ones(2, 2)})
    assert list(found.layers) == ["c.weight"]
    assert "not known" in found.skipped["a.parametrizations.weight.original"]
    assert "not known" in found.skipped["b.parametrizations.weight.original"]


ADAPTERS = {
    "peft": ("base_model.model.q.lora_A.weight", "base_model.model.q.lora_B.weight"),
    "peft with a name": ("q.lora_A.mine.weight", "q.lora_B.mine.weight"),
    "parameters": ("q.lora_A", "q.lora_B"),
    "kohya": ("lora_unet_q.lora_down.weight", "lora_unet_q.lora_up.weight"),
    "diffusers": ("q.to_q_lora.down.weight", "q.to_q_lora.up.weight"),
    "embeddings": ("e.lora_embedding_A.default", "e.lora_embedding_B.default"),
}


@pytest.mark.parametrize("names", ADAPTERS)
def test_adapters_are_one_product(read, names):
    torch.manual_seed(4)
    first, second = torch.randn(2, 9), torch.randn(7, 2)
    found = read(dict(zip(ADAPTERS[names], (first, second), strict=True)))
    (name,) = found.layers
    layer = found.layers[name]
    assert (layer.kind, layer.weight_shape) == ("lora", (7, 9))
    assert "without its scale" in layer.note
    left, right = found.effective(name).factors
    assert torch.equal(left.float() @ right.float(), second @ first)
    assert not found.skipped
    assert "another checkpoint" in found.network.obstacle


def test_alpha_beside_the_factors_scales_them(read):
    state = {"q.lora_down.weight": torch.ones(4, 3), "q.lora_up.weight": torch.ones(5, 4)}
    found = read({**state, "q.alpha": torch.tensor(2.0)})
    assert torch.equal(found.effective("q.lora").factors[0], torch.full((5, 4), 0.5).double())
    assert "0.5" in found.layers["q.lora"].note


@pytest.mark.parametrize(
    ("config", "scale"),
    [
        ({"lora_alpha": 8}, 2.0),
        ({"lora_alpha": 8, "use_rslora": True}, 4.0),
        ({"lora_alpha": 8, "alpha_pattern": {"q": 4}}, 1.0),
        ({"lora_alpha": 8, "alpha_pattern": {"other": 4}}, 2.0),
        ({"lora_alpha": 8, "alpha_pattern": {"^q": 12}}, 3.0),
    ],
)
def test_the_scale_is_read_from_the_file_beside(read, tmp_path, config, scale):
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    found = read({"q.lora_A.weight": torch.ones(4, 3), "q.lora_B.weight": torch.ones(5, 4)})
    left, _ = found.effective("q.lora").factors
    assert torch.equal(left, torch.full((5, 4), scale).double())


def test_an_intricate_pattern_is_refused(read, tmp_path):
    config = {"lora_alpha": 8, "alpha_pattern": {"(a+)+b": 4}}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="intricate"):
        read({"q.lora_A.weight": torch.ones(4, 3), "q.lora_B.weight": torch.ones(5, 4)})


@pytest.mark.parametrize(
    "text", ["[", "[]", "{}", '{"lora_alpha": "x"}', '{"lora_alpha": -1}', "[" * 9999]
)
def test_a_damaged_file_beside_is_one_clear_line(read, tmp_path, text):
    (tmp_path / "adapter_config.json").write_text(text)
    assert read({"x.weight": torch.ones(2, 2)}).layers
    with pytest.raises(CheckpointError, match="adapter_config"):
        read({"q.lora_A.weight": torch.ones(4, 3), "q.lora_B.weight": torch.ones(5, 4)})


def test_factors_that_make_no_matrix_are_named(read):
    state = {
        "a.lora_A.weight": torch.ones(4, 3),
        "a.lora_B.weight": torch.ones(5, 3),
        "b.lora_A.weight": torch.ones(4, 3, 3, 3),
        "b.lora_B.weight": torch.ones(5, 4, 1, 1),
        "c.lora_A.weight": torch.ones(4, 3),
        "d.weight": torch.ones(2, 2),
    }
    found = read(state)
    assert "do not fit" in found.skipped["a.lora_B.weight"]
    assert "convolution" in found.skipped["b.lora_A.weight"]
    assert "a part of an adapter" in found.skipped["c.lora_A.weight"]
    assert set(found.layers) == {"d.weight"}


SCALES = {
    "for the whole": ("x.weight_scale", torch.tensor(0.5)),
    "for each row": ("x.weight_scale", torch.tensor([[0.5], [0.25], [2.0]])),
    "in a vector": ("x.weight_scale", torch.tensor([0.5, 0.25, 2.0])),
}


@pytest.mark.parametrize("kind", [torch.int8, torch.float8_e4m3fn])
@pytest.mark.parametrize("scales", SCALES)
def test_quantised_entries_are_scaled(read, scales, kind):
    name, scale = SCALES[scales]
    entries = torch.tensor([[1.0, -2.0], [3.0, 4.0], [-5.0, 6.0]])
    found = read({"x.weight": entries.to(kind), name: scale, "x.bias": torch.ones(3)})
    expected = (entries * scale.reshape(-1, 1)).double()
    assert torch.equal(found.weight("x.weight"), expected)
    assert not found.skipped


def test_blocks_and_zero_points_and_row_maxima(read):
    torch.manual_seed(5)
    entries, blocks = torch.randn(200, 130), torch.rand(2, 2)
    state = {"x.weight": entries.to(torch.float8_e4m3fn), "x.weight_scale_inv": blocks}
    exact = state["x.weight"].double()
    for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
        exact[128 * i : 128 * (i + 1), 128 * j : 128 * (j + 1)] *= blocks[i, j].double()
    assert torch.allclose(read(state).weight("x.weight"), exact, rtol=1e-15)
    whole = torch.tensor([[1, 5], [7, 9]], dtype=torch.int8)
    state = {"x.weight": whole, "x.weight_scale": torch.tensor([2.0, 4.0])}
    found = read({**state, "x.weight_zero_point": torch.tensor([1, 5], dtype=torch.int8)})
    assert found.weight("x.weight").tolist() == [[0.0, 8.0], [8.0, 16.0]]
    found = read({"x.weight": whole, "x.SCB": torch.tensor([127.0, 254.0])})
    assert torch.allclose(found.weight("x.weight"), torch.tensor([[1.0, 5], [14, 18]]).double())


PACKED = {
    "gptq": {"qweight": torch.ones(2, 4, dtype=torch.int32), "scales": torch.ones(1, 4)},
    "packed": {"weight": torch.ones(4, 2, dtype=torch.uint8), "weight_scale": torch.ones(4, 8)},
    "alone": {"weight": torch.ones(4, 2, dtype=torch.int8)},
}


@pytest.mark.parametrize("layout", PACKED)
def test_packed_entries_are_named_and_withhold_bounds(read, layout):
    state = {f"q.{name}": one for name, one in PACKED[layout].items()}
    found = read({**state, "x.weight": torch.ones(4, 4)})
    assert list(found.layers) == ["x.weight"]
    assert set(found.skipped) == set(state)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16, torch.float8_e5m2, torch.float64])
def test_every_floating_type_is_read_exactly(read, kind):
    weight = torch.tensor([[1.5, -0.25], [0.5, 3.0]]).to(kind)
    assert torch.equal(read({"x.weight": weight}).weight("x.weight").double(), weight.double())


def test_float8_is_scaled_under_every_name(read):
    torch.manual_seed(6)
    raw = torch.randn(6, 8)
    entries = (raw / raw.abs().max() * 448).to(torch.float8_e4m3fn)
    scale = raw.abs().max() / 448
    for name in ("scale_weight", "weight_scale", "weight_scale_inv", "scale", "scale_inv"):
        found = read({"x.weight": entries, f"x.{name}": scale.reshape(1)})
        assert torch.allclose(found.weight("x.weight"), entries.double() * scale.double())
    found = read({"x.gate_up": entries, "x.gate_up_scale": scale})
    assert "x.gate_up" in found.layers


def test_groups_and_powers_of_two_scale_blocks(read):
    entries = torch.randn(4, 64).to(torch.float8_e4m3fn)
    groups = torch.rand(4, 2)
    expected = entries.double() * groups.double().repeat_interleave(32, 1)
    found = read({"x.weight": entries, "x.weight_scale": groups})
    assert torch.allclose(found.weight("x.weight"), expected)
    exponents = torch.tensor([[120, 127], [128, 130], [127, 127], [126, 125]], dtype=torch.uint8)
    found = read({"x.weight": entries, "x.weight_scale": exponents})
    powers = torch.exp2(exponents.double() - 127).repeat_interleave(32, 1)
    assert torch.equal(found.weight("x.weight"), entries.double() * powers)


def test_a_stack_of_float8_experts_is_scaled_by_expert(read):
    entries = torch.randn(3, 4, 5).to(torch.float8_e4m3fn)
    for scale in (torch.rand(3), torch.rand(3, 1, 1), torch.rand(3, 4, 1)):
        found = read({"experts.up": entries, "experts.up_scale": scale})
        spread = scale.double().reshape(3, -1, 1)
        for index in range(3):
            expected = entries[index].double() * spread[index]
            assert torch.allclose(found.weight(f"experts.up[{index}]"), expected)


@pytest.mark.parametrize("beside", [{}, {"x.sf": torch.ones(1)}])
def test_float8_without_its_scale_is_named_and_withholds(read, beside):
    scaled = torch.tensor([[448.0, 1.0], [2.0, 3.0]]).to(torch.float8_e4m3fn)
    found = read({"x.weight": scaled, **beside, "y.weight": torch.ones(2, 2)})
    assert list(found.layers) == ["y.weight"]
    assert "x.weight" in {one.name for one in found.network.not_understood}


COMPANIONS = {
    "mlx": {"weight": torch.ones(4, 1, dtype=torch.int32), "scales": torch.ones(4, 2)}
    | {"biases": torch.ones(4, 2)},
    "hqq": {"W_q": torch.ones(4, 2, dtype=torch.uint8), "scale": torch.ones(4, 1)}
    | {"zero": torch.ones(4, 1)},
    "torchao": {
        "_weight_qdata": torch.ones(4, 2, dtype=torch.int8),
        "_weight_scale": torch.ones(4, 1),
    },
    "awq": {"qweight": torch.ones(4, 2, dtype=torch.int32), "scales": torch.ones(2, 4)},
    "mxfp4": {
        "up_blocks": torch.ones(2, 4, 2, 8, dtype=torch.uint8),
        "up_scales": torch.ones(2, 4),
    },
    "bitsandbytes": {
        "weight": torch.ones(8, 1, dtype=torch.uint8),
        "weight.absmax": torch.ones(2, 2),
    },
}


@pytest.mark.parametrize("tool", COMPANIONS)
def test_what_stands_beside_packed_entries_is_no_layer(read, tool):
    state = {f"q.{name}": one for name, one in COMPANIONS[tool].items()}
    found = read({**state, "head.weight": torch.ones(4, 4)})
    assert list(found.layers) == ["head.weight"]
    assert set(found.skipped) == set(state)
    assert found.network.not_understood


def test_adalora_and_dora_say_what_they_are(read):
    torch.manual_seed(7)
    a, b, e = torch.randn(3, 6), torch.randn(5, 3), torch.randn(3, 1)
    found = read({"q.lora_A": a, "q.lora_B": b, "q.lora_E": e})
    left, right = found.effective("q.lora").factors
    expected = b.double() @ torch.diag(e.double().flatten()) @ a.double()
    assert torch.allclose(left @ right, expected)
    assert not found.skipped
    state = {"q.lora_A.weight": a, "q.lora_B.weight": b, "q.lora_magnitude_vector": torch.ones(5)}
    found = read(state)
    assert "magnitude" in found.layers["q.lora"].note
    assert "DoRA" in found.skipped["q.lora_magnitude_vector"]


def test_loha_and_lokr_are_multiplied_out(read):
    torch.manual_seed(8)
    a, b, c, d = torch.randn(6, 2), torch.randn(2, 5), torch.randn(6, 2), torch.randn(2, 5)
    names = ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b")
    state = {f"q.{name}": one for name, one in zip(names, (a, b, c, d), strict=True)}
    found = read({**state, "q.alpha": torch.tensor(4.0)})
    expected = 2 * (a.double() @ b.double()) * (c.double() @ d.double())
    made = found.effective("q.lora")
    error = (made.weight - expected).norm()
    assert error <= made.rounding_upper * made.weight.norm() + 1e-15
    assert made.stored_entries == 44
    one, two = torch.randn(2, 3), torch.randn(4, 5)
    found = read({"k.lokr_w1": one, "k.lokr_w2": two, "k.alpha": torch.tensor(9.0)})
    assert torch.allclose(found.weight("k.lora"), torch.kron(one, two).double())
    state = {"k.lokr_w1": one, "k.lokr_w2_a": a, "k.lokr_w2_b": b, "k.alpha": torch.tensor(1.0)}
    expected = 0.5 * torch.kron(one.double(), a.double() @ b.double())
    assert torch.allclose(read(state).weight("k.lora"), expected)


def test_factors_that_cancel_are_refused(read):
    ones, signs = torch.ones(2, 2), torch.tensor([[1.0, 1.0], [-1.0, -1.0]])
    names = ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b")
    state = {f"q.{name}": one for name, one in zip(names, (ones, signs, ones, ones), strict=True)}
    with pytest.raises(TensorError, match="cancel"):
        read(state).weight("q.lora")


PARTS = (
    *("q.vera_lambda_b", "base.vera_A", "q.ia3_l", "q.oft_r", "q.oft_R.default.weight"),
    *("q.lora_mid.weight", "q.hada_t1", "q.fourierft_spectrum", "q.dora_scale"),
)


@pytest.mark.parametrize("name", PARTS)
def test_parts_of_other_adapters_are_named(read, name):
    found = read({name: torch.ones(4, 4), "x.weight": torch.ones(2, 2)})
    assert list(found.layers) == ["x.weight"]
    assert "a part of an adapter" in found.skipped[name]


@pytest.mark.parametrize("mask", [torch.float32, torch.bool, torch.uint8])
@pytest.mark.parametrize("names", [("x.weight_orig", "x.weight_mask"), ("x.weight", "x.mask")])
def test_masks_are_applied(read, names, mask):
    torch.manual_seed(9)
    weight, kept = torch.randn(4, 3), torch.rand(4, 3) > 0.5
    found = read(dict(zip(names, (weight, kept.to(mask)), strict=True)))
    made = found.effective("x.weight")
    assert torch.equal(made.weight, (weight * kept).double())
    assert made.rounding_upper == 0.0
    assert "mask" in found.layers["x.weight"].note
    assert not found.skipped


def test_spectral_normalization_whose_divisor_is_unknown_is_named(read):
    found = read(
        {
            "a.weight_orig": torch.ones(4, 3),
            "a.weight_u": torch.ones(4),
            "b.weight_bar": torch.ones(4, 3),
            "b.weight_u": torch.ones(4),
            "b.weight_v": torch.ones(3),
            "c.weight": torch.ones(2, 2),
        }
    )
    assert list(found.layers) == ["c.weight"]
    assert len(found.skipped) == 5
    assert all("not on record" in reason for reason in found.skipped.values())


@pytest.mark.parametrize("end", ["rho", "sigma", "logvar"])
def test_of_a_random_weight_the_mean_is_measured(read, end):
    state = {f"x.weight_{end}": torch.ones(4, 3), "x.weight_mu": torch.full((4, 3), 2.0)}
    found = read(state)
    assert list(found.layers) == ["x.weight_mu"]
    assert "random weight" in found.layers["x.weight_mu"].note
    assert "deviations" in found.skipped[f"x.weight_{end}"]
