"""Ten networks as people write their own; tests give them as ``--arch FILE.py:NAME``."""

from itertools import pairwise

import torch
import torch.nn.functional as F  # noqa: N812  as people write it
from torch import nn


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += x
        return F.relu(out)


class TinyResNet(nn.Module):
    """Nested modules and a loop."""

    def __init__(self, num_classes=10, width=4, depth=2):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, stride=2), nn.BatchNorm2d(width))
        self.blocks = nn.ModuleList([Block(width) for _ in range(depth)])
        self.fc = nn.Linear(width, num_classes)

    def forward(self, x):
        x = F.relu(self.stem(x))
        for block in self.blocks:
            x = block(x)
        x = F.adaptive_avg_pool2d(x, 1)
        return self.fc(x.view(x.size(0), -1))


class LeNet(nn.Module):
    """Functional calls."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 3, 3)
        self.conv2 = nn.Conv2d(3, 4, 3)
        self.fc1 = nn.Linear(4, 6)
        self.fc2 = nn.Linear(6, 3)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(torch.relu(self.conv2(x)), 2)
        x = x.view(-1, 4)
        x = F.dropout(F.relu(self.fc1(x)), training=self.training)
        return self.fc2(x)


class Recurrent(nn.Module):
    """One layer that is applied again and again."""

    def __init__(self, steps=3):
        super().__init__()
        self.steps = steps
        self.enter = nn.Linear(5, 6)
        self.step = nn.Linear(6, 6)
        self.leave = nn.Linear(6, 2)

    def forward(self, x):
        h = torch.tanh(self.enter(x))
        for _ in range(self.steps):
            h = h + 0.5 * torch.tanh(self.step(h))
        return self.leave(h)


class SmallUNet(nn.Module):
    """Skip connections by concatenation."""

    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(1, 2, 3, padding=1)
        self.bottom = nn.Conv2d(2, 4, 3, padding=1)
        self.up = nn.ConvTranspose2d(4, 2, 2, stride=2)
        self.out = nn.Conv2d(4, 1, 1)

    def forward(self, x):
        skip = F.leaky_relu(self.down(x), 0.1)
        x = F.leaky_relu(self.bottom(F.avg_pool2d(skip, 2)), 0.1)
        return self.out(torch.cat([self.up(x), skip], dim=1))


class DenseBlock(nn.Module):
    def __init__(self, growth=2, layers=3):
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Conv2d(2 + i * growth, growth, 3, padding=1) for i in range(layers)
        )
        self.head = nn.Linear(2 + layers * growth, 3)

    def forward(self, x):
        features = [x]
        for layer in self.layers:
            features.append(F.elu(layer(torch.cat(features, 1))))
        return self.head(torch.cat(features, 1).mean(dim=[2, 3]))


class Branches(nn.Module):
    """An inception of a ModuleDict."""

    def __init__(self):
        super().__init__()
        self.branches = nn.ModuleDict(
            {
                "narrow": nn.Conv2d(2, 2, 1),
                "wide": nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), nn.SiLU()),
                "pool": nn.Sequential(nn.MaxPool2d(3, 1, padding=1), nn.Conv2d(2, 1, 1)),
            }
        )
        self.fc = nn.Linear(5, 2)

    def forward(self, x):
        x = torch.cat([branch(x) for branch in self.branches.values()], dim=1)
        return self.fc(torch.flatten(F.adaptive_avg_pool2d(x, (1, 1)), 1))


class Autoencoder(nn.Module):
    def __init__(self, hidden=3):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(8, 5), nn.GELU(), nn.Linear(5, hidden))
        self.decoder = nn.Sequential(nn.Linear(hidden, 5), nn.GELU(), nn.Linear(5, 8))

    def encode(self, x):
        return self.encoder(x)

    def forward(self, x):
        return torch.sigmoid(self.decoder(self.encode(x)))


class Signal(nn.Module):
    """Convolutions along time, a permutation, a slice, two heads that are joined."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(2, 4, 3, padding=1)
        self.first = nn.Linear(4, 2)
        self.mean = nn.Linear(4, 2)

    def forward(self, x):
        x = F.softplus(self.conv(x)).permute(0, 2, 1)
        return torch.cat([self.first(x[:, 0]), self.mean(x.mean(1))], dim=-1)


class Highway(nn.Module):
    def __init__(self, config=None):
        super().__init__()
        config = {"width": 6, "dropout": 0.5, **(config or {})}
        width = config["width"]
        self.layers = nn.Sequential(
            *[nn.Sequential(nn.Linear(width, width), nn.Hardswish()) for _ in range(2)]
        )
        self.norm = nn.BatchNorm1d(width)
        self.drop = nn.Dropout(config["dropout"])
        self.out = nn.Linear(width, 2)

    def forward(self, x):
        residual = x
        for i, layer in enumerate(self.layers):
            x = self.drop(layer(x))
            if i % 2 == 1:
                x = (x + residual) / 2
        return self.out(self.norm(x))


def make_classifier(widths=(6, 5, 4), activation="ReLU"):
    """A function that returns a module."""
    layers = []
    for one, two in pairwise(widths):
        layers += [nn.Linear(one, two), getattr(nn, activation)()]
    return nn.Sequential(nn.Flatten(), *layers[:-1])


#: Name, arguments, shape of one input.
NETWORKS = (
    ("TinyResNet", {"num_classes": 3, "depth": 2}, (3, 7, 7)),
    ("LeNet", {}, (1, 10, 10)),
    ("Recurrent", {"steps": 4}, (5,)),
    ("SmallUNet", {}, (1, 4, 4)),
    ("DenseBlock", {"layers": 2}, (2, 4, 4)),
    ("Branches", {}, (2, 4, 4)),
    ("Autoencoder", {"hidden": 2}, (8,)),
    ("Signal", {}, (2, 5)),
    ("Highway", {"config": {"width": 4}}, (4,)),
    ("make_classifier", {"widths": [6, 5, 4], "activation": "Tanh"}, (6,)),
)
