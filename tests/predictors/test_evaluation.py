"""Counts of errors against numpy's, and what is not a right answer."""

import numpy as np
import pytest
import torch

from dlgen_cli.errors import DataError
from dlgen_cli.predictors.evaluation import as_inputs, count_errors, wrong_answers

CPU = torch.device("cpu")
NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize("batch", [1, 7, 100])
def test_errors_are_counted_exactly_in_batches_of_any_size(batch):
    source = torch.Generator().manual_seed(0)
    logits = torch.randn(53, 4, generator=source)
    labels = torch.randint(4, (53,), generator=source)
    expected = int((np.argmax(logits.numpy(), axis=1) != labels.numpy()).sum())
    found = count_errors(lambda x: x, logits, labels, batch=batch, device=CPU)
    assert 0 < found == expected < 53


@pytest.mark.parametrize(
    ("logits", "is_wrong"),
    [
        ([1.0, 0.0, 0.0], False),
        ([0.0, 1.0, 0.0], True),
        ([1.0, 1.0, 0.0], True),  # a tie
        ([NAN, 0.0, 0.0], True),
        ([1.0, NAN, 0.0], True),
        ([NAN, NAN, NAN], True),
        ([INF, INF, 0.0], True),
        ([-INF, -INF, -INF], True),
        ([0.0, -INF, -INF], False),
    ],
)
def test_only_the_strictly_largest_logit_is_right(logits, is_wrong):
    assert wrong_answers(torch.tensor([logits]), torch.tensor([0])).tolist() == [is_wrong]


def test_bytes_are_pixels_from_0_to_1():
    images = torch.tensor([[0, 51, 255]], dtype=torch.uint8)
    found = as_inputs(images, CPU, 0.5)
    torch.testing.assert_close(found, torch.tensor([[0.0, 0.1, 0.5]]))
    assert torch.equal(as_inputs(torch.tensor([[0.25]]), CPU, 0.5), torch.tensor([[0.125]]))


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (torch.zeros(2, 3), torch.zeros(3, dtype=torch.int64), "2 images and labels"),
        (torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64), "0 images"),
        (torch.zeros(1, 3), torch.tensor([-1]), "from -1"),
        (torch.zeros(1, 3), torch.tensor([1.0]), "float32"),
        (torch.zeros(1, 3), torch.tensor([3]), "A label is 3, but the network has 3"),
        (torch.zeros(1, 3, dtype=torch.int32), torch.tensor([0]), "Images are torch.int32"),
        (torch.zeros(1, 3, 2), torch.tensor([0]), "one row of logits"),
    ],
)
def test_data_that_do_not_fit_are_refused(images, labels, message):
    with pytest.raises(DataError, match=message):
        count_errors(lambda x: x, images, labels, batch=8, device=CPU)
