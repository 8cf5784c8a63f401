"""Small networks of torch's own blocks that are recorded in their parts."""

import torch
from torch import nn
from torch.nn import functional


class Gated(nn.Module):
    """Gated linear units as a module and as a function, and their parts in one step."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(3, 8, 3, padding=1)
        self.glu = nn.GLU(dim=1)
        self.wide = nn.Linear(4, 12)
        self.pair = nn.Bilinear(6, 4, 5)
        self.shift = nn.Parameter(torch.zeros(5))

    def forward(self, x):
        x = self.glu(self.conv(x)).transpose(1, 2)
        y = functional.glu(self.wide(x))
        y = self.pair(y, x)
        return torch.addcmul(self.shift, y, y.tanh(), value=0.5)


class Latents(nn.Module):
    """Attention of learned tokens to the input, and to values of another size."""

    def __init__(self):
        super().__init__()
        self.latents = nn.Parameter(torch.zeros(1, 3, 6))
        self.enter = nn.Linear(4, 6)
        self.cross = nn.MultiheadAttention(6, 2, batch_first=True)
        self.norm = nn.LayerNorm(6, eps=0.1)
        self.wide = nn.MultiheadAttention(6, 3, kdim=4, vdim=5)
        self.other = nn.Linear(4, 5)

    def forward(self, x):
        tokens, _ = self.cross(self.latents.expand(x.size(0), -1, -1), *[self.enter(x)] * 2)
        tokens = self.norm(tokens).transpose(0, 1)
        keys = x.transpose(0, 1)
        return self.wide(tokens, keys, self.other(keys))[0].transpose(0, 1)


class EncoderDecoder(nn.Module):
    """`nn.Transformer` with learned queries, a causal mask, and a decoder that normalizes first."""

    def __init__(self):
        super().__init__()
        sizes = {"nhead": 2, "dim_feedforward": 5, "batch_first": True}
        self.queries = nn.Parameter(torch.zeros(1, 2, 4))
        self.both = nn.Transformer(
            4, num_encoder_layers=1, num_decoder_layers=1, layer_norm_eps=0.2, **sizes
        )
        layer = nn.TransformerDecoderLayer(4, norm_first=True, layer_norm_eps=0.1, **sizes)
        self.decoder = nn.TransformerDecoder(layer, 1)

    def forward(self, x):
        mask = nn.Transformer.generate_square_subsequent_mask(x.size(1))
        y = self.both(x, self.queries.expand(x.size(0), -1, -1), src_mask=mask)
        return self.decoder(y, x[:, 1:])


class Recurrent(nn.Module):
    """Long short-term memory in both directions and with a projection, gated units, plain ones."""

    def __init__(self):
        super().__init__()
        self.long = nn.LSTM(3, 4, batch_first=True, bidirectional=True)
        self.short = nn.LSTM(8, 4, num_layers=2, proj_size=3)
        self.gated = nn.GRU(3, 4, bias=False, batch_first=True)
        self.plain = nn.RNN(4, 3, nonlinearity="relu", batch_first=True)

    def forward(self, x):
        x, _ = self.long(x)
        x, (hidden, _) = self.short(x.transpose(0, 1))
        x, last = self.gated(x.transpose(0, 1))
        x, _ = self.plain(x, hidden[:1])
        return x[:, -1] + last[-1][:, :3]


class Cells(nn.Module):
    """Steps of cells in a loop, from states that the code makes."""

    def __init__(self):
        super().__init__()
        self.long = nn.LSTMCell(3, 4)
        self.gated = nn.GRUCell(4, 4)
        self.plain = nn.RNNCell(4, 3)

    def forward(self, x):
        h, c = torch.zeros(x.size(0), 4).type_as(x), x.new_zeros(x.shape[0], 4)
        g, p = torch.zeros(x.size(0), 4).type_as(x), None
        for step in range(x.size(1)):
            h, c = self.long(x[:, step], (h, c))
            g = self.gated(h, g)
            p = self.plain((1 - g) * h, p)
        return p


class Dots(nn.Module):
    """Equations with axes that are left open."""

    def __init__(self):
        super().__init__()
        self.enter = nn.Linear(4, 4)
        self.mix = nn.Parameter(torch.zeros(5, 4))
        self.table = nn.Parameter(torch.zeros(3, 4))

    def forward(self, x):
        q = functional.layer_norm(self.enter(x), (4,), eps=0.1)
        scores = torch.einsum("...id,...jd->...ij", q, q).softmax(-1)
        y = torch.einsum("... i j, ... j d -> ... i d", scores, q)
        y = torch.einsum("...d,kd", y, self.mix)
        return y + torch.einsum("...nd, nd -> n...", q, self.table).permute(1, 2, 0)[..., None]


class Ordered(nn.Module):
    """A table of positions, a triangle that masks, numbered slopes, entries by their order."""

    def __init__(self):
        super().__init__()
        self.enter = nn.Linear(3, 4)
        self.positions = nn.Embedding(6, 4)
        self.register_buffer("mask", torch.tril(torch.ones(6, 6)), persistent=False)
        self.register_buffer("slope", torch.tensor([0.25]))

    def forward(self, x):
        steps = x.size(1)
        at = torch.arange(steps)
        x = self.enter(x) + self.positions(at)
        x = functional.layer_norm(x, (4,), eps=0.1)
        scores = x @ x.mT + self.slope * (at[None] - at[:, None])
        mask = self.mask[:steps, :steps]
        x = scores.masked_fill(mask == 0, -1e4).softmax(-1) @ x
        x = x + 0.1 * x.cumsum(1) - 0.2 * torch.cumsum(x, -1)
        y = torch.sort(x, dim=1)[0] + x.topk(steps, dim=1).values + x.median(1, keepdim=True).values
        return y.max(dim=2)[0] - torch.max(x, 1 - y).min(2).values + (1 - x.max(-1).values) * 0.5


class Written(nn.Module):
    """Normalizations that the code writes out, with factors and shifts of its own."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 1)
        self.scale = nn.Parameter(torch.ones(4))
        self.shift = nn.Parameter(torch.zeros(4))
        self.gamma = nn.Parameter(torch.zeros(1, 4, 1, 1))
        self.factor = nn.Parameter(torch.ones(4))
        self.slope = nn.Parameter(torch.zeros(4))
        self.last = nn.Linear(4, 3)

    def forward(self, x):
        x = self.conv(x)
        y = (x - x.mean(1, keepdim=True)) / torch.sqrt(
            (x - x.mean(1, keepdim=True)).pow(2).mean(1, keepdim=True) + 0.1
        )
        y = self.scale[:, None, None] * y + self.shift[:, None, None]
        norm = torch.norm(y, p=2, dim=(2, 3), keepdim=True)
        y = y + self.gamma * (y * (norm / (norm.mean(1, keepdim=True) + 0.2)))
        y = y.flatten(2).transpose(1, 2)
        y = self.factor * (y - y.mean(-1, keepdim=True)) / (y.std(-1, keepdim=True) + 0.3)
        y = y * torch.rsqrt(y.square().mean(-1, keepdim=True) + 0.1)
        return self.last(y * (1 + self.slope))


