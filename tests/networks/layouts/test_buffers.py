"""Tensors that are no matrices of a network: none is measured, each is named with the evidence."""

import math

import pytest
import torch

BUFFERS = {
    "rope.cos_cached": torch.randn(16, 4),
    "rotary_emb.sin": torch.randn(16, 4),
    "freqs_cis": torch.randn(16, 4),
    "pos.pe": torch.randn(16, 4),
    "mel.filters": torch.randn(8, 20),
    "stft.hann_window": torch.randn(4, 4),
    "detect.anchor_grid": torch.randn(9, 2),
    "head.anchors": torch.randn(9, 4),
    "cov.running_cov": torch.randn(4, 4),
    "vq.embed_avg": torch.randn(4, 8),
    "vq._ema_w": torch.randn(4, 8),
    "moco.queue": torch.randn(4, 8),
    "attn.bias_mask": torch.randn(4, 4),
}


@pytest.mark.parametrize("name", BUFFERS)
def test_buffers_are_told_by_whole_words_of_their_names(read, name):
    found = read({name: BUFFERS[name], "x.weight": torch.ones(3, 3)})
    assert list(found.layers) == ["x.weight"]
    assert "by its name" in found.skipped[name]
    assert found.network.roles[name] == "aside"


@pytest.mark.parametrize(
    "name", ["cosine_head.weight", "anchored.weight", "mask_token", "windowed", "averager"]
)
def test_syllables_inside_words_tell_nothing(read, name):
    assert name in read({name: torch.randn(3, 4)}).layers


@pytest.mark.parametrize("below", [0.0, 1.0])
@pytest.mark.parametrize("above", [-math.inf, -1e9, 2.0])
def test_a_causal_mask_is_told_by_its_entries(read, above, below):
    mask = torch.where(torch.ones(5, 5).triu(1) > 0, above, below)
    found = read({"h.future": mask, "x.weight": torch.ones(3, 3)})
    assert "mask by its entries" in found.skipped["h.future"]
    nearly = mask.clone()
    nearly[2, 4] = 0.5
    assert "h.future" in read({"h.future": nearly}).layers


NORMALIZATIONS = {
    "ln.weight": {"ln.weight": torch.ones(4, 6), "ln.bias": torch.ones(4, 6)},
    "q_norm.weight": {"q_norm.weight": torch.ones(4, 6)},
    "norm1.weight": {"norm1.weight": torch.ones(4, 6)},
    "x.gamma": {"x.gamma": torch.ones(4, 6), "x.beta": torch.ones(4, 6)},
}


@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_a_normalization_over_two_axes_is_no_matrix(read, name):
    found = read({**NORMALIZATIONS[name], "x.weight": torch.ones(3, 3)})
    assert list(found.layers) == ["x.weight"]
    assert "normalization scale" in found.skipped[name]
    assert found.network.roles[name] == "parameter"


def test_a_head_called_after_a_norm_is_a_matrix(read):
    found = read({"ln_head.weight": torch.ones(4, 6), "norm.linear.weight": torch.ones(6, 6)})
    assert len(found.layers) == 2


def test_biases_of_any_shape_and_states_are_no_matrices(read):
    state = {
        "fc.bias": torch.ones(1, 6),
        "experts.down_proj_bias": torch.ones(4, 6),
        "mixer.A_log": torch.ones(6, 4),
    }
    found = read({**state, "fc.weight": torch.ones(6, 3)})
    assert list(found.layers) == ["fc.weight"]
    assert {found.network.roles[name] for name in state} == {"parameter"}


def test_whole_numbers_that_index_withhold_nothing(read):
    state = {
        "ids": torch.arange(5),
        "relative_position_index": torch.ones(4, 4, dtype=torch.int32),
        "keep": torch.ones(4, dtype=torch.bool),
        "l._extra_state": torch.ones(9, dtype=torch.uint8),
    }
    found = read({**state, "x.weight": torch.ones(3, 3)})
    assert set(found.counters) == set(state)
    assert not found.skipped


def test_a_vector_may_hold_a_weight_that_is_stored_flat(read):
    found = read({"conv.linear.weight": torch.ones(512), "x.weight": torch.ones(3, 3)})
    assert "flat" in found.skipped["conv.linear.weight"]
