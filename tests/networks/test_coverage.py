"""How much of a checkpoint was audited, by counting."""

import torch
from torch import nn

from dlgen_cli.checkpoints.reader import open_checkpoint
from dlgen_cli.networks import coverage_of, read_network


def coverage(tmp_path, state, measured=None, **selection):
    torch.save(state, tmp_path / "x.pt")
    checkpoint = open_checkpoint(tmp_path / "x.pt")
    read = read_network(checkpoint, **selection)
    names = list(read.network.layers) if measured is None else measured
    return coverage_of(read, checkpoint, names)


def test_everything_counts_once(tmp_path):
    net = nn.Sequential(nn.Linear(5, 3), nn.LayerNorm(3), nn.LSTM(3, 2))
    found = coverage(tmp_path, net.state_dict())
    total = sum(part.numel() for part in net.parameters())
    assert (found.matrices, found.parameters, found.of) == (9, total - 6, total)
    assert found.left_out == 2


def test_integers_that_may_be_weights_are_not_covered(tmp_path):
    state = {
        "x.weight": torch.ones(2, 3),
        "x.num_batches_tracked": torch.tensor(3),
        "y.qweight": torch.ones(4, 5, dtype=torch.int32),
        "position_ids": torch.arange(9),
    }
    found = coverage(tmp_path, state)
    assert (found.parameters, found.of, found.left_out) == (6, 26, 3)


def test_a_traced_network_covers_what_it_folds(tmp_path):
    from torchvision.models import resnet18

    net = resnet18(num_classes=10)
    found = coverage(tmp_path, net.state_dict(), arch="resnet18", input_shape=(3, 32, 32))
    assert found.parameters == found.of
    assert found.matrices == 21


def test_matrices_and_kernels_under_names_of_their_own_count(tmp_path):
    found = coverage(tmp_path, {"projection": torch.ones(3, 4), "stft.basis": torch.ones(2, 1, 8)})
    assert (found.parameters, found.of, found.left_out) == (28, 28, 0)
