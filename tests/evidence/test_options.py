"""Options of an audit: the anchor beside a run, and what is refused beside a trained prior."""

from pathlib import Path

import pytest

from dlgen_cli.errors import UsageError
from dlgen_cli.evidence.options import AuditOptions, DataOptions, refuse_options_of_a_prior

OPTIONS = AuditOptions(checkpoint=Path("run"))


@pytest.mark.parametrize(
    ("options", "data", "option"),
    [
        ({"anchors": [Path("a.pt")]}, {}, "--anchors"),
        ({"sigma": [0.5]}, {}, "--sigma"),
        ({}, {"freeze": ["*"]}, "--freeze"),
        ({}, {"relative": True}, "--relative-sigma"),
    ],
)
def test_a_second_prior_is_refused_by_the_name_of_its_option(options, data, option):
    audit = AuditOptions(checkpoint=Path("run"), **options)
    with pytest.raises(UsageError, match=f"^{option} was given, but run holds a prior"):
        refuse_options_of_a_prior(audit, DataOptions(data="digits", **data))


def test_defaults_are_no_choice():
    refuse_options_of_a_prior(OPTIONS, DataOptions(data="digits", draws=5, seed=1))


def test_an_anchor_is_given_or_stands_in_the_run(tmp_path):
    run = AuditOptions(checkpoint=tmp_path)
    assert not run.has_anchor
    assert AuditOptions(checkpoint=tmp_path, anchors=[Path("a.pt")]).has_anchor
    run.initialization.touch()
    assert run.has_anchor
