"""TorchScript archives: the names and entries of ``state_dict()``, without running the program."""

import warnings

import pytest
import torch
from torch import nn

from dlgen_cli.checkpoints.reader import open_checkpoint


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv1d(2, 3, 2)
        self.norm = nn.BatchNorm1d(3)
        self.register_buffer("scale", torch.arange(3.0))

    def forward(self, x):
        return self.norm(self.convolution(x)) * self.scale[:, None]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.Sequential(Block(), nn.ReLU())
        self.lstm = nn.LSTM(3, 4)
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.lstm(self.blocks(x).transpose(1, 2))[0]) @ torch.ones(2, 5)


@pytest.fixture
def scripted(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        module = torch.jit.script(Net().eval())
        torch.jit.save(module, tmp_path / "x.pt")
        torch.jit.save(torch.jit.freeze(module), tmp_path / "frozen.pt")
    return tmp_path / "x.pt", module.state_dict()


def test_a_module_has_the_names_and_entries_of_its_state_dict(scripted):
    path, expected = scripted
    checkpoint = open_checkpoint(path)
    assert checkpoint.format == "torchscript"
    assert set(checkpoint.tensors) == set(expected)
    for name, tensor in expected.items():
        assert torch.equal(checkpoint.read(name), tensor)


def test_a_frozen_module_keeps_its_weights_as_constants(scripted):
    path, expected = scripted
    checkpoint = open_checkpoint(path.with_name("frozen.pt"))
    found = [checkpoint.read(name) for name in checkpoint.tensors]
    assert all(name.startswith("CONSTANTS.c") for name in checkpoint.tensors)
    weight = expected["head.weight"]
    assert any(torch.equal(one, weight) or torch.equal(one, weight.T) for one in found)
    assert checkpoint.notes
