"""State dicts to layers and back to numbers."""

import pytest
import torch

from dlgen_cli.checkpoints.reader import open_checkpoint
from dlgen_cli.networks import effective_layer, read_network


class Read:
    """What was read of a state dict: layers by name, reasons of what was left out."""

    def __init__(self, path, **selection):
        self.network = read_network(open_checkpoint(path), **selection)
        self.layers = dict(self.network.network.layers)
        self.skipped = {one.name: one.reason for one in self.network.skipped}
        self.counters = {one.name: one.reason for one in self.network.counters}
        self.kinds = {name: layer.kind for name, layer in self.layers.items()}

    def effective(self, name):
        return effective_layer(self.layers[name], self.network.tensors)

    def weight(self, name):
        return self.effective(name).weight

    def bias(self, name):
        return self.effective(name).bias


@pytest.fixture
def read(tmp_path):
    """Save a state dict and read it without its architecture."""

    def save_and_read(tensors, **selection):
        torch.save(tensors, tmp_path / "x.pt")
        return Read(tmp_path / "x.pt", **selection)

    return save_and_read
