"""What several rooms' tests share."""

import gc
import itertools
import json
from pathlib import Path

import mpmath
import pytest
import torch
from hypothesis import HealthCheck, settings
from typer.testing import CliRunner

from dlgen_cli import training
from dlgen_cli.cli.app import app

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


@pytest.fixture(scope="session")
def digits_run(tmp_path_factory):
    """The directory of a run on digits with a holdout of 200; tests that change it copy it."""
    path = tmp_path_factory.mktemp("runs") / "digits"
    recipe = training.make_recipe({"source": "digits", "holdout": 200, "seed": 2, "epochs": 40})
    training.run(recipe, path)
    return path


@pytest.fixture(scope="session")
def invoke():
    """A command as a user types it."""
    return lambda *words: CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="session")
def certify(invoke):
    """The JSON of ``dlgen certify`` on digits, with few draws at one width."""

    def run(checkpoint, *words):
        fast = ("--draws", "2000", "--b", "8")
        result = invoke("certify", checkpoint, "--data", "digits", "-q", "--json", *fast, *words)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    return run


@pytest.fixture(scope="session")
def digits_report(digits_run, certify):
    """The certificates of that run around its initialization."""
    return certify(digits_run, "--sigma", "0.2", "--sigma", "0.4")


@pytest.fixture(scope="session")
def bound_of():
    """The bound of a theorem in the JSON of a report."""
    return lambda report, theorem: next(
        one for one in report["bounds"] if one["theorem"] == theorem
    )


@pytest.fixture(scope="session")
def line_of():
    """The line of a bound's ledger that has these words in its statement."""
    return lambda bound, words: next(
        one for one in bound["assumptions"] if words in one["statement"]
    )
