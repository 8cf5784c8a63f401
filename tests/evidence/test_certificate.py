"""What a certificate writes beside its report."""

import pytest

from dlgen_cli.errors import OutputError
from dlgen_cli.evidence.certificate import Certificate, write_files


def certificate(files):
    return Certificate(theorem="pac_bayes.drawn", evaluate=lambda _: None, files=files)


def test_each_file_is_written_whole(tmp_path):
    write_files([certificate({tmp_path / "a": b"one"}), certificate({})])
    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == {"a": b"one"}


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(OutputError, match="nowhere"):
        write_files([certificate({tmp_path / "nowhere" / "a": b"one"})])
