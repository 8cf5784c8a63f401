"""Where the network is in what trainers save, and what is said of the rest."""

import argparse
import collections
import dataclasses
import datetime as dt
import enum
import functools
import io
import pathlib
import types

import numpy as np
import pytest
import torch
from torch import nn

from dlgen_cli.checkpoints.reader import open_checkpoint
from dlgen_cli.errors import CheckpointError, UsageError

STATE = {"l0.weight": torch.randn(4, 3), "l1.weight": torch.randn(3, 4), "l1.bias": torch.randn(3)}
ADAM = {
    "state": {0: {"step": torch.tensor(1.0), "exp_avg": torch.ones(4, 3)}},
    "param_groups": [{}],
}
AVERAGE = {name: tensor + 1 for name, tensor in STATE.items()}


class Colour(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    LOW = 1


@dataclasses.dataclass
class Config:
    rate: float = 0.1
    layers: object = None


class Attributes(dict):
    pass


class Items(list):
    pass


class Slots:
    __slots__ = ("a",)

    def __init__(self):
        self.a = 3


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.head = nn.Linear(4, 2)
        self.register_buffer("table", torch.arange(6.0).view(2, 3))
        self.parents = [self]


def opened(tree, folder, **how):
    torch.save(tree, folder / "x.pt", **how)
    return open_checkpoint(folder / "x.pt")


def same(checkpoint, state):
    assert set(checkpoint.tensors) == set(state)
    for name, tensor in state.items():
        if tensor.is_floating_point():
            assert torch.equal(checkpoint.read(name), tensor)


INERT = {
    "namespace": argparse.Namespace(a=1),
    "simple namespace": types.SimpleNamespace(b=2),
    "paths": [pathlib.PurePosixPath("a/b"), pathlib.PureWindowsPath("C:/x")],
    "a time": dt.datetime(2024, 1, 2, tzinfo=dt.UTC),
    "enumerations": [Colour.RED, Level.LOW, {Colour.RED: 1}],
    "a dataclass": Config(),
    "a dictionary of its own kind": Attributes(a=1),
    "a list of its own kind": Items([1, 2]),
    "slots": Slots(),
    "collections": [collections.deque([1], maxlen=2), collections.defaultdict(list, a=[1])],
    "bytes": [io.BytesIO(b"abc"), bytearray(b"abc"), b"abc"],
    "functions": [functools.partial(int, base=2), len, int, Config],
    "numbers": [1j, range(3), slice(1, 2), np.float32(0.5), np.array(["a"])],
    "sets": [{1, 2}, frozenset({3})],
    "of torch": [torch.float16, torch.device("cpu"), torch.Size([1, 2])],
}


@pytest.mark.parametrize("kind", INERT)
@pytest.mark.parametrize("is_zip", [True, False])
def test_objects_beside_the_network_are_inert(tmp_path, kind, is_zip):
    tree = {"state_dict": STATE, "extra": INERT[kind]}
    found = opened(tree, tmp_path, _use_new_zipfile_serialization=is_zip)
    same(found, STATE)
    assert not found.not_understood


@pytest.mark.parametrize("is_zip", [True, False])
@pytest.mark.parametrize("wrap", [lambda net: net, lambda net: {"epoch": 3, "model": net}])
def test_a_module_that_was_saved_whole_has_the_names_of_its_state_dict(tmp_path, wrap, is_zip):
    net = Net()
    found = opened(wrap(net), tmp_path, _use_new_zipfile_serialization=is_zip)
    same(found, net.state_dict())
    assert not found.not_understood
    buffers = {name for name, info in found.tensors.items() if info.is_buffer}
    assert buffers == {name for name, _ in net.named_buffers()}
    assert found.parameters == sum(one.numel() for one in net.parameters())


def test_parameters_that_a_module_lists_once_more_have_one_name(tmp_path):
    net = nn.Sequential(nn.LSTM(3, 4, 2), nn.Linear(4, 2))
    found = opened(net, tmp_path)
    same(found, net.state_dict())
    assert not found.not_understood


@pytest.mark.filterwarnings("ignore")
def test_packed_weights_of_a_quantised_module_are_named(tmp_path):
    net = torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(6, 8)), dtype=torch.qint8)
    found = opened(net, tmp_path)
    assert any("_packed_params" in one.name for one in found.unreadable)


