"""Small networks of tokens, gates and normalizations, as people write them."""

import torch
from torch import nn
from torch.nn import functional


class Gates(nn.Module):
    """Squeeze-and-excitation, a gated linear unit, a square, a product that is broadcast."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3, padding=1)
        self.bn = nn.BatchNorm2d(4)
        self.down = nn.Conv2d(4, 2, 1)
        self.up = nn.Conv2d(2, 4, 1)
        self.gate = nn.Linear(4, 6)
        self.value = nn.Linear(4, 6)
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        x = functional.silu(self.bn(self.conv(x)))
        scale = functional.adaptive_avg_pool2d(x, 1)
        x = x * torch.sigmoid(self.up(functional.relu(self.down(scale))))
        x = x.mean((2, 3))
        y = functional.silu(self.gate(x)) * self.value(x)
        y = y * torch.tanh(y).sum(1, keepdim=True) + 0.1 * y**2
        return self.head(y)


class Normalizations(nn.Module):
    """Layer, RMS, group, instance and response normalization, with and without factors."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3, padding=1)
        self.group = nn.GroupNorm(2, 4, eps=0.1)
        self.instance = nn.InstanceNorm2d(4, eps=0.2, affine=True)
        self.plain = nn.InstanceNorm2d(4, eps=0.3)
        self.whole = nn.LayerNorm((4, 4, 4), eps=0.05)
        self.response = nn.LocalResponseNorm(3, alpha=0.5, beta=0.75, k=1.5)
        self.slopes = nn.PReLU(4)
        self.layer = nn.LayerNorm(4, eps=0.1)
        self.rms = nn.RMSNorm(4, eps=0.1)
        self.bare = nn.LayerNorm(4, eps=0.1, elementwise_affine=False)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        x = self.instance(self.group(self.conv(x)))
        x = self.whole(self.plain(x) + x)
        x = self.slopes(self.response(x)).flatten(2).transpose(1, 2)
        x = self.bare(self.rms(self.layer(x)) - 0.5 * x)
        x = functional.normalize(x, dim=-1, eps=0.2) + functional.normalize(x, dim=1, eps=0.2)
        return self.head(x).mean(1)


class Blocks(nn.Module):
    """Blocks in the style of ConvNeXt: channels last, a layer scale, a shortcut."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(2, 4, 2, stride=2)
        self.depthwise = nn.Conv2d(4, 4, 3, padding=1, groups=4)
        self.norm = nn.LayerNorm(4, eps=0.1)
        self.wide = nn.Linear(4, 8)
        self.narrow = nn.Linear(8, 4)
        self.scale = nn.Parameter(torch.full((4, 1, 1), 0.1))
        self.flat = nn.Parameter(torch.ones(4))
        self.last = nn.LayerNorm(4, eps=0.1)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        x = self.stem(x)
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        y = self.narrow(functional.gelu(self.wide(y))).permute(0, 3, 1, 2)
        x = x + self.scale * y
        x = x + self.flat.reshape(1, -1, 1, 1) * y
        return self.head(self.last(x.mean((2, 3))))


class Transformer(nn.Module):
    """Class token, positions, `nn.MultiheadAttention`, and the encoder's norm at the end."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(2, 6, 2, stride=2)
        self.token = nn.Parameter(torch.zeros(1, 1, 6))
        self.positions = nn.Parameter(torch.zeros(1, 5, 6))
        self.before = nn.LayerNorm(6, eps=0.1)
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True)
        self.between = nn.LayerNorm(6, eps=0.1)
        self.wide = nn.Linear(6, 8)
        self.narrow = nn.Linear(8, 6)
        self.last = nn.LayerNorm(6, eps=0.1)
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        n = x.shape[0]
        x = self.patches(x).reshape(n, 6, 4).permute(0, 2, 1)
        x = torch.cat([self.token.expand(n, -1, -1), x], dim=1) + self.positions
        y = self.before(x)
        y, _ = self.attention(y, y, y, need_weights=False)
        x = x + y
        x = x + self.narrow(functional.gelu(self.wide(self.between(x))))
        return self.head(self.last(x)[:, 0])


