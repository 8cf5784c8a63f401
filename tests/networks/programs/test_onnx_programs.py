"""Each operation of ONNX against the reference implementation of the onnx package."""

import numpy as np
import pytest
import torch

from dlgen_cli.checkpoints.reader import open_checkpoint
from dlgen_cli.networks.front_end import read_network
from dlgen_cli.predictors.folded_network import open_folded

onnx = pytest.importorskip("onnx")
helper, numpy_helper, TensorProto = onnx.helper, onnx.numpy_helper, onnx.TensorProto
ReferenceEvaluator = pytest.importorskip("onnx.reference").ReferenceEvaluator
RANDOM = np.random.default_rng(0)


def weights(**shapes):
    return {name: RANDOM.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def saved(path, nodes, tensors, shape, *, output="y", opset=18, batch="n"):
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, *shape])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(one), name) for name, one in tensors.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    onnx.save(model, path)
    return path


def agrees(path, shape, *, examples=2, tolerance=1e-5):
    checkpoint = open_checkpoint(path)
    read = read_network(checkpoint)
    x = RANDOM.normal(size=(examples, *shape)).astype(np.float32)
    (expected,) = ReferenceEvaluator(str(path)).run(None, {"x": x})
    with torch.no_grad():
        found = read.module(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)
    return checkpoint, read


def node(operation, *inputs, output="y", **attributes):
    return helper.make_node(operation, list(inputs), [output], **attributes)