def test_a_tensor_that_is_an_attribute_of_a_module_is_not_understood(tmp_path):
    net = Net()
    net.mask = torch.ones(2, 2)
    (unknown,) = opened(net, tmp_path).not_understood
    assert (unknown.name, unknown.entries) == ("mask", 4)


@pytest.mark.parametrize(
    "tree",
    [
        {"model": STATE, "optimizer": ADAM, "torch_rng_state": torch.get_rng_state()},
        {"app": {"model": STATE, "optim": {"state": ADAM["state"]}}},
        {"state_dict": STATE, "optimizer_states": [ADAM], "callbacks": {"best": torch.tensor(1.0)}},
        {"model": STATE, "GradScaler": {"scale": torch.tensor(1.0)}, "loss": torch.ones(9)},
        {"model": STATE, "rng": {"numpy": np.random.RandomState(0).get_state()}},
        {"net": STATE, "ema": AVERAGE, "best_acc": torch.tensor(0.5)},
        {"state_dict": STATE, "swa_model": {"module": AVERAGE}, "train_indices": torch.arange(5)},
        [STATE, ADAM],
        (STATE, 3),
    ],
)
def test_training_states_and_averages_are_left_aside(tmp_path, tree):
    found = opened(tree, tmp_path)
    same(found, STATE)
    assert not found.not_understood


@pytest.mark.parametrize("key", ["params_ema", "ema_state_dict", "g_ema", "swa_model", "modelEMA"])
def test_an_averaged_copy_alone_is_the_network(tmp_path, key):
    found = opened({key: STATE, "step": 3}, tmp_path)
    same(found, STATE)
    assert any("averaged copy (EMA)" in one.reason for one in found.left_aside)


@pytest.mark.parametrize(
    "part", ["upsampler", "semantic", "lossless", "sampler", "drama", "optical"]
)
def test_syllables_inside_words_mean_nothing(tmp_path, part):
    found = opened({"encoder": STATE, part: {"w": torch.ones(2, 2)}}, tmp_path)
    assert f"{part}.w" in found.tensors


def test_an_average_of_other_shapes_is_a_part(tmp_path):
    found = opened({"net": STATE, "ema": {"w": torch.ones(9, 9)}}, tmp_path)
    assert [one.name for one in found.not_understood] == ["ema"]


def test_an_optimizer_alone_is_refused_by_name(tmp_path):
    for tree in (ADAM, {"optimizer": ADAM, "epoch": 3}):
        with pytest.raises(CheckpointError, match="optimizer"):
            opened(tree, tmp_path)


def test_placeholders_of_zero_3_are_refused_by_name(tmp_path):
    tree = {"module": {"w": torch.empty(0)}, "param_shapes": [{"w": torch.Size([2, 3])}]}
    with pytest.raises(CheckpointError, match="ZeRO stage 3"):
        opened(tree, tmp_path)


def test_keys_that_are_no_texts_have_stable_names(tmp_path):
    tree = {("enc", 0): {"w": torch.ones(2, 2)}, Colour.RED: {"w": torch.ones(2, 2)}, 3: STATE}
    names = list(opened(tree, tmp_path).tensors)
    assert names[:2] == ["('enc', 0).w", "Colour(1).w"]
    assert names[2] == "3.l0.weight"


def test_arrays_of_numpy_are_tensors(tmp_path):
    arrays = {
        "a": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "b": np.arange(6, dtype=">f4").reshape(3, 2),
        "c": np.float16(2),
        "d": np.arange(3),
    }
    found = opened({"model": arrays}, tmp_path)
    for name, array in arrays.items():
        if name == "d":
            assert not found.tensors[name].is_floating
        else:
            assert found.read(name).tolist() == array.tolist()


