"""What a hostile or absurd file may hold ends in one clear line, soon and in little memory."""

import io
import json
import os
import pickle
import struct
import tarfile
import zipfile

import pytest
import torch
from safetensors.torch import save_file

from dlgen_cli.checkpoints.reader import open_checkpoint
from dlgen_cli.errors import CheckpointError, DlgenError, TensorError

ENTRY = {"dtype": "F32", "shape": [1, 1], "data_offsets": [0, 4]}


def refuse(path, match):
    with pytest.raises(CheckpointError, match=match) as caught:
        open_checkpoint(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1_000


def a_header(path, header, data=b"\0" * 4):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


# ---- safetensors


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({"a": {**ENTRY, "data_offsets": [0, 8]}}, r"has 8 bytes|ends"),
        ({"a": ENTRY, "b": ENTRY}, "overlap"),
        ({"a": {**ENTRY, "data_offsets": [4, 8]}}, "at byte|leave a hole"),
        ({"a": {**ENTRY, "data_offsets": [2**63, 2**63 + 4]}}, "a size was expected"),
        ({"a": {**ENTRY, "data_offsets": [4, 0]}}, "ends before it begins"),
        ({"a": {**ENTRY, "shape": [-1, -1]}}, "a size was expected"),
        ({"a": {**ENTRY, "shape": [2**32, 2**32]}}, "too many entries"),
        ({"a": {**ENTRY, "shape": [2**61, 2**61, 0]}}, "too many entries"),
        ({"a": {**ENTRY, "shape": [1.0, 1]}}, "a size was expected"),
        ({"a": {**ENTRY, "shape": [True, 1]}}, "a size was expected"),
        ({"a": {**ENTRY, "shape": "11"}}, "sizes were expected"),
        ({"a": {**ENTRY, "dtype": "F32\n"}}, "has the type"),
        ({"a": {"dtype": "F32"}}, "no data_offsets"),
        ({"a": []}, "no data_offsets"),
        ({"__metadata__": {"x": 1}, "a": ENTRY}, "metadata"),
        ({"\ud800": ENTRY}, "no Unicode text"),
        (b'{"\xff\xfe": {}}', "can't decode"),
        (b'{"a": 1, "a": 1}', "twice"),
        (b"{" + b'"a":{' * 100_000, "deep|Expecting"),
        (b'{"a":' + b"[" * 100_000, "deep"),
        (b'{"a": NaN}', "no number of JSON"),
        (b'{"a": ' + b"9" * 10_000 + b"}", "not a whole safetensors"),
        ({"a": {**ENTRY, "data_offsets": [0, 3]}}, "has 3 bytes"),
    ],
)
def test_headers_that_lie(tmp_path, header, reason):
    refuse(a_header(tmp_path / "x", header), reason)


def test_a_million_tensors(tmp_path):
    entry = '"%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    text = "{" + ",".join(entry % number for number in range(400_000)) + "}"
    refuse(a_header(tmp_path / "x", text.encode(), b""), "more than 250,000 tensors")
    refuse(a_header(tmp_path / "x", text.encode() * 3, b""), "at most 25,000,000 are read")


def test_a_header_of_empty_lists_is_not_built(tmp_path):
    refuse(a_header(tmp_path / "x", b'{"a":[' + b"[]," * 8_000_000 + b"0]}"), "values of JSON")


def test_zero_size_and_0_d_tensors_are_read(tmp_path):
    save_file(
        {"none": torch.empty(0, 3), "one": torch.tensor(2.0), "w": torch.eye(2)}, tmp_path / "x"
    )
    checkpoint = open_checkpoint(tmp_path / "x")
    assert checkpoint.read("none").shape == (0, 3)
    assert checkpoint.read("one").item() == 2
    torch.save({"none": torch.empty(0, 3), "one": torch.tensor(2.0)}, tmp_path / "y")
    checkpoint = open_checkpoint(tmp_path / "y")
    assert checkpoint.read("none").shape == (0, 3)
    assert checkpoint.read("one").item() == 2