class Standardized(nn.Conv2d):
    """A convolution whose kernel is standardized."""

    def forward(self, x):
        w = self.weight
        axes = (1, 2, 3)
        w = (w - w.mean(axes, keepdim=True)) / (w.std(axes, keepdim=True) + 0.2)
        return functional.conv2d(x, w, self.bias, self.stride, self.padding, 1, self.groups)


class Computed(nn.Module):
    """Weights that are computed of stored ones: standardized, scaled, normalized; patches."""

    def __init__(self):
        super().__init__()
        self.conv = Standardized(2, 4, (2, 3), stride=(1, 2), padding=1, groups=2)
        self.kernel = nn.Parameter(torch.zeros(3, 4, 2, 2))
        self.gain = nn.Parameter(torch.ones(3, 1, 1, 1))
        self.equal = nn.Parameter(torch.zeros(5, 12))
        self.shift = nn.Parameter(torch.zeros(5))
        self.prototypes = nn.Parameter(torch.zeros(3, 5))

    def forward(self, x):
        x = torch.tanh(self.conv(x))
        kernel = functional.batch_norm(
            self.kernel.reshape(1, 3, -1),
            None,
            None,
            weight=(self.gain * 0.5).view(-1),
            training=True,
            momentum=0.0,
            eps=0.1,
        ).reshape_as(self.kernel)
        x = functional.conv2d(x, kernel, None, padding=1, dilation=2)
        x = functional.unfold(x, 2, stride=2, padding=1).transpose(1, 2)
        x = functional.linear(x, self.equal * 0.25, self.shift * 0.5)
        x = functional.normalize(x, dim=-1, eps=0.5)
        x = functional.linear(x, functional.normalize(self.prototypes, eps=0.5))
        return x.unfold(1, 2, 1).sum(-1)


SEQUENCE_NETWORKS = {
    "computed": (Computed, (2, 4, 4)),
    "written": (Written, (2, 2, 3)),
    "ordered": (Ordered, (5, 3)),
    "gated": (Gated, (3, 5)),
    "latents": (Latents, (5, 4)),
    "encoder and decoder": (EncoderDecoder, (4, 4)),
    "recurrent": (Recurrent, (3, 3)),
    "cells": (Cells, (2, 3)),
    "dots": (Dots, (2, 3, 4)),
}
