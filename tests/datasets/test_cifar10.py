"""CIFAR-10 from torchvision's files, from image folders, and where it is not there."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dlgen_cli.datasets import load_source
from dlgen_cli.datasets.cifar10 import default_directory, open_cifar10
from dlgen_cli.errors import DataError

CLASSES = ["airplane", "automobile", "bird"]


@pytest.fixture
def batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A small set in torchvision's layout, with its check of the files switched off."""
    from torchvision.datasets import CIFAR10

    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    source = np.random.default_rng(0)
    for name in [f"data_batch_{number}" for number in range(1, 6)] + ["test_batch"]:
        data = source.integers(0, 256, (2, 3072), dtype=np.uint8)
        (folder / name).write_bytes(pickle.dumps({"data": data, "labels": [0, 2]}))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": CLASSES}))
    monkeypatch.setattr(CIFAR10, "_check_integrity", lambda _: True)
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)
    return tmp_path


def test_torchvisions_files(batches: Path):
    source = open_cifar10(batches)
    assert source.classes == tuple(CLASSES)
    assert source.train.images.shape == (10, 3, 32, 32)
    assert source.train.images.dtype == torch.uint8
    assert source.train.labels.tolist() == [0, 2] * 5
    raw = pickle.loads((batches / "cifar-10-batches-py" / "data_batch_1").read_bytes())
    assert np.array_equal(source.train.images[0].numpy(), raw["data"][0].reshape(3, 32, 32))
    assert len(source.test) == 2


def test_image_folders(tmp_path: Path):
    for split in ("train", "test"):
        for name in CLASSES:
            (tmp_path / split / name).mkdir(parents=True)
            Image.new("RGB", (32, 32)).save(tmp_path / split / name / "0.jpg")
    source = load_source("cifar10", tmp_path)
    assert source.name == "cifar10 (image folder)"
    assert len(source.train) == len(source.test) == 3


def test_a_failed_download_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from torchvision.datasets import CIFAR10

    def fail(_: CIFAR10) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(CIFAR10, "download", fail)
    with pytest.raises(DataError, match="download failed: no route to host") as caught:
        open_cifar10(tmp_path)
    assert "--data" in caught.value.remedy


def test_damaged_files_are_said_to_be_damaged(tmp_path: Path):
    (tmp_path / "cifar-10-batches-py").mkdir()
    with pytest.raises(DataError, match="is damaged"):
        open_cifar10(tmp_path)


def test_the_download_goes_to_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_directory() == tmp_path / "dlgen" / "data"