@pytest.mark.parametrize("kind", ["float8_e4m3fn", "float8_e5m2", "float16", "bfloat16", "float64"])
def test_nan_is_found_in_every_type(tmp_path, kind):
    spoilt = torch.tensor([[1.0, float("nan")]]).to(getattr(torch, kind))
    save_file({"w": spoilt}, tmp_path / "x")
    torch.save({"w": spoilt}, tmp_path / "y")
    for name in "xy":
        with pytest.raises(TensorError, match=r"w in .* 1 NaN"):
            open_checkpoint(tmp_path / name).read("w")


# ---- pickles


class Call:
    def __init__(self, function, *arguments):
        self.made = (function, arguments)

    def __reduce__(self):
        return self.made


def a_torch_zip(path, data, **others):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", data)
        for name, content in others.items():
            archive.writestr(f"archive/{name}", content)
    return path


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_a_call_is_never_made(tmp_path, protocol):
    target = tmp_path / "was-run"
    evil = pickle.dumps({"w": Call(os.system, f"touch {target}")}, protocol=protocol)
    refuse(a_torch_zip(tmp_path / "x.pt", evil), r"needs (posix|nt)\.system.* never runs code")
    torch_legacy = b"".join(
        pickle.dumps(part, protocol=2)
        for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
    )
    (tmp_path / "y.pt").write_bytes(torch_legacy + evil)
    refuse(tmp_path / "y.pt", "never runs code")
    assert not target.exists()


@pytest.mark.parametrize("name", ["builtins.eval", "builtins.getattr", "torch.load", "os.system"])
@pytest.mark.parametrize("script", [False, True])
def test_names_that_are_not_on_the_list(tmp_path, name, script):
    module, _, function = name.rpartition(".")
    data = f"c{module}\n{function}\n(S'1'\ntR.".encode()
    others = {"constants.pkl": pickle.dumps((), protocol=2)} if script else {}
    refuse(a_torch_zip(tmp_path / "x.pt", data, **others), f"needs {name}")


