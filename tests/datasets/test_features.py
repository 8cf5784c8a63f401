"""Files of features: what is read, what is joined, and what is refused in one line."""

import hashlib

import numpy as np
import pytest
import torch
from features import arrays, write
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_tensors

from dlgen_cli.datasets import load_features
from dlgen_cli.errors import DataError

ROWS, LABELS = arrays()["train_x"], arrays()["train_y"]


def test_rows_and_labels_come_as_they_are(tmp_path):
    path = write(tmp_path / "a.npz")
    source = load_features([path])
    assert torch.equal(source.train.images, torch.from_numpy(ROWS))
    assert source.train.labels.tolist() == LABELS.tolist()
    assert len(source.test) == 60
    assert source.classes == ("0", "1", "2")
    assert source.indices.tolist() == list(range(240))
    (file,) = source.files
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert (file.name, file.sha256, file.columns) == ("a.npz", digest, 6)


@pytest.mark.parametrize("kind", ["<f2", ">f4", "<f8", "<i2", "u1"])
def test_numbers_of_any_width_become_float32(tmp_path, kind):
    rows = np.arange(24).reshape(6, 4)
    labels = np.array([0, 1, 0, 1, 0, 1], dtype=np.uint8)
    table = {"train_x": rows.astype(kind), "test_x": rows.astype(kind)}
    path = write(tmp_path / "a.npz", **table, train_y=labels, test_y=labels)
    source = load_features([path])
    assert source.train.images.dtype == torch.float32
    assert source.train.images.tolist() == rows.tolist()
    assert source.train.labels.dtype == torch.int64


def test_safetensors_are_told_by_content(tmp_path):
    save_file(arrays(), tmp_path / "a.npz")
    source = load_features([tmp_path / "a.npz"])
    assert torch.equal(source.test.images, torch.from_numpy(arrays()["test_x"]))
    half = {name: torch.from_numpy(one) for name, one in arrays().items()}
    half = {name: one.bfloat16() if name.endswith("x") else one for name, one in half.items()}
    save_tensors(half, tmp_path / "b.safetensors")
    assert torch.equal(load_features([tmp_path / "b.safetensors"]).train.images, half["train_x"])


def test_columns_of_several_files_are_joined(tmp_path):
    one, two = write(tmp_path / "a.npz"), write(tmp_path / "b.npz", **rows_of(arrays(columns=4)))
    source = load_features([one, two])
    assert source.name == "a.npz + b.npz"
    assert [file.columns for file in source.files] == [6, 4]
    joined = np.concatenate([ROWS, arrays(columns=4)["train_x"]], axis=1)
    assert source.train.images.tolist() == joined.tolist()


def rows_of(table):
    return {name: one for name, one in table.items() if name.endswith("x")}


def test_files_with_other_labels_are_not_joined(tmp_path):
    one, two = write(tmp_path / "a.npz"), write(tmp_path / "b.npz", train_y=LABELS[::-1])
    with pytest.raises(DataError, match=r"train_y of .*b\.npz and of .*a\.npz differ"):
        load_features([one, two])


NAN, HUGE = ROWS.copy(), ROWS.astype(np.float64)
NAN[7, 2] = np.nan
HUGE[9, 1] = 1e300


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_x": NAN}, "NaN or an infinity in row 7"),
        ({"train_x": HUGE}, "NaN or an infinity in row 9"),
        ({"train_x": ROWS[:, 0]}, r"train_x of .* has shape \(240,\)"),
        ({"train_x": ROWS.reshape(240, 2, 3)}, r"shape \(240, 2, 3\)"),
        ({"train_x": ROWS.astype(complex)}, "complex128"),
        ({"train_x": ROWS[:0], "train_y": LABELS[:0]}, r"shape \(0, 6\)"),
        ({"train_x": ROWS[:, :0]}, r"shape \(240, 0\)"),
        ({"train_x": ROWS[:5]}, "5 rows in train_x and 240 labels"),
        ({"test_x": arrays(columns=5)["test_x"]}, "6 features in train_x and 5 in test_x"),
        ({"train_y": LABELS.astype(float)}, "one whole number"),
        ({"train_y": LABELS - 1}, "one whole number"),
        ({"train_y": LABELS[:, None]}, "one whole number"),
        ({"train_y": LABELS.astype(str)}, "one whole number"),
        ({"train_y": LABELS * 0, "test_y": LABELS[:60] * 0}, "largest label of .* is 0"),
        ({"train_y": LABELS + 10**12}, "largest label of .* is 1,000,000,000,002"),
        ({"train_y": None}, "holds no train_y"),
        ({"test_x": None, "test_y": None}, "holds no test_x, test_y"),
        ({"train_y": LABELS.astype(object)}, "Python objects"),
    ],
)
def test_what_is_no_table_of_features_is_refused(tmp_path, changes, message):
    with pytest.raises(DataError, match=message):
        load_features([write(tmp_path / "a.npz", **changes)])


def test_damaged_files_are_refused(tmp_path):
    content = write(tmp_path / "a.npz").read_bytes()
    for name, cut in (("short", content[:900]), ("empty", b""), ("text", b"label,prediction\n")):
        (tmp_path / name).write_bytes(cut)
        with pytest.raises(DataError, match="is no file of features"):
            load_features([tmp_path / name])
    (tmp_path / "flipped").write_bytes(content[:500] + b"\xff\xff" + content[502:])
    with pytest.raises(DataError, match="is no file of features"):
        load_features([tmp_path / "flipped"])
    for missing in (tmp_path / "none.npz", tmp_path):
        with pytest.raises(DataError, match="cannot be read"):
            load_features([missing])
