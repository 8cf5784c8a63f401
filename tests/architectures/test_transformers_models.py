"""Networks of transformers by the configuration of their folder."""

import builtins
import json

import pytest
import torch

from dlgen_cli.architectures.transformers_models import build_transformers, is_transformers
from dlgen_cli.errors import UsageError

SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "vocab_size": 30,
}
FOLDERS = {
    "BertModel": ({"model_type": "bert", "max_position_embeddings": 16, **SIZES}, (5,)),
    "LlamaForCausalLM": ({"model_type": "llama", "num_key_value_heads": 1, **SIZES}, (5,)),
    "ViTForImageClassification": (
        {"model_type": "vit", "image_size": 16, "patch_size": 8, "num_channels": 3, **SIZES},
        (3, 16, 16),
    ),
}


def folder(path, name):
    config, shape = FOLDERS[name]
    path.mkdir(exist_ok=True)
    text = json.dumps({"architectures": [name], **config})
    (path / "config.json").write_text(text)
    return path, shape


def test_names_of_transformers():
    assert is_transformers("transformers")
    assert is_transformers("transformers:BertModel")
    assert not is_transformers("transformer")


def test_the_missing_package_is_named(tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *rest, **named):
        if name == "transformers":
            raise ImportError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UsageError, match=r"pip install 'dlgen\[transformers\]'"):
        build_transformers("transformers", tmp_path)


@pytest.fixture
def package():
    return pytest.importorskip("transformers")


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_is_read_as_a_graph(name, tmp_path):
    from safetensors.torch import save_file

    from dlgen_cli.checkpoints.reader import open_checkpoint
    from dlgen_cli.networks.front_end import read_network

    path, shape = folder(tmp_path / "net", name)
    torch.manual_seed(0)
    module = build_transformers("transformers", path).eval()
    for one in module.parameters():
        torch.nn.init.normal_(one, std=0.3)
    save_file(
        {key: one.clone() for key, one in module.state_dict().items()}, path / "m.safetensors"
    )
    read = read_network(open_checkpoint(path), arch="transformers", input_shape=shape)
    assert read.obstacle is None
    assert read.structure == "graph"
    assert len(read.network.layers) > 8
    x = torch.randint(0, 30, (3, *shape)) if len(shape) == 1 else torch.randn(3, *shape)
    with torch.no_grad():
        torch.testing.assert_close(read.module(x), module(x)[0])


@pytest.mark.usefixtures("package")
def test_code_of_the_folder_is_never_run(tmp_path):
    path, _ = folder(tmp_path / "net", "BertModel")
    config = json.loads((path / "config.json").read_text())
    config |= {"model_type": "odd", "auto_map": {"AutoConfig": "own.Config"}}
    (path / "config.json").write_text(json.dumps(config))
    (path / "own.py").write_text("raise SystemExit('this ran')")
    with pytest.raises(UsageError, match="cannot be built"):
        build_transformers("transformers", path)
    with pytest.raises(UsageError, match=r"no config\.json"):
        build_transformers("transformers", tmp_path)


@pytest.mark.usefixtures("package")
def test_the_class_is_one_of_transformers(tmp_path):
    path, _ = folder(tmp_path / "net", "BertModel")
    for name in ("transformers:NoSuchModel", "transformers:logging", "transformers:os.system"):
        with pytest.raises(UsageError, match="has no network"):
            build_transformers(name, path)
    made = build_transformers("transformers:BertForMaskedLM", path)
    assert type(made).__name__ == "BertForMaskedLM"
