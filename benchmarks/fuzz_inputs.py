"""Valid files of every format, and changes that damage them: what `fuzz_readers.py` feeds on.

Changes hit bits, bytes and blocks anywhere, and the structure of the format itself: fields of a
safetensors header, instructions of a pickle, entries of a zip, names and values of an index,
integers of a GGUF header.
"""

from __future__ import annotations

import io
import json
import pickletools
import random
import struct
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

EDGES = (0, 1, 2, 7, 8, 127, 128, 255, 2**15, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**53, 2**63 - 1)
EDGES += (2**63, 2**64 - 1, -1, -(2**31), -(2**63), 10**30)
TEXTS = ("", ".", "..", "/", "../x", "/etc/passwd", "C:\\x", "\0", "\ud800", "a\nb", "[red]x[/red]")
TEXTS += ("w" * 5000, "__metadata__", "é", "x/../../y", "model.safetensors", "9" * 400)


# ---- valid files -------------------------------------------------------------------------------


def states() -> dict[str, Any]:
    """What trainers save."""
    import torch

    torch.manual_seed(0)
    state = {
        "a.weight": torch.randn(4, 3),
        "a.bias": torch.randn(4),
        "b.weight": torch.randn(2, 4).half(),
        "c.weight": torch.randn(3, 2).bfloat16(),
        "d.weight": torch.randn(2, 2, 3).double().transpose(0, 2),
        "e": torch.tensor(3),
        "empty": torch.empty(0, 5),
    }
    return {
        "plain": state,
        "nested": {"model": state, "optimizer": {"state": {0: {"m": torch.ones(3)}}}, "epoch": 3},
    }


def seeds(folder: Path) -> dict[str, Path]:
    """One valid checkpoint of each format, files or folders; GGUF where its package is there."""
    import torch
    from safetensors.torch import save_file
    from torch.distributed import checkpoint

    found: dict[str, Path] = {}
    saved = states()
    plain = {name: tensor.contiguous() for name, tensor in saved["plain"].items()}
    found["safetensors"] = folder / "a.safetensors"
    save_file(plain, found["safetensors"], {"examples": "50", "x": "y"})
    found["torch zip"] = folder / "zip.pt"
    torch.save(saved["nested"], found["torch zip"])
    found["torch legacy"] = folder / "legacy.pt"
    torch.save(saved["nested"], found["torch legacy"], _use_new_zipfile_serialization=False)
    found["TorchScript"] = folder / "script.pt"
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Conv1d(2, 3, 2))
    torch.jit.save(torch.jit.script(module), found["TorchScript"])
    found["sharded"] = folder / "sharded"
    found["sharded"].mkdir()
    names = sorted(plain)
    shards = {"one.safetensors": names[:3], "two.bin": names[3:]}
    save_file({name: plain[name] for name in names[:3]}, found["sharded"] / "one.safetensors")
    torch.save({name: plain[name] for name in names[3:]}, found["sharded"] / "two.bin")
    weight_map = {name: shard for shard, held in shards.items() for name in held}
    index = found["sharded"] / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 99}, "weight_map": weight_map}))
    found["distributed"] = folder / "distributed"
    checkpoint.save({"model": dict(saved["plain"])}, checkpoint_id=found["distributed"])
    try:
        found["GGUF"] = write_gguf(folder / "a.gguf")
    except ImportError:
        sys.stderr.write("gguf is not installed: its reader is left out\n")
    return found


