"""Counts of errors against numpy's, and what is not a right answer."""

import numpy as np
import pytest
import torch

from dlgen_cli.errors import CheckpointError, DataError
from dlgen_cli.predictors.evaluation import (
    as_inputs,
    count_disagreements,
    count_errors,
    sole_answers,
    wrong_answers,
)

CPU = torch.device("cpu")
NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize("batch", [1, 7, 100])
def test_errors_are_counted_exactly_in_batches_of_any_size(batch):
    source = torch.Generator().manual_seed(0)
    logits = torch.randn(53, 4, generator=source)
    labels = torch.randint(4, (53,), generator=source)
    expected = int((np.argmax(logits.numpy(), axis=1) != labels.numpy()).sum())
    ticks = []
    found = count_errors(lambda x: x, logits, labels, batch=batch, device=CPU, tick=ticks.append)
    assert 0 < found == expected < 53
    assert ticks == [min(53, done) for done in range(batch, 53 + batch, batch)]


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


@pytest.mark.parametrize(
    "mix",
    [
        lambda x: x - x.mean(0),
        lambda x: x.softmax(0),
        lambda x: x + x.amax(0),
        lambda x: x.sort(0)[0],
        lambda x: x.median(0)[0] + x,
        lambda x: x[-1:].expand(len(x), -1),
        lambda x: x.roll(1, 0),
        lambda x: x / x.norm(),
    ],
)
def test_a_network_that_mixes_examples_is_refused(mix):
    x = torch.randn(40, 4, generator=torch.Generator().manual_seed(1))
    labels = torch.zeros(40, dtype=torch.int64)
    with pytest.raises(CheckpointError, match="other examples of its batch"):
        count_errors(mix, x, labels, batch=10, device=CPU)
    with pytest.raises(CheckpointError, match="other examples of its batch"):
        count_disagreements([(lambda x: x, 1.0), (mix, 1.0)], x, batch=10, device=CPU)
    count_errors(mix, x, labels, batch=1, device=CPU)


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


def test_a_disagreement_is_anything_but_one_common_answer():
    """Whatever the label is: where a network errs, the other errs too or they disagree."""
    nan = float("nan")
    one = torch.tensor([[2.0, 1, 0], [0, 1, 2], [1, 1, 0], [nan, 1, 0], [5, 0, 0]])
    two = torch.tensor([[3.0, 1, 2], [2, 1, 0], [1, 1, 0], [nan, 1, 0], [5, 5, 0]])
    assert sole_answers(one).tolist() == [0, 2, -1, -1, 0]
    rows = torch.arange(5.0)[:, None]
    tables = [(lambda x, table=table: table[x[:, 0].long()], 1.0) for table in (one, two)]
    device = torch.device("cpu")
    for batch in (1, 3, 5):
        ticks = []
        found = count_disagreements(tables, rows, batch=batch, device=device, tick=ticks.append)
        assert found == 4
        assert ticks[-1] == 5
    agree = sole_answers(one) == sole_answers(two)
    for label in torch.cartesian_prod(*[torch.arange(3)] * 2):
        labels = label.repeat(3)[:5]
        errs = wrong_answers(one, labels)
        assert (errs <= wrong_answers(two, labels) | ~(agree & (sole_answers(one) >= 0))).all()


def test_logits_of_one_class_have_no_answer():
    with pytest.raises(DataError, match=r"shape \(4, 1\)"):
        sole_answers(torch.zeros(4, 1))