class Windows(nn.Module):
    """Windows that are rolled, relative positions, masks, explicit products, a learned scale."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Conv2d(2, 4, 1)
        self.norm = nn.LayerNorm(4, eps=0.1)
        self.joint = nn.Linear(4, 12)
        self.out = nn.Linear(4, 4)
        self.table = nn.Parameter(torch.zeros(3, 2))
        self.logit_scale = nn.Parameter(torch.zeros(2, 1, 1))
        self.reduce = nn.Linear(16, 6, bias=False)
        self.register_buffer("index", torch.tensor([0, 1, 2, 0] * 4))
        mask = torch.zeros(4, 1, 4, 4)
        mask[1, :, 0, 2] = -100.0
        self.mask = mask
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        n = x.shape[0]
        x = self.norm(self.embed(x).permute(0, 2, 3, 1))
        x = torch.roll(x, shifts=(-1, -1), dims=(1, 2))
        y = x.view(n, 2, 2, 2, 2, 4).permute(0, 1, 3, 2, 4, 5).reshape(n, 4, 4, 4)
        q, k, v = self.joint(y).reshape(n, 4, 4, 3, 2, 2).permute(3, 0, 1, 4, 2, 5).unbind(0)
        q = functional.normalize(q, dim=-1, eps=0.5)
        scores = q @ k.transpose(-2, -1) * torch.clamp(self.logit_scale, max=4.0).exp()
        bias = self.table[self.index].view(4, 4, 2).permute(2, 0, 1).contiguous()
        scores = functional.softmax(scores + bias + self.mask.to(x.dtype), dim=-1)
        y = functional.dropout(scores, training=False) @ v
        y = self.out(y.transpose(-3, -2).reshape(n, 2, 2, 2, 2, 4))
        x = x + torch.roll(y.permute(0, 1, 3, 2, 4, 5).reshape(n, 4, 4, 4), (1, 1), (1, 2))
        parts = [x[:, i::2, j::2, :] for i in (0, 1) for j in (0, 1)]
        return self.head(self.reduce(torch.cat(parts, -1)).mean((1, 2)))


class Mixed(nn.Module):
    """Functions that no module wraps: einsum, log-softmax, indexing, padding, resizing."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(6, 8, bias=False)
        self.weight = nn.Parameter(torch.zeros(8, 8))
        self.shift = nn.Parameter(torch.zeros(8))
        self.kernel = nn.Parameter(torch.zeros(3, 2, 3))
        self.register_buffer("order", torch.tensor([3, 0, 0, 1, 7]))
        self.head = nn.Linear(15, 3)

    def forward(self, x):
        x = functional.layer_norm(self.first(x), (8,), eps=0.1)
        x = functional.linear(x, self.weight, self.shift).unflatten(1, (2, 4))
        scores = torch.einsum("bic,bjc->bij", x, x).softmax(-1)
        y = torch.einsum("bij,bjc->bic", scores, x)
        y = functional.scaled_dot_product_attention(y, x, x.flip(1), is_causal=True)
        y = torch.maximum(y, 0.5 * x) + functional.log_softmax(y, -1)
        y = functional.pad(y, (2, 1), mode="reflect") + functional.pad(y, (1, 2), mode="circular")
        y = functional.conv1d(y, self.kernel, padding=1)
        y = functional.interpolate(y, size=10, mode="nearest")
        z = y.flatten(1)[:, self.order]
        y = y.masked_fill(torch.tensor([True, False] * 5), 0.5).amax(1)
        return self.head(torch.cat([z, torch.stack([y, y.sin()], 1).sum(1)], 1))


TOKEN_NETWORKS = {
    "gates": (Gates, (2, 4, 4)),
    "normalizations": (Normalizations, (2, 4, 4)),
    "blocks": (Blocks, (2, 6, 6)),
    "transformer": (Transformer, (2, 4, 4)),
    "windows": (Windows, (2, 4, 4)),
    "mixed": (Mixed, (6,)),
}
