"""The recorded parts of a module compute what the module does."""

import pytest
import torch
from torch import fx, nn
from torch.nn import functional

from dlgen_cli.networks.fx_recorder import record
from dlgen_cli.networks.tracer import trace


class Calls(nn.Module):
    """A module, and how it is called."""

    def __init__(self, inner, call):
        super().__init__()
        self.inner, self.call = inner, call

    def forward(self, x):
        return self.call(self.inner, x)


def attend(**settings):
    def call(inner, x):
        return inner(x, x, x, need_weights=False, **settings)[0]

    return call


def with_states(inner, x):
    """A state for each layer and direction, made of the input."""
    state = x[:, :1].transpose(0, 1).expand(4, -1, -1)
    y, (h, c) = inner(x, (state, 2 * state))
    return y.sum(1) + h.sum(0).repeat(1, 2) + c[-1].repeat(1, 2)


MASK = torch.randn(4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
CASES = {
    "gate": (nn.GLU(1), lambda m, x: m(x)),
    "gate function": (nn.Identity(), lambda _, x: functional.glu(x, dim=2)),
    "bilinear": (nn.Bilinear(4, 4, 3), lambda m, x: m(x, x.tanh())),
    "bilinear without bias": (nn.Bilinear(4, 4, 3, bias=False), lambda m, x: m(x, x.tanh())),
    "products": (nn.Identity(), lambda _, x: torch.baddbmm(x, x, x.mT, beta=0.5, alpha=2)),
    "one product": (nn.Identity(), lambda _, x: torch.baddbmm(x, x, x.mT)),
    "attention": (nn.MultiheadAttention(4, 2, batch_first=True), attend()),
    "attention, no bias": (nn.MultiheadAttention(4, 2, bias=False, batch_first=True), attend()),
    "attention, mask": (nn.MultiheadAttention(4, 2, batch_first=True), attend(attn_mask=MASK)),
    "attention, choice": (
        nn.MultiheadAttention(4, 2, batch_first=True),
        attend(attn_mask=torch.ones(4, 4).triu(1).bool()),
    ),
    "attention, masks of heads": (
        nn.MultiheadAttention(4, 2, batch_first=True),
        attend(attn_mask=torch.stack([MASK, 2 * MASK])),
    ),
    "causal attention": (
        nn.MultiheadAttention(4, 2, batch_first=True),
        attend(attn_mask=torch.ones(4, 4).triu(1).bool(), is_causal=True),
    ),
    "attention of sizes": (
        nn.MultiheadAttention(4, 2, kdim=3, vdim=2, bias=False, batch_first=True),
        lambda m, x: m(x[:, :2], x[..., 1:], x[..., :2])[0],
    ),
    "attention, sequence first": (
        nn.MultiheadAttention(4, 2),
        lambda m, x: m(x.transpose(0, 1), *[x.tanh().transpose(0, 1)] * 2)[0].transpose(0, 1),
    ),
    "long memory": (nn.LSTM(4, 4, 2, bidirectional=True, batch_first=True), with_states),
    "long memory, projected": (nn.LSTM(4, 5, proj_size=3), lambda m, x: m(x)[0]),
    "gated": (nn.GRU(4, 3, 2, batch_first=True), lambda m, x: m(x)[1].transpose(0, 1)),
    "plain": (nn.RNN(4, 3, bias=False, batch_first=True), lambda m, x: m(x)[0]),
    "plain cell": (nn.RNNCell(4, 4, nonlinearity="relu"), lambda m, x: m(x[:, 0], x[:, 1])),
    "gated cell": (nn.GRUCell(4, 4), lambda m, x: m(x[:, 0])),
    "long cell": (nn.LSTMCell(4, 4), lambda m, x: m(x[:, 0], (x[:, 1], x[:, 2]))[1]),
}


@pytest.mark.parametrize("name", CASES)
@torch.no_grad()
def test_the_parts_compute_what_the_module_does(name):
    inner, call = CASES[name]
    module = Calls(inner, call).double().eval()
    x = torch.randn(1, 4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    recorded = fx.GraphModule(module, record(module, (4, 4)))
    torch.testing.assert_close(recorded(x), module(x), rtol=1e-12, atol=1e-12)
    assert trace(module, (4, 4)).unsupported is None


@pytest.mark.parametrize(
    ("inner", "call", "reason"),
    [
        (nn.MultiheadAttention(4, 2, add_bias_kv=True), attend(), "keys of its own"),
        (nn.MultiheadAttention(4, 2, add_zero_attn=True), attend(), "keys of its own"),
        (
            nn.LSTM(4, 4),
            lambda m, x: m(nn.utils.rnn.pack_sequence([torch.ones(3, 4)]))[0].data + x,
            "packed sequence",
        ),
    ],
)
def test_what_has_no_parts_is_named(inner, call, reason):
    found = trace(Calls(inner, call).eval(), (4, 4)).unsupported
    assert found is not None
    assert reason in found.reason
