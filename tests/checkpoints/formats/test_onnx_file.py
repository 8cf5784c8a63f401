"""ONNX files: what is read, and what damaged ones say."""

import builtins

import numpy as np
import pytest
import torch

from dlgen_cli.checkpoints.reader import open_checkpoint
from dlgen_cli.errors import DependencyError, DlgenError

START = b"\x08\x09\x12\x07pytorch"
WEIGHT = np.arange(12, dtype=np.float32).reshape(3, 4)


def test_the_missing_package_is_named(tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *rest, **named):
        if name.split(".")[0] in {"onnx", "google"}:
            raise ImportError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    (tmp_path / "net.onnx").write_bytes(START + bytes(16))
    with pytest.raises(DependencyError, match=r"pip install 'dlgen\[onnx\]'"):
        open_checkpoint(tmp_path / "net.onnx")


@pytest.fixture
def onnx():
    return pytest.importorskip("onnx")


def model_of(onnx, *, tensors=None, nodes=None):
    helper = onnx.helper
    found = (
        {"w": WEIGHT, "axes": np.array([1], np.int64), 'long name; a"b': WEIGHT}
        if tensors is None
        else tensors
    )
    return helper.make_model(
        helper.make_graph(
            nodes or [helper.make_node("Gemm", ["x", "w"], ["y"], transB=1)],
            "net",
            [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 4])],
            [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)],
            [onnx.numpy_helper.from_array(one, name) for name, one in found.items()],
        ),
        producer_name="test",
        ir_version=9,
    )


def opened(tmp_path, model):
    path = tmp_path / "net.onnx"
    path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
    return open_checkpoint(path)


def test_initializers_are_weights_and_small_integers_are_numbers(onnx, tmp_path):
    found = opened(tmp_path, model_of(onnx))
    assert found.format == "onnx"
    assert list(found.tensors) == ["w.weight", "long_name__a_b"]
    assert torch.equal(found.read("w.weight"), torch.from_numpy(WEIGHT))
    assert found.program.numbers == {"axes": [1]}
    assert sum(one.entries for one in found.left_aside) == 1
    assert found.program.inputs[0].shape == (None, 4)


def test_each_way_of_storing_is_read(onnx, tmp_path):
    plain = onnx.helper.make_tensor("w", onnx.TensorProto.FLOAT, [3, 4], WEIGHT.flatten())
    model = model_of(onnx, tensors={})
    model.graph.initializer.append(plain)
    half = WEIGHT.astype(np.float16)
    model.graph.initializer.append(onnx.numpy_helper.from_array(half, "half"))
    packed = onnx.helper.make_tensor("packed", onnx.TensorProto.INT4, [2], [1, 2])
    model.graph.initializer.append(packed)
    found = opened(tmp_path, model)
    assert torch.equal(found.read("w.weight"), torch.from_numpy(WEIGHT))
    assert torch.equal(found.read("half"), torch.from_numpy(half))
    assert "packed" in found.tensors["packed"].reason


def test_a_matrix_from_the_right_has_its_outputs_first(onnx, tmp_path):
    nodes = [onnx.helper.make_node("MatMul", ["x", "w"], ["y"])]
    found = opened(tmp_path, model_of(onnx, tensors={"w": WEIGHT.T.copy()}, nodes=nodes))
    assert torch.equal(found.read("w.weight"), torch.from_numpy(WEIGHT))


def test_equal_tensors_that_were_merged_have_both_names(onnx, tmp_path):
    nodes = [
        onnx.helper.make_node("Identity", ["w"], ["other"]),
        onnx.helper.make_node("Gemm", ["x", "other"], ["y"], transB=1),
    ]
    found = opened(tmp_path, model_of(onnx, tensors={"w": WEIGHT}, nodes=nodes))
    assert list(found.tensors) == ["w", "other.weight"]
    assert [info.entries for info in found.tensors.values()] == [12, 0]


def external(onnx, **facts):
    model = model_of(onnx)
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in facts.items():
        tensor.external_data.add(key=key, value=value)
    return model


def changed(onnx, change):
    model = model_of(onnx)
    change(model.graph)
    return model


def set_input(name):
    def change(graph):
        graph.node[0].input[0] = name

    return change


def set_sizes(*sizes):
    def change(graph):
        del graph.initializer[0].dims[:]
        graph.initializer[0].dims.extend(sizes)

    return change


HOSTILE = {
    "a path upward": lambda onnx: external(onnx, location="../../../etc/passwd"),
    "a whole path": lambda onnx: external(onnx, location="/etc/passwd"),
    "a path of Windows": lambda onnx: external(onnx, location="..\\..\\secret"),
    "a file that is not there": lambda onnx: external(onnx, location="gone.data"),
    "a file of no name": lambda onnx: external(onnx, offset="0"),
    "a range beyond the file": lambda onnx: external(
        onnx, location="net.onnx", offset="999999999", length="48"
    ),
    "a negative offset": lambda onnx: external(onnx, location="net.onnx", offset="-8"),
    "a range of another size": lambda onnx: external(onnx, location="net.onnx", length="1"),
    "an offset of a hundred digits": lambda onnx: external(
        onnx, location="net.onnx", offset="9" * 100
    ),
    "a tensor of absurd size": lambda onnx: changed(onnx, set_sizes(1 << 40, 1 << 40)),
    "a tensor of a larger size": lambda onnx: changed(onnx, set_sizes(30, 40)),
    "a negative size": lambda onnx: changed(onnx, set_sizes(-3, 4)),
    "a circle": lambda onnx: changed(onnx, set_input("y")),
    "a value that nothing gives": lambda onnx: changed(onnx, set_input("gone")),
    "no nodes": lambda onnx: changed(onnx, lambda graph: graph.ClearField("node")),
    "no output": lambda onnx: changed(onnx, lambda graph: graph.ClearField("output")),
    "no initializer": lambda onnx: changed(onnx, lambda graph: graph.ClearField("initializer")),
    "a tensor twice": lambda onnx: changed(
        onnx, lambda graph: graph.initializer.append(graph.initializer[0])
    ),
    "two names that become one": lambda onnx: model_of(
        onnx, tensors={"a b": WEIGHT, "a;b": WEIGHT, "w": WEIGHT}
    ),
    "no model": lambda _: START + b"\xff" * 40,
    "an empty model": lambda _: START,
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_damaged_model_ends_in_one_line(case, onnx, tmp_path):
    with pytest.raises(DlgenError) as failure:
        opened(tmp_path, HOSTILE[case](onnx))
    assert "\n" not in str(failure.value)
    assert failure.value.remedy


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_a_truncated_model_ends_in_one_line(share, onnx, tmp_path):
    content = model_of(onnx).SerializeToString()
    with pytest.raises(DlgenError):
        opened(tmp_path, content[: int(share * len(content))])