BOMBS = {
    "a memo of 2^31": b"\x80\x02]r\xff\xff\xff\x7f.",
    "a long string": b"\x80\x04\x8d" + b"\xff" * 8 + b".",
    "a long array": b"\x80\x05\x96" + b"\xff" * 7 + b"\x0f.",
    "a long number": b"\x80\x02\x8b\x00\x00\x10\x00" + b"\x01" * (1 << 20) + b".",
    "nested lists": b"\x80\x02" + b"]" * 500_000 + b"a" * 499_999 + b".",
    "nested tuples": b"\x80\x02)" + b"\x85" * 500_000 + b".",
    "a nested tuple as a key": b"\x80\x02})" + b"\x85" * 500_000 + b"Ns.",
    "many instructions": b"\x80\x02]" + b"N0" * 2_000_000 + b".",
    "an endless text": b"\x80\x02V" + b"x" * 1_000_000,
    "bytearray of 2^40": b"\x80\x02cbuiltins\nbytearray\n\x8a\x06\0\0\0\0\0\x01\x85R.",
    "storage of 2^40": b"\x80\x02ctorch\nFloatStorage\n\x8a\x06\0\0\0\0\0\x01\x85R.",
    "an unknown instruction": b"\x80\x02\xff.",
    "an empty stack": b"\x80\x02R.",
    "a mark without end": b"\x80\x02((((((.",
    "copies of copies": b"\x80\x02ccollections\nOrderedDict\nq\0]("
    + b"NN\x86" * 9_000
    + b"eq\x01"
    + b"h\0h\x01\x85R0" * 9_000
    + b".",
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs_in_pickles(tmp_path, bomb):
    refuse(a_torch_zip(tmp_path / "x.pt", BOMBS[bomb]), "x.pt")


def test_dictionaries_repeated_without_end(tmp_path):
    tree = {"w": 1}
    for _ in range(25):
        tree = {f"k{number}": tree for number in range(20)}
    data = io.BytesIO()
    torch.save({"state": tree}, data)
    (tmp_path / "x.pt").write_bytes(data.getvalue())
    refuse(tmp_path / "x.pt", "values")
    inside = {}
    inside["inside"] = inside
    torch.save(inside, tmp_path / "y.pt")
    refuse(tmp_path / "y.pt", "deep")


def test_a_long_name_before_many_others(tmp_path):
    inside = {str(number): torch.empty(0) for number in range(2_000)}
    for length in (1_000_000, 60_000):
        torch.save({"x" * length: inside}, tmp_path / "x.pt")
        refuse(tmp_path / "x.pt", "names of .* characters")


def a_storage_pickle(shape, strides, count, start=0, name="w"):
    """A state dict of one tensor, written instruction by instruction."""
    reference = f"(Vstorage\nctorch\nFloatStorage\nV0\nVcpu\nL{count}L\ntQ"
    sizes = "".join(f"L{size}L\n" for size in shape)
    steps = "".join(f"L{step}L\n" for step in strides)
    call = f"ctorch._utils\n_rebuild_tensor_v2\n({reference}L{start}L\n({sizes}t({steps}tI00\nNtR"
    return f"(V{name}\n{call}d.".encode()


@pytest.mark.parametrize(
    ("shape", "strides", "count", "start", "reason"),
    [
        ((3, 2), (2, 1), 4, 0, "larger than its storage|entries of shape"),
        ((2, 2), (2, 1), 4, 1, "larger than its storage|entries of shape"),
        ((2, 2), (-2, 1), 4, 0, "a size was expected"),
        ((-2, -2), (2, 1), 4, 0, "a size was expected"),
        ((2**62, 2), (0, 0), 4, 0, "too many entries"),
        ((2, 2), (2**61, 2**61), 4, 0, "storage|entries"),
        ((2, 2), (2, 1), 2**61, 0, "bytes where"),
        ((2, 2), (2,), 4, 0, "strides"),
        ((2, 2), (2, 1), 400, 0, "bytes where"),
    ],
)
def test_tensors_that_do_not_fit_their_storage(tmp_path, shape, strides, count, start, reason):
    data = a_storage_pickle(shape, strides, count, start)
    refuse(a_torch_zip(tmp_path / "x.pt", data, **{"data/0": bytes(16)}), reason)


def test_the_pickle_of_the_previous_test_is_a_tensor_where_it_fits(tmp_path):
    data = a_storage_pickle((2, 2), (1, 2), 4)
    stored = struct.pack("<4f", 1, 2, 3, 4)
    checkpoint = open_checkpoint(a_torch_zip(tmp_path / "x.pt", data, **{"data/0": stored}))
    assert checkpoint.read("w").tolist() == [[1, 3], [2, 4]]


def test_a_view_that_repeats_one_entry_is_not_unfolded(tmp_path):
    torch.save({"v": torch.ones(2, 2), "w": torch.ones(1).expand(1 << 20, 1 << 20)}, tmp_path / "x")
    checkpoint = open_checkpoint(tmp_path / "x")
    assert not checkpoint.tensors["w"].is_floating
    with pytest.raises(TensorError, match="a view of 1,099,511,627,776 entries on 1 stored"):
        checkpoint.read("w")


@pytest.mark.parametrize("order", [b"big", b"little", b"middle"])
def test_the_order_of_bytes(tmp_path, order):
    data = a_storage_pickle((2, 2), (2, 1), 4)
    stored = struct.pack(">4f" if order == b"big" else "<4f", 1, 2, 3, 4)
    path = a_torch_zip(tmp_path / "x", data, **{"byteorder": order, "data/0": stored})
    if order == b"middle":
        refuse(path, "byte order b'middle'")
    else:
        assert open_checkpoint(path).read("w").tolist() == [[1, 2], [3, 4]]


# ---- archives and files


def test_zip_bombs_are_not_unfolded(tmp_path):
    data = a_storage_pickle((1 << 14, 1 << 14), (1 << 14, 1), 1 << 28)
    with zipfile.ZipFile(tmp_path / "x", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", data, zipfile.ZIP_STORED)
        archive.writestr("archive/data/0", bytes(1 << 26))
    refuse(tmp_path / "x", "compressed")
    with zipfile.ZipFile(tmp_path / "x", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", data)
    refuse(tmp_path / "x", "compressed")


def test_a_zip_that_claims_what_is_not_there(tmp_path):
    a_torch_zip(tmp_path / "x", a_storage_pickle((2, 2), (2, 1), 4), **{"data/0": bytes(16)})
    content = bytearray((tmp_path / "x").read_bytes())
    at = content.rfind(b"PK\x01\x02")
    content[at + 20 : at + 28] = struct.pack("<2L", 2**31, 2**31)  # both sizes of the last entry
    (tmp_path / "x").write_bytes(content)
    refuse(tmp_path / "x", "not all there")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_entry_that_is_there_twice(tmp_path):
    with zipfile.ZipFile(tmp_path / "x", "w") as archive:
        archive.writestr("archive/data.pkl", b"x")
        archive.writestr("archive/data.pkl", b"y")
    refuse(tmp_path / "x", "twice")


def test_an_entry_that_is_marked_as_a_folder(tmp_path):
    """torch.load then returns memory that was never written."""
    a_torch_zip(tmp_path / "x", a_storage_pickle((2, 2), (2, 1), 4), **{"data/0": bytes(16)})
    content = bytearray((tmp_path / "x").read_bytes())
    content[content.rfind(b"PK\x01\x02") + 38] |= 0x10  # attributes of the last entry
    (tmp_path / "x").write_bytes(content)
    refuse(tmp_path / "x", "a folder")


def test_a_legacy_file_that_ends_before_its_storages(tmp_path):
    torch.save({"w": torch.eye(2)}, tmp_path / "x", _use_new_zipfile_serialization=False)
    content = (tmp_path / "x").read_bytes()
    for left in (1, 16, 20, 24):
        (tmp_path / "x").write_bytes(content[:-left])
        refuse(tmp_path / "x", "cannot be read as a torch file")


def test_names_that_are_no_text(tmp_path):
    (tmp_path / "y").write_bytes(
        a_torch_zip(
            tmp_path / "x",
            a_storage_pickle((2, 2), (2, 1), 4, name="\\ud800"),
            **{"data/0": bytes(16)},
        ).read_bytes()
    )
    refuse(tmp_path / "y", "no Unicode text")


def test_other_kinds_of_files(tmp_path):
    (tmp_path / "x").symlink_to(tmp_path / "y")
    (tmp_path / "y").symlink_to(tmp_path / "x")
    refuse(tmp_path / "x", "symbolic link in a circle")
    os.mkfifo(tmp_path / "pipe")
    refuse(tmp_path / "pipe", "no regular file")
    with tarfile.open(tmp_path / "old.tar", "w", format=tarfile.USTAR_FORMAT) as archive:
        archive.addfile(tarfile.TarInfo("sys_info"))
    refuse(tmp_path / "old.tar", "tar archive")
    (tmp_path / "pointer").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    refuse(tmp_path / "pointer", "Git LFS")


def test_a_file_that_was_never_written_in_full(tmp_path):
    a_header(tmp_path / "x", {"a": {**ENTRY, "shape": [1 << 35], "data_offsets": [0, 1 << 37]}})
    os.truncate(tmp_path / "x", (1 << 37) + 4096)
    refuse(tmp_path / "x", "never written")


def test_names_that_act_on_terminals_are_stored_but_not_repeated(tmp_path):
    name = "a\x1b[31m[red]\n.weight"
    save_file({name: torch.tensor([[float("nan")]])}, tmp_path / "x")
    with pytest.raises(DlgenError) as caught:
        open_checkpoint(tmp_path / "x").read(name)
    assert r"a\x1b[31m[red]\n.weight" in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_a_file_that_changes_while_it_is_read(tmp_path):
    save_file({"w": torch.eye(4)}, tmp_path / "x")
    checkpoint = open_checkpoint(tmp_path / "x")
    (tmp_path / "x").write_bytes(b"short")
    with pytest.raises(CheckpointError, match="changed while"):
        checkpoint.read("w")