def write_gguf(path: Path) -> Path:
    """A GGUF file with plain and quantised tensors."""
    import gguf
    import numpy as np

    writer = gguf.GGUFWriter(path, "llama")
    writer.add_array("tokens", ["a", "bc", "def"])
    writer.add_array("scores", [0.5, 1.0, 2.0])
    values = np.linspace(-1, 1, 128, dtype=np.float32).reshape(2, 64)
    writer.add_tensor("f32.weight", values)
    writer.add_tensor("f16.weight", values.astype(np.float16))
    quantised = gguf.quants.quantize(values, gguf.GGMLQuantizationType.Q8_0)
    writer.add_tensor("q8.weight", quantised, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


# ---- changes -----------------------------------------------------------------------------------


def change_bytes(data: bytes, dice: random.Random) -> bytes:
    """Bits, integers, blocks and ends, changed where chance has it."""
    changed = bytearray(data)
    for _ in range(dice.choice((1, 1, 2, 4, 16))):
        at = dice.randrange(len(changed) + 1) if changed else 0
        kind = dice.randrange(7)
        if kind == 0 and at < len(changed):
            changed[at] ^= 1 << dice.randrange(8)
        elif kind == 1 and at < len(changed):
            changed[at] = dice.randrange(256)
        elif kind == 2:
            width = dice.choice((1, 2, 4, 8))
            number = dice.choice(EDGES) % (1 << 8 * width)
            changed[at : at + width] = number.to_bytes(width, dice.choice(("little", "big")))
        elif kind == 3:
            del changed[at : at + dice.choice((1, 4, 64))]
        elif kind == 4:
            changed[at:at] = dice.randbytes(dice.choice((1, 8, 64)))
        elif kind == 5:
            source = dice.randrange(len(changed) + 1)
            changed[at:at] = changed[source : source + dice.choice((4, 32, 256))]
        elif dice.random() < 0.3:
            del changed[at:]
    return bytes(changed)


def change_json(value: Any, dice: random.Random) -> Any:
    """One value, key or list of a JSON tree, replaced."""
    if isinstance(value, dict) and value and dice.random() < 0.9:
        key = dice.choice(list(value))
        changed = dict(value)
        kind = dice.randrange(5)
        if kind == 0:
            changed[dice.choice(TEXTS)] = changed.pop(key)
        elif kind == 1:
            del changed[key]
        else:
            changed[key] = change_json(value[key], dice)
        return changed
    if isinstance(value, list) and value and dice.random() < 0.8:
        at = dice.randrange(len(value))
        return [*value[:at], change_json(value[at], dice), *value[at + 1 :]]
    dtypes = ("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2", "I64", "U8", "C64", "F4", "x")
    near = value + dice.choice((-8, -4, -1, 1, 4, 8)) if isinstance(value, int) else value
    deep = json.loads("[" * 50 + "]" * 50)
    others = (None, True, 1.5, {}, [], deep, [1] * 70, value, near, near)
    return dice.choice((dice.choice(EDGES), dice.choice(TEXTS), dice.choice(dtypes), *others))


def change_safetensors(data: bytes, dice: random.Random) -> bytes:
    """The header changed as JSON; its length fits again, most times."""
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    for _ in range(dice.choice((1, 1, 2, 3))):
        header = change_json(header, dice) if isinstance(header, dict) else header
    text = json.dumps(header).encode()
    if dice.random() < 0.2:
        text = change_bytes(text, dice)
    text = text.ljust(-(-len(text) // 8) * 8)
    length = dice.choice(EDGES) % 2**64 if dice.random() < 0.1 else len(text)
    return struct.pack("<Q", length) + text + data[8 + size :]


def change_pickle(data: bytes, dice: random.Random) -> bytes:
    """Instructions of a pickle repeated, left out, swapped, or with other arguments."""
    try:
        starts = [at for _, _, at in pickletools.genops(io.BytesIO(data))]
    except Exception:  # a legacy file: more than a pickle
        return change_bytes(data, dice)
    end = starts[-1] + 1
    parts = [data[a:b] for a, b in zip(starts, [*starts[1:], end], strict=True)]
    hostile = (b"cos\nsystem\n", b"X\x02\x00\x00\x00id", b"\x85R", b"r\xff\xff\xff\x7f", b"(", b"2")
    hostile += (
        b"\x8d" + b"\xff" * 8,
        b"}",
        b"]",
        b"t",
        b"u",
        b"e",
        b"b",
        b"Q",
        b"0",
        b"1",
        b"\x94",
    )
    hostile += (
        b"ctorch.storage\nUntypedStorage\n",
        b"cbuiltins\nbytearray\n",
        b"J\xff\xff\xff\xff",
    )
    for _ in range(dice.choice((1, 1, 2, 5))):
        at, other = dice.randrange(len(parts)), dice.randrange(len(parts))
        kind = dice.randrange(6)
        if kind == 0:
            parts[at], parts[other] = parts[other], parts[at]
        elif kind == 1:
            parts.insert(at, parts[other])
        elif kind == 2 and len(parts) > 1:
            del parts[at]
        elif kind == 3:
            parts.insert(at, dice.choice(hostile))
        elif kind == 4:
            number = dice.choice(EDGES)
            parts[at] = b"\x8a\x10" + (number % 2**127).to_bytes(16, "little")
        else:
            parts[at] = change_bytes(parts[at], dice)
    return b"".join(parts) + data[end:]


def change_zip(data: bytes, dice: random.Random) -> bytes:
    """An archive rebuilt: one entry changed, dropped, doubled, renamed or compressed."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = [(name, archive.read(name)) for name in archive.namelist()]
    at = dice.randrange(len(entries))
    pickles = [place for place, (name, _) in enumerate(entries) if name.endswith(".pkl")]
    kind = dice.randrange(8)
    method = zipfile.ZIP_STORED
    if kind <= 3:
        at = dice.choice(pickles)
        entries[at] = (entries[at][0], change_pickle(entries[at][1], dice))
    elif kind == 4:
        entries[at] = (entries[at][0], change_bytes(entries[at][1], dice))
    elif kind == 5:
        entries[at] = (entries[dice.randrange(len(entries))][0], entries[at][1])
    elif kind == 6:
        del entries[at]
    else:
        method = zipfile.ZIP_DEFLATED
    out = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w", method) as archive:
        warnings.simplefilter("ignore")
        for name, content in entries:
            archive.writestr(name, content)
    return change_bytes(out.getvalue(), dice) if dice.random() < 0.1 else out.getvalue()


def change_index(data: bytes, dice: random.Random) -> bytes:
    """An index changed as JSON."""
    found = change_json(json.loads(data), dice)
    text = json.dumps(found).encode()
    return change_bytes(text, dice) if dice.random() < 0.1 else text


def change_header(data: bytes, dice: random.Random) -> bytes:
    """Integers near the start, where a GGUF file keeps its counts and types."""
    changed = bytearray(data)
    for _ in range(dice.choice((1, 2, 3))):
        at = dice.randrange(4, min(len(changed) - 8, 700))
        width = dice.choice((4, 8))
        changed[at : at + width] = (dice.choice(EDGES) % (1 << 8 * width)).to_bytes(width, "little")
    return bytes(changed)


Change = Callable[[bytes, random.Random], bytes]
STRUCTURE: dict[str, tuple[str | None, Change]] = {
    "safetensors": (None, change_safetensors),
    "torch zip": (None, change_zip),
    "torch legacy": (None, change_pickle),
    "TorchScript": (None, change_zip),
    "sharded": ("model.safetensors.index.json", change_index),
    "distributed": (".metadata", change_pickle),
    "GGUF": (None, change_header),
}