def test_a_lazily_negated_view_is_read_as_what_it_is(tmp_path):
    lazy = torch.complex(torch.randn(3, 4), torch.randn(3, 4)).conj().imag
    assert lazy.is_neg()
    assert torch.equal(opened({"w": lazy}, tmp_path).read("w"), lazy.resolve_neg())


@pytest.mark.filterwarnings("ignore:torch.quantize")
def test_packed_weights_of_a_quantised_layer_are_named(tmp_path):
    packed = torch.quantize_per_channel(
        torch.randn(3, 4), torch.ones(3), torch.zeros(3, dtype=torch.long), 0, torch.qint8
    )
    found = opened({"w": torch.ones(2, 2), "_packed_params": (packed, None)}, tmp_path)
    assert [one.name for one in found.unreadable] == ["_packed_params.0"]


def test_a_part_that_is_not_there_is_answered_with_those_that_are(tmp_path):
    torch.save({"g": STATE, "d": STATE}, tmp_path / "x.pt")
    with pytest.raises(UsageError, match="g, d"):
        open_checkpoint(tmp_path / "x.pt", part="h")
    assert set(open_checkpoint(tmp_path / "x.pt", part="d").tensors) == set(STATE)


def test_wrappers_anywhere_in_names_are_stripped(tmp_path):
    names = [
        "_fsdp_wrapped_module.a._orig_mod.w",
        "_fsdp_wrapped_module.b._checkpoint_wrapped_module.w",
    ]
    assert list(opened({n: torch.ones(2, 2) for n in names}, tmp_path).tensors) == ["a.w", "b.w"]
    averaged = {"module.a": torch.ones(2, 2), "n_averaged": torch.tensor(3)}
    assert list(opened(averaged, tmp_path).tensors) == ["a", "n_averaged"]
    clash = {"a.w": torch.ones(2, 2), "_orig_mod.a.w": torch.ones(2, 2)}
    assert list(opened(clash, tmp_path).tensors) == list(clash)


def test_a_prefix_is_taken_off_and_the_others_are_left_aside(tmp_path):
    torch.save({"enc.w": torch.ones(2, 2), "dec.w": torch.ones(3, 3)}, tmp_path / "x.pt")
    for prefix in ("enc", "enc."):
        found = open_checkpoint(tmp_path / "x.pt", prefix=prefix)
        assert list(found.tensors) == ["w"]
        assert [(one.name, one.entries) for one in found.left_aside] == [("dec.w", 9)]
    with pytest.raises(CheckpointError, match="starts with"):
        open_checkpoint(tmp_path / "x.pt", prefix="none.")


def test_a_copy_in_the_names_of_a_state_dict_is_aside_whole_and_a_layer_called_so_is_not(tmp_path):
    net = {"l0.weight": torch.rand(4, 3), "l0.bias": torch.rand(4)}
    state = {
        **{f"model.{name}": one for name, one in net.items()},
        **{f"ema_model.module.{name}": one + 1 for name, one in net.items()},
        "model.ema_gate.weight": torch.rand(4, 3),
    }
    torch.save({"state_dict": state}, tmp_path / "x.ckpt")
    checkpoint = open_checkpoint(tmp_path / "x.ckpt")
    assert list(checkpoint.tensors) == ["model.l0.weight", "model.l0.bias", "model.ema_gate.weight"]
    assert sum(one.entries for one in checkpoint.left_aside) == 16
    squeezed = {f"model_ema.{name.replace('.', '')}": one for name, one in state.items()}
    squeezed = {name: one for name, one in squeezed.items() if "ema_" not in name[10:]}
    torch.save({"state_dict": {**state, **squeezed}}, tmp_path / "x.ckpt")
    assert set(open_checkpoint(tmp_path / "x.ckpt").tensors) == set(checkpoint.tensors)
