"""Every failure is one line with a code, also from another process."""

import pickle

import pytest

from dlgen_cli import errors

KINDS = [
    one
    for one in vars(errors).values()
    if isinstance(one, type) and issubclass(one, errors.DlgenError)
]


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_told_in_one_line_and_survives_a_process(kind):
    error = kind("A was found; B was expected.", remedy="Give B.")
    assert str(error) == "A was found; B was expected. Give B."
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert (copy.message, copy.remedy) == (error.message, error.remedy)
    assert str(kind("A.")) == "A."


def test_codes_tell_the_kinds_apart():
    assert len({one.code for one in KINDS}) == len(KINDS)
