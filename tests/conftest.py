"""What several rooms' tests share."""

from pathlib import Path

import mpmath
import pytest

mpmath.mp.dps = 100

FIXTURES = Path(__file__).parents[1] / "fixtures"


@pytest.fixture
def digits_mlp():
    """The checkpoint directory that the tool itself trained."""
    return FIXTURES / "digits-mlp"


@pytest.fixture
def anchors_file():
    """Two anchors for it: its initialization and another seed's."""
    return FIXTURES / "anchors.pt"
