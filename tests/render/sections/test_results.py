"""Results of commands, in the words of a reader."""

from dlgen_cli.render.model import Facts
from dlgen_cli.render.sections.results import results_section


def facts(results: dict) -> dict[str, str]:
    section = results_section(results, 0)
    assert section is not None
    (block,) = section.blocks
    assert isinstance(block, Facts)
    return {one.label: one.value for one in block.facts}


def test_names_and_texts_of_the_json_are_told_in_words():
    shown = facts(
        {
            "linf_norm": 1.25,
            "holdout_origin": "recorded",
            "repeated_images": {"all": 1457, "test_in_sample": 12},
        }
    )
    assert shown == {
        "largest parameter": "1.250",
        "holdout origin": "set aside by the run",
        "repeated images": "1,457",
        "repeated images test in sample": "12",
    }


def test_a_text_without_words_is_told_as_it_is():
    assert facts({"holdout_origin": "elsewhere"}) == {"holdout origin": "elsewhere"}
