"""The sentence on what the sample can pay."""

from dataclasses import replace

from dlgen_cli.render.sections.budget import budget_text


def test_it_names_what_is_allowed_and_what_is_taken(audit_report):
    text = budget_text(audit_report)
    assert text.startswith(f"{audit_report.settings['m']:,} examples at a training error of ")
    assert " nats until a bound is that of guessing, " in text
    assert "This network takes " in text


def test_without_a_record_nothing_is_supposed_to_be_wrong(audit_report):
    bare = replace(audit_report.provenance, recorded_errors=None)
    text = budget_text(replace(audit_report, provenance=bare))
    assert "a training error of 0 (none is on record; guessing among two classes)" in text


def test_other_commands_and_reports_without_nats_say_nothing(audit_report):
    assert budget_text(replace(audit_report, command="spectra")) == ""
    assert budget_text(replace(audit_report, bounds=())) == ""


def test_an_adapter_is_priced_by_its_factors(audit_report):
    layer = replace(audit_report.layers[0], kind="lora", parameters=147_456)
    text = budget_text(replace(audit_report, bounds=(), layers=(layer,)))
    assert "The 147,456 numbers in the factors of this adapter take 408,800 at 4 bits" in text
    assert "examples would pay for that." in text