INTS = np.int64
IMAGE, TOKENS, FLAT = (4, 8, 8), (5, 6), (6,)
SINGLE = {
    "Conv": (IMAGE, [node("Conv", "x", "w", "b", pads=[1] * 4)], weights(w=(3, 4, 3, 3), b=(3,))),
    "Conv with strides, groups and dilation": (
        IMAGE,
        [node("Conv", "x", "w", group=2, strides=[2, 1], dilations=[1, 2])],
        weights(w=(6, 2, 3, 3)),
    ),
    "Conv padded on one side": (
        IMAGE,
        [node("Conv", "x", "w", pads=[0, 1, 1, 2])],
        weights(w=(3, 4, 3, 3)),
    ),
    "Conv that keeps sizes": (
        IMAGE,
        [node("Conv", "x", "w", auto_pad="SAME_UPPER", strides=[2, 2])],
        weights(w=(3, 4, 3, 3)),
    ),
    "Conv of one axis": ((4, 9), [node("Conv", "x", "w", pads=[1, 1])], weights(w=(3, 4, 3))),
    "ConvTranspose": (
        IMAGE,
        [node("ConvTranspose", "x", "w", "b", strides=[2, 2], output_padding=[1, 1])],
        weights(w=(4, 3, 3, 3), b=(3,)),
    ),
    "Gemm": (FLAT, [node("Gemm", "x", "w", "b", transB=1)], weights(w=(3, 6), b=(3,))),
    "Gemm from the right": (FLAT, [node("Gemm", "x", "w", "b")], weights(w=(6, 3), b=(3,))),
    "MatMul": (TOKENS, [node("MatMul", "x", "w")], weights(w=(6, 3))),
    "MatMul and Add": (
        TOKENS,
        [node("MatMul", "x", "w", output="z"), node("Add", "b", "z")],
        weights(w=(6, 3), b=(3,)),
    ),
    "LayerNormalization": (
        TOKENS,
        [node("LayerNormalization", "x", "w", "b", epsilon=1e-3)],
        weights(w=(6,), b=(6,)),
    ),
    "InstanceNormalization": (
        IMAGE,
        [node("InstanceNormalization", "x", "w", "b")],
        weights(w=(4,), b=(4,)),
    ),
    "PRelu": (IMAGE, [node("PRelu", "x", "w")], weights(w=(4, 1, 1))),
    **{
        name: (FLAT, [node(name, "x")], {})
        for name in (
            *("Relu", "LeakyRelu", "Elu", "Selu", "Softplus", "Softsign", "Sigmoid", "Tanh"),
            *("HardSigmoid", "HardSwish", "Mish", "Erf", "Abs", "Neg", "Exp", "Identity"),
        )
    },
    "HardSigmoid by sixths": (FLAT, [node("HardSigmoid", "x", alpha=1 / 6)], {}),
    "Clip": (
        FLAT,
        [node("Clip", "x", "low", "high")],
        {"low": np.float32(0), "high": np.float32(6)},
    ),
    "Pow": (FLAT, [node("Pow", "x", "two")], {"two": np.float32(2)}),
    "Sum": (FLAT, [node("Sum", "x", "x", "x")], {}),
    "Max": (FLAT, [node("Relu", "x", output="z"), node("Max", "x", "z")], {}),
    "MaxPool": (IMAGE, [node("MaxPool", "x", kernel_shape=[3, 3], pads=[1] * 4)], {}),
    "MaxPool with strides": (
        IMAGE,
        [node("MaxPool", "x", kernel_shape=[3, 2], strides=[2, 2], ceil_mode=1)],
        {},
    ),
    "AveragePool": (
        IMAGE,
        [node("AveragePool", "x", kernel_shape=[3, 3], pads=[1] * 4, count_include_pad=1)],
        {},
    ),
    "AveragePool inside": (
        IMAGE,
        [node("AveragePool", "x", kernel_shape=[3, 3], pads=[1] * 4)],
        {},
    ),
    "GlobalAveragePool": (IMAGE, [node("GlobalAveragePool", "x")], {}),
    "GlobalMaxPool": (IMAGE, [node("GlobalMaxPool", "x")], {}),
    "ReduceMean": (TOKENS, [node("ReduceMean", "x", "axes")], {"axes": np.array([1], INTS)}),
    "ReduceSum": (
        TOKENS,
        [node("ReduceSum", "x", "axes", keepdims=0)],
        {"axes": np.array([-1], INTS)},
    ),
    "Softmax": (TOKENS, [node("Softmax", "x")], {}),
    "LogSoftmax": (TOKENS, [node("LogSoftmax", "x", axis=1)], {}),
    "Flatten": (IMAGE, [node("Flatten", "x")], {}),
    "Reshape": (IMAGE, [node("Reshape", "x", "s")], {"s": np.array([0, 2, -1], INTS)}),
    "Transpose": (TOKENS, [node("Transpose", "x", perm=[0, 2, 1])], {}),
    "Concat": (TOKENS, [node("Concat", "x", "x", axis=1)], {}),
    "Slice": (
        TOKENS,
        [node("Slice", "x", "a", "b", "axes", "steps")],
        {
            "a": np.array([1, 0], INTS),
            "b": np.array([-1, 1 << 60], INTS),
            "axes": np.array([1, 2], INTS),
            "steps": np.array([1, 2], INTS),
        },
    ),
    "Unsqueeze and Squeeze": (
        FLAT,
        [node("Unsqueeze", "x", "a", output="z"), node("Squeeze", "z", "b")],
        {"a": np.array([1, -1], INTS), "b": np.array([1], INTS)},
    ),
    "Gather": (TOKENS, [node("Gather", "x", "at", axis=1)], {"at": np.array(-1, INTS)}),
    "Gather of several": (
        TOKENS,
        [node("Gather", "x", "at", axis=2)],
        {"at": np.array([3, 0], INTS)},
    ),
    "Tile": (FLAT, [node("Tile", "x", "c")], {"c": np.array([1, 3], INTS)}),
    "Dropout": (FLAT, [node("Dropout", "x")], {}),
    "Cast": (FLAT, [node("Cast", "x", to=TensorProto.DOUBLE)], {}),
    "Pad": (
        IMAGE,
        [node("Pad", "x", "p")],
        {"p": np.array([0, 0, 1, 2, 0, 0, 3, 0], INTS)},
    ),
    "Pad by reflection": (
        IMAGE,
        [node("Pad", "x", "p", mode="reflect")],
        {"p": np.array([0, 0, 1, 2, 0, 0, 3, 0], INTS)},
    ),
    "Resize": (
        IMAGE,
        [node("Resize", "x", "", "s", mode="linear")],
        {"s": np.array([1, 1, 2, 2], np.float32)},
    ),
    "DepthToSpace": (IMAGE, [node("DepthToSpace", "x", blocksize=2, mode="CRD")], {}),
    "Einsum": (TOKENS, [node("Einsum", "x", "x", equation="bij,bkj->bik")], {}),
    "gelu in parts": (
        FLAT,
        [
            node("Div", "x", "root", output="a"),
            node("Erf", "a", output="b"),
            node("Add", "b", "one", output="c"),
            node("Mul", "x", "c", output="d"),
            node("Mul", "d", "half"),
        ],
        {"root": np.float32(2**0.5), "one": np.float32(1), "half": np.float32(0.5)},
    ),
    "normalization in parts": (
        TOKENS,
        [
            node("ReduceMean", "x", "axes", output="m"),
            node("Sub", "x", "m", output="c"),
            node("Pow", "c", "two", output="s"),
            node("ReduceMean", "s", "axes", output="v"),
            node("Add", "v", "eps", output="e"),
            node("Sqrt", "e", output="r"),
            node("Div", "c", "r", output="n"),
            node("Mul", "n", "w", output="p"),
            node("Add", "p", "b"),
        ],
        {
            "axes": np.array([-1], INTS),
            "two": np.float32(2),
            "eps": np.float32(1e-5),
            **weights(w=(6,), b=(6,)),
        },
    ),
    "attention in parts": (
        TOKENS,
        [
            node("Transpose", "x", perm=[0, 2, 1], output="t"),
            node("MatMul", "x", "t", output="s"),
            node("Softmax", "s", axis=-1, output="p"),
            node("MatMul", "p", "x"),
        ],
        {},
    ),
    "sizes of the input": (
        IMAGE,
        [
            node("Shape", "x", output="s"),
            node("Gather", "s", "zero", output="n"),
            node("Unsqueeze", "n", "zero list", output="l"),
            node("Concat", "l", "rest", axis=0, output="t"),
            node("Reshape", "x", "t"),
        ],
        {
            "zero": np.array(0, INTS),
            "zero list": np.array([0], INTS),
            "rest": np.array([-1, 4], INTS),
        },
    ),
}


