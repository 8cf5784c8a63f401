"""What several rooms' tests share."""

import gc
import itertools
from pathlib import Path

import mpmath
import pytest
import torch
from hypothesis import HealthCheck, settings

mpmath.mp.dps = 100
torch.set_num_threads(1)  # matrices here are small, and threads of a busy machine wait

# how long a test takes tells how busy the machine is
settings.register_profile("dlgen", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("dlgen")

FIXTURES = Path(__file__).parents[1] / "fixtures"


def pytest_collection_finish():
    """Modules and tests stay to the end: the garbage collector need not look at them each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def digits_mlp():
    """The checkpoint directory that the tool itself trained."""
    return FIXTURES / "digits-mlp"


@pytest.fixture
def anchors_file():
    """Two anchors for it: its initialization and another seed's."""
    return FIXTURES / "anchors.pt"


_CACHES = itertools.count()


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    """Commands under test keep their measurements where no user and no other test has any."""
    own = tmp_path_factory.getbasetemp() / "caches" / str(next(_CACHES))
    monkeypatch.setenv("DLGEN_CACHE_DIR", str(own))
