"""Image folders: what is read, in which order, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dlgen_cli.datasets import (
    SourceData,
    load_source,
)
from dlgen_cli.errors import DataError


def load_image_folder(folder: Path) -> SourceData:
    return load_source(str(folder))


def write(path: Path, seed: int, size: tuple[int, int] = (6, 5), mode: str = "RGB") -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (size[1], size[0], 3) if mode == "RGB" else (size[1], size[0])
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    Image.fromarray(pixels, mode=None).save(path)
    return pixels


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "photographs"
    for split, offset in (("train", 0), ("test", 100)):
        for label, name in enumerate(("ant", "bee", "cat")):
            for number in range(3):
                write(root / split / name / f"{number}.png", offset + 10 * label + number)
    return root


def test_pixels_labels_and_order(folder: Path):
    source = load_image_folder(folder)
    assert source.name == "photographs"
    assert source.classes == ("ant", "bee", "cat")
    assert source.train.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert source.indices.tolist() == list(range(9))
    assert source.train.images.dtype == torch.uint8
    assert source.train.images.shape == (9, 3, 5, 6)
    for row, seed in enumerate((0, 1, 2, 10, 11, 12, 20, 21, 22)):
        pixels = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
        assert np.array_equal(np.moveaxis(source.train.images[row].numpy(), 0, 2), pixels)
    assert len(source.test) == 9


def test_val_is_taken_for_test(folder: Path):
    (folder / "test").rename(folder / "val")
    assert len(load_image_folder(folder).test) == 9


def test_grey_images_keep_one_channel(tmp_path: Path):
    for split in ("train", "test"):
        for name in ("a", "b"):
            pixels = write(tmp_path / split / name / "0.png", 7, mode="L")
    source = load_image_folder(tmp_path)
    assert source.train.images.shape == (2, 1, 5, 6)
    assert np.array_equal(source.train.images[1, 0].numpy(), pixels)


def test_hidden_files_and_other_files_are_no_images(folder: Path):
    (folder / "train" / ".cache").mkdir()
    (folder / "train" / "ant" / "notes.txt").write_text("mine")
    assert len(load_image_folder(folder).train) == 9


@pytest.mark.parametrize(
    ("remove", "message"),
    [
        ("test/cat", "test has no folder for the class 'cat'"),
        ("train/ant", "train has no folder for the class 'ant'"),
        ("test", "has no folder `test`"),
        ("train", "has no folder `train`"),
    ],
)
def test_a_missing_folder_is_named(folder: Path, remove: str, message: str):
    (folder / remove).rename(folder.parent / "elsewhere")
    with pytest.raises(DataError, match=message):
        load_image_folder(folder)


def test_an_empty_class_is_named(folder: Path):
    for path in (folder / "train" / "bee").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="train/bee holds no image"):
        load_image_folder(folder)


def test_an_empty_folder(tmp_path: Path):
    (tmp_path / "train").mkdir()
    (tmp_path / "test").mkdir()
    with pytest.raises(DataError, match="train holds no class folder"):
        load_image_folder(tmp_path)


def test_one_class_is_no_classification(tmp_path: Path):
    for split in ("train", "test"):
        write(tmp_path / split / "only" / "0.png", 1)
    with pytest.raises(DataError, match="holds one class, 'only'"):
        load_image_folder(tmp_path)
