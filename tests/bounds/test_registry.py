"""A theorem has one home: its name stands once, and its bounds are read back from their terms."""

import ast
from importlib.resources import files
from pathlib import Path
from typing import get_args

import pytest

import dlgen_cli
from dlgen_cli.bounds.assumptions import violated
from dlgen_cli.bounds.recorded_fields import Fields
from dlgen_cli.bounds.registry import THEOREMS
from dlgen_cli.bounds.theorem import Family


def literals(tree):
    """The string literals of a module but for docstrings."""
    holders = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, holders) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
        if is_text and id(node) not in docstrings:
            yield node.value


@pytest.fixture(scope="module")
def literals_by_file():
    root = Path(dlgen_cli.__file__).parent
    return {
        path.relative_to(root).as_posix(): list(literals(ast.parse(path.read_text("utf-8"))))
        for path in root.rglob("*.py")
    }


@pytest.mark.parametrize("name", THEOREMS)
def test_a_name_is_a_literal_in_one_place_beside_its_statement(name, literals_by_file):
    if name in get_args(Family):  # a theorem that stands alone is called as its family is
        texts = {path: one for path, one in literals_by_file.items() if path != "bounds/theorem.py"}
        found = [path for path, one in texts.items() if name in one]
    else:
        found = [path for path, one in literals_by_file.items() for text in one if name in text]
    assert len(found) == 1
    module = THEOREMS[name].evaluate.__module__
    assert found == [f"{module.removeprefix('dlgen_cli.').replace('.', '/')}.py"]


@pytest.mark.parametrize("theorem", THEOREMS.values(), ids=THEOREMS)
def test_every_theorem_is_explained(theorem):
    assert theorem.name.split(".")[0] == theorem.family
    text = theorem.explain()
    assert text.startswith(f"# {theorem.title}\n")
    sections = [line for line in text.splitlines() if line.startswith("## ")]
    assert sections[:4] == ["## Statement", "## Symbols", "## Assumptions", "## Proof"]
    assert theorem.derive is not None
    assert "hose of `" not in text
    assert theorem.source in text


def test_every_explanation_is_that_of_a_theorem():
    folder = files("dlgen_cli.bounds").joinpath("explanations")
    assert {entry.name for entry in folder.iterdir()} == {f"{name}.md" for name in THEOREMS}


@pytest.mark.parametrize(
    "theorem",
    [one for one in THEOREMS.values() if one.empty_terms is not None],
    ids=lambda one: one.name,
)
def test_a_withheld_bound_is_read_back(theorem):
    lines = (violated("The network was understood.", "A layer was not."),)
    bound = theorem.withheld(lines)
    assert bound.status == "not_applicable"
    assert bound.value is None
    assert theorem.recompute(Fields(bound.terms), 0.0, lines) == bound
