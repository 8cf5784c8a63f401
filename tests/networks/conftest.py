"""An interpreter that evaluates a traced network from its records and effective tensors."""

import operator
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, fx
from torch.nn import functional

from dlgen_cli.bounds.norms import LayerNorms
from dlgen_cli.networks.fx_recorder import record
from dlgen_cli.records import DIAGONAL_KINDS


def apply_linear(layer, weight, x):
    """``W x`` from the geometry that the record states."""
    if layer.kind == "linear":
        return functional.linear(x, weight)
    if layer.kind == "embedding":
        return functional.embedding(x, weight) if not x.is_floating_point() else x @ weight
    if layer.kind in DIAGONAL_KINDS:
        factors = aligned(layer, weight, x)
        return (
            x.clamp(min=0) + factors * x.clamp(max=0)
            if layer.kind == "prelu"
            else normalized(layer, x) * factors
        )
    axes = layer.kind[-2]
    if layer.transposed:
        convolve = getattr(functional, f"conv_transpose{axes}d")
        return convolve(
            x,
            weight,
            stride=layer.stride,
            padding=layer.padding,
            output_padding=layer.output_padding,
            groups=layer.groups,
            dilation=layer.dilation,
        )
    padding = layer.padding
    if layer.padding_mode != "zeros":
        widths = [width for pad in reversed(padding) for width in (pad, pad)]
        x, padding = functional.pad(x, widths, mode=layer.padding_mode), 0
    convolve = getattr(functional, f"conv{axes}d")
    return convolve(x, weight, None, layer.stride, padding, layer.dilation, layer.groups)


def normalized(layer, x):
    """What comes before the factors, from its definition."""
    how = layer.normalization
    if how is None:
        return x
    if how.form in {"layer_norm", "rms_norm"}:
        groups = x.flatten(x.ndim - how.axes)
    else:
        count = how.groups if how.form == "group_norm" else x.shape[1]
        groups = x.reshape(len(x), count, -1)
    if how.form != "rms_norm":
        groups = groups - groups.mean(-1, keepdim=True)
    scale = (groups.square().mean(-1, keepdim=True) + how.epsilon).rsqrt()
    return (groups * scale).reshape(x.shape)


def aligned(layer, entries, x):
    """Factors or shifts along the axes that they belong to."""
    how = layer.normalization
    if how is not None and how.form in {"layer_norm", "rms_norm"}:
        return entries
    return entries.reshape(-1, *[1] * (x.ndim - 2))


def apply_layer(layer, tensors, x):
    result = apply_linear(layer, tensors[layer.weight_name], x)
    if layer.bias_name is None:
        return result
    if layer.is_stored_whole:
        return result + aligned(layer, tensors[layer.bias_name], x)
    axis = result.ndim - 1 if layer.kind == "linear" else 1
    shape = [-1 if one == axis else 1 for one in range(result.ndim)]
    return result + tensors[layer.bias_name].reshape(shape)


