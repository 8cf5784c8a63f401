"""The sentence that names the winner."""

import pytest

from dlgen_cli.bounds.holdout import CLOPPER_PEARSON
from dlgen_cli.bounds.verdict import verdict

HOLDOUT = CLOPPER_PEARSON.name


def test_risks_on_two_populations_are_not_compared():
    found = verdict({HOLDOUT: 0.3, "compression.occam": 0.2, "pac_bayes.kl": 1.0}, altered=True)
    assert "beats" not in found
    assert "On real labels the holdout certifies a risk of at most 0.3000." in found
    assert "with altered labels, which is another one" in found
    assert found.endswith("theory certifies compression.occam at most 0.2000.")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({HOLDOUT: None, "pac_bayes.kl": None}, "No certificate applies."),
        ({HOLDOUT: None, "compression.occam": 0.99999}, "a risk of at most 0.99999."),
        ({HOLDOUT: 1.0, "pac_bayes.kl": 1.0}, "Every certificate is vacuous"),
        ({HOLDOUT: 0.1, "pac_bayes.kl": 1.0}, "theory certifies nothing"),
        ({HOLDOUT: 0.1, "pac_bayes.kl": None}, "theory certifies nothing"),
        ({HOLDOUT: 0.1, "pac_bayes.kl": 0.3}, "theory certifies 0.3000 (pac_bayes.kl)"),
        ({HOLDOUT: 0.30001, "pac_bayes.kl": 0.2}, "beats the holdout's 0.3001"),
        ({HOLDOUT: None, "compression.occam": 0.25}, "compression.occam certifies a risk"),
        ({HOLDOUT: 1.0, "pac_bayes.kl": 0.9}, "pac_bayes.kl certifies a risk of at most 0.9000"),
    ],
)
def test_the_winner_is_named(values: dict[str, float | None], expected: str):
    assert expected in verdict(values)
