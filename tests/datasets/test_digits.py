"""The bundled digits, their split and their scale."""

import pytest
import torch
from sklearn.datasets import load_digits

from dlgen_cli.datasets import SourceData, load_source


@pytest.fixture(scope="module")
def digits():
    return load_source("digits")


def test_pixels_are_those_of_scikit_learn(digits: SourceData):
    raw = load_digits()
    pixels = torch.tensor(raw.images[digits.indices.numpy()] / 16)
    assert digits.train.images.dtype == torch.float32
    assert digits.train.images.shape == (len(digits.train.labels), 1, 8, 8)
    assert torch.equal(digits.train.images[:, 0].double(), pixels)
    assert digits.train.labels.tolist() == raw.target[digits.indices.numpy()].tolist()


def test_the_split_takes_every_fifth_of_each_class(digits: SourceData):
    target = load_digits().target
    seen, test = [0] * 10, []
    for index, label in enumerate(target):
        seen[label] += 1
        if seen[label] % 5 == 0:
            test.append(index)
    assert sorted(digits.indices.tolist() + test) == list(range(len(target)))
    assert digits.test.labels.tolist() == target[test].tolist()


def test_the_split_is_stratified(digits: SourceData):
    train = torch.bincount(digits.train.labels, minlength=10)
    test = torch.bincount(digits.test.labels, minlength=10)
    shares = test / (train + test)
    assert ((shares > 0.19) & (shares <= 0.2)).all()
