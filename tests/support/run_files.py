"""Run directories that a test changed by hand."""

import hashlib
import json
from pathlib import Path


def bind(directory: Path) -> None:
    """Record the digests of the files as they are now, as if the run had written them."""
    path = directory / "config.json"
    config = json.loads(path.read_text())
    files = [one for one in directory.iterdir() if one.suffix in {".safetensors", ".bin"}]
    config["files"] = {one.name: hashlib.sha256(one.read_bytes()).hexdigest() for one in files}
    path.write_text(json.dumps(config))
