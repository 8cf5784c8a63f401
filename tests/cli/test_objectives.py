"""The table of objectives: each option belongs to one of them, and is refused with another."""

from dataclasses import fields

import pytest

from dlgen_cli.cli.objectives import OBJECTIVES, TrainCommand, require_objective
from dlgen_cli.errors import UsageError

OWNED = [(owner, name) for owner, one in OBJECTIVES.items() for name in one.options]


def test_every_option_is_one_of_the_command():
    assert {name for _, name in OWNED} <= {one.name for one in fields(TrainCommand)}


@pytest.mark.parametrize(("owner", "name"), OWNED)
def test_an_option_of_another_objective_is_refused_by_name(owner, name):
    other = next(one for one in OBJECTIVES if one != owner)
    options = TrainCommand(objective=other, **{name: "given"})
    with pytest.raises(UsageError, match=f"it belongs to {owner}"):
        require_objective(options)


def test_an_unknown_objective_is_refused_with_the_known_ones():
    with pytest.raises(UsageError, match="'hinge' is unknown") as caught:
        require_objective(TrainCommand(objective="hinge"))
    assert all(name in str(caught.value.remedy) for name in OBJECTIVES)


@pytest.mark.parametrize("name", [name for name, one in OBJECTIVES.items() if not one.resumes])
def test_what_runs_in_one_go_is_not_resumed(name, tmp_path):
    options = TrainCommand(objective=name, anchors=tmp_path, resume=True)
    if not OBJECTIVES[name].needs_anchors:
        options.anchors = None
    with pytest.raises(UsageError, match="--resume was given"):
        require_objective(options)
