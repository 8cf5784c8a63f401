"""One report of a predictor's losses: splits share delta, and the sample has its price."""

import pytest

from dlgen_cli.audit.certify_predictions import certify_errors, certify_predictions
from dlgen_cli.errors import UsageError


def written(path, header, rows):
    path.write_text("\n".join([header, *rows]), encoding="utf-8")
    return path


def test_both_splits_share_delta(tmp_path):
    rows = [
        f"{i % 5},{i % 5 if i % 9 else 'x'},{'train' if i < 300 else 'test'}" for i in range(900)
    ]
    table = written(tmp_path / "p.csv", "label,prediction,split", rows)
    report = certify_predictions(table, 0.05, 2.0)
    terms = {bound.theorem: bound.terms for bound in report.bounds}
    assert terms["holdout.clopper_pearson"]["examples"] == 600
    assert terms["compression.occam"]["errors"] == 34
    assert {one["delta"] for one in terms.values()} == {0.025}
    assert report.headline.candidates == tuple(terms)
    assert report.results == {"holdout_examples": 600, "sample_examples": 300}


def test_without_a_split_the_price_tells_the_part():
    free, paid = certify_errors(3, 100, 0.05, None), certify_errors(3, 100, 0.05, 0.0)
    assert free.bounds[0].theorem == "holdout.clopper_pearson"
    assert paid.bounds[0].theorem == "compression.occam"
    assert free.headline.value == paid.headline.value


def test_the_sample_and_its_price_belong_together(tmp_path):
    both = written(tmp_path / "p.csv", "loss,split", ["0,train", "1,test"])
    with pytest.raises(UsageError, match="it was not given"):
        certify_predictions(both, 0.05, None)
    fresh = written(tmp_path / "q.csv", "loss,split", ["0,test"])
    with pytest.raises(UsageError, match="there is none"):
        certify_predictions(fresh, 0.05, 1.0)
    scores = written(tmp_path / "r.csv", "loss,split", ["0.5,train", "0.5,test"])
    with pytest.raises(UsageError, match="Both splits"):
        certify_predictions(scores, 0.05, 1.0)
