"""Encoded images: decoded as they are asked for, and the damaged ones named."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dlgen_cli.datasets import (
    SourceData,
    hash_images,
    load_source,
    load_unlabelled_images,
    open_source,
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


def test_decoding_tells_how_far_it_is(folder, monkeypatch):
    monkeypatch.setattr("dlgen_cli.datasets.image_files._IMAGES_AT_ONCE", 4)
    calls = []
    source = open_source(str(folder), None, lambda *call: calls.append(call))
    assert not calls
    source.take(torch.tensor([8, 0, 3, 3, 5, 7]))
    assert calls == [("decoding images", done, 6) for done in (0, 4, 6)]
    calls.clear()
    source.test_set()
    assert calls == [("decoding images", done, 9) for done in (0, 4, 8, 9)]


def test_only_what_is_asked_for_is_decoded(folder: Path):
    whole = load_source(str(folder))
    for name in ("ant/1.png", "cat/2.png"):
        (folder / "train" / name).write_text("no image")
    source = open_source(str(folder))
    chosen = torch.tensor([7, 3, 0])
    taken = source.take(chosen)
    assert torch.equal(taken.images, whole.train.images[chosen])
    assert torch.equal(taken.labels, whole.train.labels[chosen])
    assert torch.equal(source.hashes(chosen), hash_images(taken.images))
    assert torch.equal(source.test_set().images, whole.test.images)
    assert not len(source.take(torch.tensor([], dtype=torch.int64)))
    with pytest.raises(DataError, match=r"cat/2\.png cannot be read as an image"):
        source.take(torch.tensor([0, 8]))


def test_of_several_damaged_images_the_first_is_named(folder: Path, monkeypatch):
    monkeypatch.setattr("dlgen_cli.datasets.image_files._IMAGES_AT_ONCE", 1)
    for name in ("ant/2.png", "bee/0.png", "cat/2.png"):
        (folder / "train" / name).write_text("no image")
    with pytest.raises(DataError, match=r"ant/2\.png cannot be read as an image"):
        load_source(str(folder))


def test_images_without_labels_come_in_the_order_of_their_paths(tmp_path: Path):
    names = ("b.png", "a/z.png", "a/b/c.png", "a.b/c.png")
    pixels = {name: write(tmp_path / name, seed) for seed, name in enumerate(names)}
    order = sorted(tmp_path.rglob("*.png"))
    found = load_unlabelled_images(tmp_path)
    for path, image in zip(order, found, strict=True):
        wanted = pixels[str(path.relative_to(tmp_path))]
        assert np.array_equal(np.moveaxis(image.numpy(), 0, 2), wanted)


def test_a_damaged_image_is_named(folder: Path):
    path = folder / "train" / "bee" / "1.png"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(DataError, match=r"bee/1\.png cannot be read as an image"):
        load_image_folder(folder)


def test_a_file_that_is_no_image_is_named(folder: Path):
    (folder / "test" / "ant" / "0.png").write_text("no image")
    with pytest.raises(DataError, match=r"test/ant/0\.png cannot be read as an image"):
        load_image_folder(folder)


def test_an_image_of_another_size_is_named(folder: Path):
    write(folder / "train" / "cat" / "2.png", 1, size=(8, 5))
    with pytest.raises(DataError, match=r"cat/2\.png has 8 x 5 pixels; 6 x 5 were expected"):
        load_image_folder(folder)


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.float32])
def test_more_than_8_bits_are_refused_and_not_clipped(folder: Path, kind: type):
    path = next((folder / "train").rglob("*.png")).with_suffix(".tif")
    Image.fromarray(np.full((6, 5), 300).astype(kind)).save(path)
    with pytest.raises(DataError, match=f"{path.name} has more than 8 bits"):
        load_image_folder(folder)
