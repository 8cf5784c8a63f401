"""Addresses on the Hub: from the local cache without a connection, and from a server."""

import builtins
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from safetensors.torch import save

from dlgen_cli.checkpoints import hub
from dlgen_cli.checkpoints.reader import open_checkpoint
from dlgen_cli.errors import CheckpointError, DependencyError

COMMIT = "0123456789abcdef0123456789abcdef01234567"
STATE = {"layers.0.weight": torch.arange(6.0).reshape(2, 3), "layers.1.weight": torch.eye(2)}


@pytest.mark.parametrize(
    ("text", "repository", "revision", "file"),
    [
        ("hf://org/name", "org/name", None, None),
        ("hf://org/name@v1.0", "org/name", "v1.0", None),
        ("hf://org/name@refs%2Fpr%2F3/a/b.bin", "org/name", "refs/pr/3", "a/b.bin"),
        ("hf://org/name/model.safetensors", "org/name", None, "model.safetensors"),
        ("hf://gpt2", "gpt2", None, None),
        ("hf://gpt2@main", "gpt2", "main", None),
        ("hf://gpt2@main/model.safetensors", "gpt2", "main", "model.safetensors"),
    ],
)
def test_addresses(text, repository, revision, file):
    address = hub.parse_address(Path(text))
    assert (address.repository, address.revision, address.file) == (repository, revision, file)
    assert hub.shown(Path(text)) == text


@pytest.mark.parametrize(
    "text", ["hf://", "hf://org/..", "hf://../x", "hf://org/a b", "hf://o/n@/x"]
)
def test_what_is_no_address(text):
    with pytest.raises(CheckpointError, match="no address on the Hub"):
        hub.parse_address(Path(text))


def test_only_addresses_are_addresses(tmp_path, monkeypatch):
    assert hub.is_address(Path("hf://org/name"))
    assert not hub.is_address(Path("model.safetensors"))
    assert not hub.is_address(tmp_path / "hf:" / "org")
    monkeypatch.chdir(tmp_path)
    Path("hf:").mkdir()
    assert not hub.is_address(Path("hf:"))


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["config.json", "pytorch_model.bin", "model.safetensors"], "model.safetensors"),
        (["pytorch_model.bin", "model.safetensors.index.json"], "model.safetensors.index.json"),
        (["training_args.bin", "adapter_model.safetensors"], "adapter_model.safetensors"),
        (["a-Q4.gguf", "a-Q8.gguf"], None),
        (["unet/model.safetensors"], None),
        (["modeling.py", "README.md"], None),
    ],
)
def test_which_file_holds_the_weights(names, chosen):
    assert hub.choose(names) == chosen


def test_the_missing_package_is_named(monkeypatch):
    real = builtins.__import__

    def without(name, *rest, **named):
        if name == "huggingface_hub":
            raise ImportError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(DependencyError, match=r"hf://org/name needs .* 'dlgen\[hf\]'"):
        open_checkpoint(Path("hf://org/name"))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of huggingface_hub."""
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
    return tmp_path / "cache"


def fill(cache, repository, files):
    """The layout of the cache: blobs, and links to them under the commit."""
    root = cache / f"models--{repository.replace('/', '--')}"
    for folder in ("blobs", "refs", f"snapshots/{COMMIT}"):
        (root / folder).mkdir(parents=True)
    (root / "refs" / "main").write_text(COMMIT)
    for name, content in files.items():
        blob = root / "blobs" / hashlib.sha256(content).hexdigest()
        blob.write_bytes(content)
        link = root / "snapshots" / COMMIT / name
        link.symlink_to(Path("../../blobs") / blob.name)
    return root


def sharded():
    names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    weight_map = dict(zip(STATE, names, strict=True))
    index = json.dumps({"weight_map": weight_map}).encode()
    shards = {name: save({one: STATE[one]}) for one, name in weight_map.items()}
    return {"model.safetensors.index.json": index} | shards


@pytest.fixture
def offline(cache, monkeypatch):
    """No connection: every request fails."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return cache


