"""What is released says one version and one date, and its files are where they are named."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def cited(key):
    found = re.search(rf"^{key}: (.+)$", (ROOT / "CITATION.cff").read_text(), flags=re.MULTILINE)
    return found[1]


def test_version_and_date_are_the_same_everywhere():
    version = PROJECT["project"]["version"]
    assert cited("version") == version
    heading = re.search(
        r"^## \[(\d\S*)\] - (\d{4}-\d\d-\d\d)$",
        (ROOT / "CHANGELOG.md").read_text(),
        flags=re.MULTILINE,
    )
    assert heading.groups() == (version, cited("date-released"))


def test_the_archive_holds_what_it_needs():
    included = PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    assert [name for name in included if not (ROOT / name).exists()] == []


def test_hosted_checks_run_what_is_run_here_on_every_python_that_is_promised():
    text = (ROOT / ".github/workflows/ci.yml").read_text()
    assert "run: bash .ci/run" in text
    promised = re.findall(r":: (3\.\d+)", "\n".join(PROJECT["project"]["classifiers"]))
    assert promised == re.findall(r'"(3\.\d+)"', text)
    assert {"ubuntu-latest", "macos-latest"} <= set(re.findall(r"\w+-latest", text))
