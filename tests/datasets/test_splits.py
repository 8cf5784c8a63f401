"""Examples are taken with their labels, in the order asked for."""

import torch

from dlgen_cli.datasets import Split


def test_examples_are_taken_in_the_order_asked_for():
    split = Split(images=torch.arange(5.0).reshape(5, 1, 1, 1), labels=torch.arange(5) * 10)
    taken = split.take(torch.tensor([3, 0, 3]))
    assert len(split) == 5
    assert len(taken) == 3
    assert taken.images.flatten().tolist() == [3.0, 0.0, 3.0]
    assert taken.labels.tolist() == [30, 0, 30]