@pytest.mark.parametrize("files", [{"model.safetensors": save(STATE)}, sharded()])
@pytest.mark.parametrize("revision", ["", f"@{COMMIT}", "@main"])
@pytest.mark.usefixtures("offline")
def test_what_the_cache_holds_needs_no_connection(cache, files, revision):
    fill(cache, "org/name", files | {"config.json": b"{}"})
    checkpoint = open_checkpoint(Path(f"hf://org/name{revision}"))
    for name, tensor in STATE.items():
        assert torch.equal(checkpoint.read(name), tensor)


@pytest.mark.usefixtures("offline")
def test_a_file_by_its_name(cache):
    fill(cache, "org/name", {"one.safetensors": save(STATE), "two.safetensors": save(STATE)})
    assert open_checkpoint(Path("hf://org/name/two.safetensors")).parameters == 10
    with pytest.raises(CheckpointError, match="not in the cache and cannot be downloaded"):
        open_checkpoint(Path("hf://org/name"))


@pytest.mark.usefixtures("offline")
def test_what_the_cache_lacks_is_said_in_one_line(cache):
    files = sharded()
    del files["model-00002-of-00002.safetensors"]
    fill(cache, "org/name", files)
    for address in ("hf://org/name", "hf://org/other"):
        with pytest.raises(
            CheckpointError, match="not in the cache and cannot be downloaded"
        ) as caught:
            open_checkpoint(Path(address))
        assert "\n" not in str(caught.value)


FILES = sharded() | {"modeling_evil.py": b"raise SystemExit", "config.json": b"{}"}


class Server(BaseHTTPRequestHandler):
    """As much of the Hub as a download asks for."""

    asked: ClassVar[list[str]] = []

    def do_GET(self):
        self.answer()

    def do_HEAD(self):
        self.answer()

    def answer(self):
        path = self.path.partition("?")[0]
        name = path.rpartition("/")[2]
        if path.startswith("/api/models/org/name"):
            listed = [
                {"type": "file", "path": name, "size": len(content), "oid": COMMIT}
                for name, content in FILES.items()
            ]
            siblings = [{"rfilename": name} for name in FILES]
            facts = {"id": "org/name", "sha": COMMIT, "siblings": siblings}
            self.reply(json.dumps(listed if "/tree/" in path else facts).encode())
        elif "/resolve/" in path and name in FILES:
            self.asked.append(name)
            self.reply(FILES[name])
        else:
            self.send_error(404)

    def reply(self, content):
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *_arguments):
        pass


@pytest.fixture
def server():
    Server.asked.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


@pytest.mark.usefixtures("cache")
def test_weights_are_downloaded_and_nothing_else(server, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server)
    monkeypatch.setattr(
        "huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE",
        server + "/{repo_id}/resolve/{revision}/{filename}",
    )
    monkeypatch.setattr("huggingface_hub.hf_api.constants.ENDPOINT", server)
    checkpoint = open_checkpoint(Path("hf://org/name"))
    for name, tensor in STATE.items():
        assert torch.equal(checkpoint.read(name), tensor)
    assert set(Server.asked) == set(sharded())
    Server.asked.clear()
    assert open_checkpoint(Path("hf://org/name")).sha256 == checkpoint.sha256
    assert not Server.asked


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("address", ["hf://org/name", "hf://org/name/model.safetensors"])
def test_without_a_connection_nothing_is_tried_again(monkeypatch, caplog, address):
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as closed:
        nobody = f"http://127.0.0.1:{closed.server_port}"
    monkeypatch.setattr("huggingface_hub.hf_api.constants.ENDPOINT", nobody)
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", None)  # waiting would fail
    with pytest.raises(CheckpointError, match="cannot be downloaded"):
        open_checkpoint(Path(address))
    assert not caplog.records
