"""A source is a name or a directory."""

from pathlib import Path

import pytest
from PIL import Image

from dlgen_cli.datasets import load_source
from dlgen_cli.errors import UsageError


def test_a_source_is_a_name_or_a_directory(tmp_path: Path):
    for split, count in (("train", 3), ("test", 1)):
        for name in ("ant", "bee"):
            (tmp_path / split / name).mkdir(parents=True)
            for number in range(count):
                Image.new("RGB", (6, 5), (number, 0, 0)).save(
                    tmp_path / split / name / f"{number}.png"
                )
    source = load_source(str(tmp_path))
    assert (len(source.train), len(source.test)) == (6, 2)
    assert len(load_source("digits").classes) == 10
    with pytest.raises(UsageError, match="neither a known source nor a directory"):
        load_source("imagenet")