@pytest.mark.parametrize("case", SINGLE)
def test_an_operation_is_that_of_the_reference(case, tmp_path):
    shape, nodes, tensors = SINGLE[case]
    names = {"x": "x0"}  # single numbers are the program's where their names say so
    for name, one in tensors.items():
        if np.asarray(one).size == 1 and np.asarray(one).dtype == np.float32:
            names[name] = f"{name}_Constant_0"
    tensors = {names.get(name, name): one for name, one in tensors.items()}
    scaled = node("Mul", "x", "scale_Constant_0", output="x0")
    path = saved(
        tmp_path / "net.onnx",
        [scaled, *(reading(one, names) for one in nodes)],
        {"scale_Constant_0": np.float32(1.5), "unread": np.ones((2, 2), np.float32), **tensors},
        shape,
    )
    _, read = agrees(path, shape, tolerance=1e-4)
    if case in WHOLE:
        names = [getattr(node.target, "__name__", "") for node in read.module.recorded().nodes]
        assert [name for name in names if name] == ["mul", WHOLE[case]]


#: What compositions stand for.
WHOLE = {"gelu in parts": "gelu", "normalization in parts": "layer_norm"}


def reading(one, names):
    inputs = [names.get(name, name) for name in one.input]
    made = helper.make_node(one.op_type, inputs, list(one.output))
    made.attribute.extend(one.attribute)
    return made


def network(path, **options):
    """Convolution, batch normalization, a residual sum, a head: the names of torch and of none."""
    tensors = weights(
        **{
            "c.weight": (4, 3, 3, 3),
            "c.weight_bias": (4,),
            "gamma": (4,),
            "beta": (4,),
            "d.weight": (4, 1, 3, 3),
            "fc": (4, 5),
            "fc bias": (5,),
        }
    )
    tensors |= {"mean": RANDOM.normal(size=4).astype(np.float32), "var": np.full(4, 2, np.float32)}
    nodes = [
        node("Conv", "x", "c.weight", "c.weight_bias", output="a"),
        node("BatchNormalization", "a", "gamma", "beta", "mean", "var", output="b"),
        node("Relu", "b", output="r"),
        node("Conv", "r", "d.weight", group=4, pads=[1] * 4, output="d"),
        node("Add", "d", "r", output="s"),
        node("GlobalAveragePool", "s", output="g"),
        node("Flatten", "g", output="f"),
        node("MatMul", "f", "fc", output="m"),
        node("Add", "m", "fc bias"),
    ]
    return saved(path, nodes, tensors, (3, 8, 8), **options)


@pytest.mark.parametrize("batch", ["n", 1, 3])
def test_a_network_is_read_as_a_graph_and_evaluated(batch, tmp_path):
    path = network(tmp_path / "net.onnx", batch=batch)
    checkpoint, read = agrees(path, (3, 8, 8))
    assert checkpoint.format == "onnx"
    assert read.structure == "graph"
    assert read.skipped == []
    shapes = {name: layer.weight_shape for name, layer in read.network.layers.items()}
    assert shapes["c.weight"] == (4, 3, 3, 3)
    assert read.network.layers["c.weight"].is_folded
    assert (5, 4) in shapes.values()  # the matrix that multiplies from the right, turned
    if read.obstacle is None:
        x = torch.randn(3, 3, 8, 8)
        with torch.no_grad():
            torch.testing.assert_close(open_folded(checkpoint, read)(x), read.module(x))


def test_external_data_are_read(tmp_path):
    path = network(tmp_path / "net.onnx")
    model = onnx.load(path)
    onnx.save(
        model,
        tmp_path / "split.onnx",
        save_as_external_data=True,
        location="split.data",
        size_threshold=0,
    )
    one, two = open_checkpoint(path), open_checkpoint(tmp_path / "split.onnx")
    assert list(one.tensors) == list(two.tensors)
    assert all(torch.equal(one.read(name), two.read(name)) for name in one.tensors)
    assert one.sha256 != two.sha256


def test_an_operation_without_a_rule_is_named(tmp_path):
    nodes = [
        node("Gemm", "x", "a", transB=1, output="h"),
        node("Det", "h", output="d"),
        node("Gemm", "d", "b", transB=1),
    ]
    path = saved(tmp_path / "net.onnx", nodes, weights(a=(6, 6), b=(3, 6)), FLAT)
    read = read_network(open_checkpoint(path))
    assert "det" in read.obstacle