class Execution:
    """Values of all nodes, by name; operations without weights are looked up in the module."""

    def __init__(self, module, network):
        self.module = module
        self.network = network
        self.graph = record(module, network.input_shape)
        self.records = {node.name: node for node in network.nodes}
        self.values_of_nodes = set()
        for node in self.graph.nodes:
            if node.target == "size" or node.args[1:] == ("shape",):
                continue  # numbers
            before = self.values_of_nodes.intersection(node.all_input_nodes)
            if before or node.name in self.records:
                self.values_of_nodes.add(node)

    def __call__(self, tensors, x):
        named, values = {}, {}
        self.tensors = tensors
        for node in self.graph.nodes:
            if node.op == "output":
                break
            known = self.records.get(node.name)
            if node.op == "placeholder":
                value = x
            elif known is None:
                value = self.evaluate_unrecorded(node, values)
            elif known.kind == "constant":
                value = (
                    tensors[known.layer] if known.layer else self.evaluate_unrecorded(node, values)
                )
            elif known.layer is not None and known.operation != "layer_scale":
                layer = self.network.layers[known.layer]
                value = apply_layer(layer, tensors, named[known.inputs[0]])
            else:
                value = self.evaluate_recorded(node, values, [named[n] for n in known.inputs])
            values[node] = value
            if known is not None:
                named[node.name] = value
        return named

    def evaluate_unrecorded(self, node, values):
        """Arithmetic on sizes; a folded batch normalization is the identity."""
        if node.op == "get_attr":
            found = self.module
            for part in node.target.split("."):
                found = getattr(found, part)
            return self.tensors.get(node.target, found)
        if node.op == "call_module":
            assert "BatchNorm" in type(self.module.get_submodule(node.target)).__name__
            return values[node.args[0]]
        return self.call(node, values.__getitem__)

    def evaluate_recorded(self, node, values, inputs):
        """The recorded inputs stand for the tensors among the arguments, in order."""
        left = list(inputs)
        if node.target is operator.pow or "square" in str(node.target):
            left = left[:1]  # the factors of a square are one argument

        def stand_in(before):
            held = values[before]
            if before not in self.values_of_nodes:
                return held
            holds = isinstance(held, Tensor) or (
                isinstance(held, tuple | list) and any(isinstance(one, Tensor) for one in held)
            )
            if not holds or not left:  # of a second one nothing but the shape is read
                return held
            value = left.pop(0)
            return value.clone() if isinstance(value, Tensor) else value

        result = self.call(node, stand_in)
        assert not left
        return result

    def call(self, node, stand_in):
        args = fx.map_arg(node.args, stand_in)
        kwargs = fx.map_arg(node.kwargs, stand_in)
        if node.op == "call_module":
            return self.module.get_submodule(node.target)(*args, **kwargs)
        if node.op == "call_method":
            return getattr(args[0], node.target)(*args[1:], **kwargs)
        return node.target(*args, **kwargs)


def dense_operator(layer, weight):
    """The matrix of a layer, from its images of all unit vectors."""
    if layer.kind == "constant":
        return weight.reshape(-1, 1)
    if layer.kind in DIAGONAL_KINDS:
        return torch.diag(weight.flatten())
    if layer.kind == "embedding":
        return weight.T
    entries = 1
    for size in layer.input_shape:
        entries *= size
    units = torch.eye(entries, dtype=torch.float64).reshape(entries, *layer.input_shape)
    return apply_linear(layer, weight, units).reshape(entries, -1).T


def operator_norm(matrix):
    return float(torch.linalg.matrix_norm(matrix, 2)) * (1 + 1e-12)


def measured_norms(network, tensors, moved):
    """Norms of every layer by its dense operator."""
    found = {}
    for name, layer in network.layers.items():
        one, two = (dense_operator(layer, these[layer.weight_name]) for these in (tensors, moved))
        bias_norm = bias_error = 0.0
        if layer.bias_name is not None:
            c, d = tensors[layer.bias_name], moved[layer.bias_name]
            root = layer.positions**0.5 * (1 + 1e-12)
            bias_norm, bias_error = float(d.norm()) * root, float((c - d).norm()) * root
        found[name] = LayerNorms(
            norm_upper=operator_norm(one),
            moved_norm_upper=operator_norm(two),
            error_upper=operator_norm(one - two),
            moved_bias_norm_upper=bias_norm,
            bias_error_upper=bias_error,
        )
    return found


def fill(module, seed=0, spread=1.0):
    """Random weights of moderate size, and random statistics of batch normalization."""
    source = torch.Generator().manual_seed(seed)

    def draw(like):
        return torch.randn(like.shape, generator=source, dtype=like.dtype)

    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if not tensor.is_floating_point():
                continue
            if name.endswith("running_var"):
                tensor.copy_(draw(tensor).abs() + 0.3)
            elif tensor.ndim > 1:
                tensor.copy_(spread * draw(tensor) / tensor[0].numel() ** 0.5)
            else:
                tensor.copy_(1 + 0.3 * draw(tensor))
    return module.eval().requires_grad_(requires_grad=False)


@pytest.fixture(autouse=True)
def _one_thread():
    """Maps this small are slower on several threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def tools():
    return SimpleNamespace(
        Execution=Execution,
        apply_linear=apply_linear,
        dense_operator=dense_operator,
        fill=fill,
        measured_norms=measured_norms,
        operator_norm=operator_norm,
    )
