"""Tables of predictions that anyone may have written, and what is certified of them."""

from fractions import Fraction

import numpy as np
import pytest

from dlgen_cli.errors import DataError, UsageError
from dlgen_cli.evidence.predictions import bound_losses, given_losses, read_predictions


def written(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_labels_and_predictions_are_compared_as_texts_and_as_numbers(tmp_path):
    table = "Label , prediction,note\ncat,cat,x\n1,1.0,y\ncat,dog,z\n,,w\n"
    (losses,) = read_predictions(written(tmp_path / "p", table), "holdout").values()
    assert losses.errors == 2  # dog, and a prediction that is missing
    assert losses.examples == 4


def test_a_number_too_long_to_write_out_is_a_text(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("prediction,label\n1e999999999,1e999999998\n1e999999999,1e999999999\n1e2,100\n")
    (losses,) = read_predictions(path, "holdout").values()
    assert losses.errors == 1


def test_splits_and_arrays(tmp_path):
    label = np.arange(10) % 3
    arrays = {"label": label, "prediction": np.where(np.arange(10) < 3, 9, label)}
    split = np.array(["train"] * 4 + ["test"] * 6)
    np.savez(tmp_path / "p.csv", **arrays, split=split, other=np.zeros((2, 2)))
    parts = read_predictions(tmp_path / "p.csv.npz", "holdout")
    assert (parts["sample"].errors, parts["sample"].examples) == (3, 4)
    assert (parts["holdout"].errors, parts["holdout"].examples) == (0, 6)


def test_a_group_counts_once_with_its_mean(tmp_path):
    table = "group,loss\na,0\na,1\na,1\nb,0.5\nc,0\nc,0\n"
    (losses,) = read_predictions(written(tmp_path / "p", table), "holdout").values()
    assert losses.counts == {Fraction(2, 3): 1, Fraction(1, 2): 1, Fraction(0): 1}
    assert losses.errors is None
    bound = bound_losses("holdout", losses, 0.0, 0.05)
    assert (bound.theorem, bound.terms["examples"]) == ("mean.betting", 3)
    assert any("random group" in line.evidence for line in bound.assumptions)


def test_the_theorem_is_that_of_the_losses():
    counted = given_losses(12, 1000)
    on_holdout = bound_losses("holdout", counted, 0.0, 0.05)
    chosen = bound_losses("sample", counted, 3.5, 0.05)
    assert (on_holdout.theorem, chosen.theorem) == ("holdout.clopper_pearson", "compression.occam")
    assert chosen.value > on_holdout.value
    assert chosen.terms["union_nats"] == 3.5
    assert {line.status for line in chosen.assumptions} == {"declared"}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("", "no"),
        ("label,prediction\n", "no row"),
        ("label,guess\n1,1\n", "has label"),
        ("label;prediction\n1;1\n", "has none"),
        ("label,Label,prediction\n1,2,1\n", "two columns label"),
        ("loss,group\n0,a\n1,\n", "without a group"),
        ("loss\n1e-999999999\n", "example 1"),
        ("loss\n0.5\n1.5\n", "example 2"),
        ("loss\nnan\n", "'nan'"),
        ("label,prediction\n1\n", "Row 2"),
        ("loss,split\n0,validation\n", "'validation'"),
        ('loss\n"0\n', "comma-separated"),
        ("PK\x03\x04 no archive", "npz"),
    ],
)
def test_what_is_no_table_is_refused_in_one_line(tmp_path, table, message):
    with pytest.raises(DataError, match=message) as refused:
        read_predictions(written(tmp_path / "p", table), "holdout")
    assert refused.value.remedy
    with pytest.raises(DataError, match="cannot be read"):
        read_predictions(tmp_path / "none", "holdout")


def test_arrays_of_other_shapes_and_objects_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", label=np.zeros(3), prediction=np.zeros(4))
    with pytest.raises(DataError, match="one length"):
        read_predictions(tmp_path / "a.npz", "holdout")
    np.savez(tmp_path / "b.npz", label=np.array([None]), prediction=np.array([None]))
    with pytest.raises(DataError, match="no npz"):
        read_predictions(tmp_path / "b.npz", "holdout")


def test_counts_that_contradict_each_other_are_refused():
    for errors, examples in ((3, 2), (-1, 5), (0, 0)):
        with pytest.raises(UsageError, match="--errors"):
            given_losses(errors, examples)
