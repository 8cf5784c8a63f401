"""A module to its graph: symbolic tracing, shapes on the meta device, one rule for each call.

Nothing is computed: tensors have shapes but no entries. What a trace cannot follow, such as a
branch on the value of an activation, becomes an ``unsupported`` node that says so.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, fx, nn

from dlgen_cli.errors import UsageError
from dlgen_cli.networks.calls import (
    Activation,
    Call,
    Constant,
    NoRuleError,
    asks_in_place,
    canonical_name,
    function_name,
)
from dlgen_cli.networks.folding import fold, tensor_names
from dlgen_cli.networks.fx_recorder import attribute, record, to_meta, without_entries
from dlgen_cli.networks.graph import GraphLayer, Network
from dlgen_cli.networks.linear_maps import layer_node, read_layer
from dlgen_cli.networks.loaded_module import input_dtype_of
from dlgen_cli.networks.memory import SharedMemory
from dlgen_cli.networks.plain_shapes import plain_result
from dlgen_cli.networks.rules import apply_rule
from dlgen_cli.networks.stored_maps import fixed_constant, is_causal_mask, stored_constant
from dlgen_cli.records import GraphNode

#: Calls whose results have the shape of an activation, and nothing else of it.
_OF_SHAPES = frozenset(
    f"{what}{how}"
    for what in ("zeros", "ones", "full", "empty", "newzeros", "newones", "newfull", "newempty")
    for how in ("", "like")
)
#: Calls that give their first argument the type or the shape of another.
_LIKE_ANOTHER = frozenset({"typeas", "to", "expandas", "viewas", "reshapeas"})
#: Calls among whose arguments a tensor of the architecture is a value like any other.
_OF_VALUES = frozenset(
    {
        "add",
        "sub",
        "rsub",
        "mul",
        "cat",
        "stack",
        "matmul",
        "einsum",
        "linear",
        "maximum",
        "minimum",
        "where",
    }
)
#: Calls that leave all entries of a tensor as they are.
_VIEWS = frozenset({"view", "reshape", "unsqueeze", "squeeze", "flatten", "contiguous", "detach"})

#: Of a tensor that the network makes without its input.
_MOST_ENTRIES = 1 << 26


def trace(module: nn.Module, input_shape: tuple[int, ...]) -> Network:
    """Trace a network in evaluation mode and fold its batch normalization.

    Args:
        module: takes one tensor and returns one; it is not changed, and not evaluated.
        input_shape: of one example, without the batch.

    Returns:
        Its graph. A network with a part that has no rule has ``unsupported`` nodes.

    Raises:
        UsageError: the network does not take inputs of this shape.
    """
    shapes_only = without_entries(module).eval()
    try:
        _require_one_input(module)
        graph = record(shapes_only, input_shape)
    except Exception as error:  # tracing fails in as many ways as code can be written
        message = str(error).splitlines()[0] if str(error) else type(error).__name__
        nodes = [
            GraphNode(name="input", kind="input", operation="input", shape=input_shape),
            GraphNode(
                name="output",
                kind="unsupported",
                operation=type(module).__name__,
                inputs=("input",),
                reason=f"{type(module).__name__} cannot be traced: {message}",
            ),
        ]
        return Network(nodes=nodes, layers={}, input_shape=input_shape, unused=())
    walk = _Walk(shapes_only, module, input_shape, frozenset(module.state_dict()))
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of costs; nothing is computed here
        for node in graph.nodes:
            if not walk.visit(node):
                break
    nodes, layers = fold(walk.nodes_of_output(), walk.layers)
    return Network(
        nodes=nodes,
        layers=layers,
        input_shape=input_shape,
        unused=_unused(module, layers),
    )


def _require_one_input(module: nn.Module) -> None:
    """Refuse a network of several inputs.

    Raises:
        NotImplementedError: it takes them; the message says what to do.
    """
    empty = inspect.Parameter.empty
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    given = inspect.signature(module.forward).parameters.values()
    names = [one.name for one in given if one.kind in kinds and one.default is empty]
    if len(names) > 1:
        raise NotImplementedError(
            f"it takes {len(names)} inputs ({', '.join(names)}), and one tensor is audited; wrap "
            "it in a module that takes one tensor and cuts it into them"
        )


def _unused(module: nn.Module, layers: Mapping[str, GraphLayer]) -> tuple[str, ...]:
    stored = [name for name, value in module.state_dict().items() if value.is_floating_point()]
    read = {name for layer in layers.values() for name in tensor_names(layer, stored)}
    return tuple(name for name in stored if name not in read)


@dataclass(slots=True)
class _Walk:
    """The walk along the recorded calls: their values without entries, and their nodes."""

    root: nn.Module
    original: nn.Module
    input_shape: tuple[int, ...]
    stored: frozenset[str]
    values: dict[fx.Node, Any] = field(default_factory=dict)
    nodes: dict[str, GraphNode] = field(default_factory=dict)
    layers: dict[str, GraphLayer] = field(default_factory=dict)
    memory: SharedMemory = field(default_factory=SharedMemory)
    constants: set[str] = field(default_factory=set)
    views: dict[str, tuple[str, tuple[int, ...]]] = field(default_factory=dict)
    output: str = ""

    def visit(self, node: fx.Node) -> bool:
        """Take one step; False where the trace ends before the output."""
        if node.op == "output":
            self._finish(node)
            return True
        if node.op == "placeholder":
            self._take_input(node)
            return True
        if node.op == "get_attr":
            self.values[node] = _attribute(self.root, str(node.target))
            self._keep_stored(node)
            return True
        try:
            value = self._evaluate(node)
        except Exception as error:  # whatever torch raises: the user sees it
            self._give_up(node, error)
            return False
        self.values[node] = value
        if self._follows_input(node) and _holds_tensor(value):
            self._keep(node, value)
        return True

    def _keep_stored(self, node: fx.Node) -> None:
        """A floating-point tensor of the state dict is a value of the network."""
        value, name = self.values[node], str(node.target)
        if name not in self.stored or not value.is_floating_point():
            return
        if is_causal_mask(attribute(self.original, name)):
            return
        shape = tuple(value.shape)
        self.nodes[node.name], layer = stored_constant(node.name, name, shape)
        self.layers.setdefault(layer.name, layer)
        self.constants.add(node.name)
        self.views[node.name] = name, shape
        self.memory.add(node, value, node.name)

    def nodes_of_output(self) -> list[GraphNode]:
        """The nodes that the output depends on, in order."""
        wanted = {self.output}
        for node in reversed(self.nodes.values()):
            if node.name in wanted:
                wanted.update(node.inputs)
        first = next(one for one in self.nodes.values() if one.kind == "input")
        others = (one for one in self.nodes.values() if one is not first)
        return [first, *(self._sound(one) for one in others if one.name in wanted)]

    def _sound(self, node: GraphNode) -> GraphNode:
        """A stored tensor is a value or the weight of a layer, and not both."""
        if node.kind != "constant" or node.layer is None:
            return node
        if self.layers[node.layer].kind == "constant":
            return node
        reason = f"{node.layer} is the weight of a layer, and a value beside that"
        return replace(node, kind="unsupported", layer=None, reason=reason)

    def _take_input(self, node: fx.Node) -> None:
        if self.output:
            self.values[node] = node.args[0] if node.args else None
            return
        self.values[node] = torch.empty(
            (1, *self.input_shape), device="meta", dtype=input_dtype_of(self.root)
        )
        self.nodes[node.name] = GraphNode(
            name=node.name, kind="input", operation="input", shape=self.input_shape
        )
        self.output = node.name
        self.memory.add(node, self.values[node], node.name)

    def _evaluate(self, node: fx.Node) -> Any:
        args = fx.map_arg(node.args, self.values.__getitem__)
        kwargs = fx.map_arg(node.kwargs, self.values.__getitem__)
        operation, module, in_place = self._operation(node)
        known = plain_result(operation, module, args, kwargs, in_place=in_place)
        if known is not None:
            return known
        if callable(node.target):
            return node.target(*args, **kwargs)
        if node.op == "call_method":
            return getattr(args[0], node.target)(*args[1:], **kwargs)
        return self.root.get_submodule(node.target)(*args, **kwargs)

    def _follows_input(self, node: fx.Node) -> bool:
        operation = self._operation(node)[0]
        if operation in _OF_SHAPES:
            return False
        before = node.all_input_nodes[: 1 if operation in _LIKE_ANOTHER else None]
        is_known = any(map(self.memory.knows, before))
        return is_known or self._reads_stored(node)

    def _reads_stored(self, node: fx.Node) -> bool:
        """Whether a call is that of a module with stored tensors."""
        if node.op != "call_module":
            return False
        return bool(self.root.get_submodule(str(node.target)).state_dict())

    def _keep(self, node: fx.Node, value: Any) -> None:
        operation, module, in_place = self._operation(node)
        shape = tuple(value.shape) if isinstance(value, Tensor) else None
        stale: list[str] = []
        takes_values = operation in _OF_VALUES or self._reads_stored(node)
        stand_in = self._argument(stale, takes_values=takes_values)
        call = Call(
            node=node.name,
            operation=operation,
            path=_path_of(node),
            args=fx.map_arg(node.args, stand_in),
            kwargs=fx.map_arg(node.kwargs, stand_in),
            module=module,
            result_shape=shape,
        )
        made = self._node_of(call, stale, jumps=self._jumps(node, value))
        self.nodes[node.name] = made
        if all(one.is_constant for one in call.activations):
            self.constants.add(node.name)
            viewed = call.activations[0].view_of if len(call.activations) == 1 else None
            if made.kind == "identity" and viewed and operation in _VIEWS:
                self.views[node.name] = viewed
        if in_place and operation != "zero":  # zeros in a part lower every norm, and all distances
            self.memory.overwrite(node.all_input_nodes[0], node.name)
        self.memory.add(node, value, node.name)

    def _jumps(self, node: fx.Node, value: Any) -> bool:
        """Whether whole numbers or truth values are made of real ones that an input changes."""
        if not isinstance(value, Tensor) or value.is_floating_point() or value.is_complex():
            return False
        return any(
            self.memory.knows(one) and _holds_real(self.values[one]) for one in node.all_input_nodes
        )

    def _node_of(self, call: Call, stale: list[str], *, jumps: bool) -> GraphNode:
        reason = stale[0] if stale else ""
        if not reason:
            try:
                made = self._layer_node(call) or apply_rule(call)
            except NoRuleError as error:
                reason = str(error)
            else:
                if not jumps:
                    return made
                reason = "it gives whole numbers or truth values of real ones: they jump"
        return call.becomes("unsupported", reason=f"{call.path}: {reason}")

    def _operation(self, node: fx.Node) -> tuple[str, nn.Module | None, bool]:
        in_place = asks_in_place(node.target, node.args, node.kwargs)
        if callable(node.target):
            name, changes = function_name(node.target)
            return name, None, changes or in_place
        if node.op == "call_method":
            name = str(node.target)
            return canonical_name(name), None, name.endswith("_")
        module = self.root.get_submodule(str(node.target))
        return (
            canonical_name(type(module).__name__),
            module,
            bool(getattr(module, "inplace", False)),
        )

    def _argument(self, stale: list[str], *, takes_values: bool) -> Callable[[fx.Node], Any]:
        """What stands for a recorded value among the arguments of a call."""

        def stand_in(node: fx.Node) -> Any:
            value = self.values[node]
            if self.memory.knows(node):
                name, reason = self.memory.current(node)
                if reason:
                    stale.append(reason)
                return self._activation(node, name, value)
            if not _holds_tensor(value):
                return value
            if takes_values and isinstance(value, Tensor):
                return self._fixed(node, value) or Constant(_origin(node))
            return Constant(_origin(node), lambda: self._real(node))

        return stand_in

    def _activation(self, node: fx.Node, name: str, value: Any) -> Activation:
        is_direct = node.op == "get_attr" and name == node.name
        return Activation(
            name,
            tuple(value.shape) if isinstance(value, Tensor) else None,
            token_axis=self.nodes[name].token_axis,
            is_constant=name in self.constants,
            stored=self.views[name][0] if is_direct else None,
            view_of=self.views.get(name),
        )

    def _fixed(self, node: fx.Node, value: Tensor) -> Activation | None:
        """A tensor of the architecture as a value; None where its entries are not known."""
        if value.dtype == torch.bool or value.is_complex():
            return None
        if node.name not in self.nodes:
            try:
                self.nodes[node.name] = fixed_constant(node.name, self._real(node))
            except Exception:  # it is then a tensor without a rule, which is named
                return None
            self.constants.add(node.name)
        return Activation(node.name, tuple(value.shape), is_constant=True)

    def _real(self, node: fx.Node) -> Any:
        """The value of a call that no activation enters but by its shape."""
        if self.memory.knows(node):
            shape = self.values[node].shape
            return torch.zeros(shape, device="cpu")
        if node.op == "get_attr":
            is_own = str(node.target).startswith("_tensor_constant")
            return attribute(self.root if is_own else self.original, str(node.target))
        value = self.values[node]
        if isinstance(value, Tensor) and value.numel() > _MOST_ENTRIES:
            raise NoRuleError(f"it uses a tensor of {value.numel():,} entries that it makes")
        with torch.device("cpu"):
            args = fx.map_arg(node.args, self._real)
            kwargs = {
                name: torch.device("cpu") if name == "device" else one
                for name, one in fx.map_arg(node.kwargs, self._real).items()
            }
            if callable(node.target):
                return node.target(*args, **kwargs)
            return getattr(args[0], str(node.target))(*args[1:], **kwargs)

    def _layer_node(self, call: Call) -> GraphNode | None:
        layer = read_layer(call)
        if layer is None:
            return None
        known = self.layers.get(layer.name)
        is_known = known is not None and known.kind != "constant"
        if known is not None and is_known and known.input_shape != layer.input_shape:
            if layer.stride:
                size = "x".join(map(str, layer.input_shape))
                layer = replace(layer, name=f"{layer.name}@{size}")
            elif known.positions > layer.positions:  # the norm of its bias is that of more of them
                layer = known
        self.layers[layer.name] = layer
        return layer_node(call, layer)

    def _finish(self, node: fx.Node) -> None:
        result = node.args[0]
        if isinstance(result, fx.Node) and self.memory.knows(result):
            name, reason = self.memory.current(result)
            if isinstance(self.values[result], Tensor) and not reason:
                self.output = name
                return
        self._end("output", "output", "it does not return one tensor that depends on its input")

    def _give_up(self, node: fx.Node, error: Exception) -> None:
        message = str(error).splitlines()[0] if str(error) else type(error).__name__
        if not isinstance(error, NotImplementedError) and "meta tensor" not in message:
            raise UsageError(
                f"The network does not take an input of shape {self.input_shape}: {_path_of(node)} "
                f"fails with: {message}",
                remedy="Give the shape of one example as the network expects it.",
            ) from error
        reason = f"{_path_of(node)}: it depends on the values of activations ({message})"
        self._end(node.name, self._operation(node)[0], reason)

    def _end(self, name: str, operation: str, reason: str) -> None:
        """Close the graph with a node without a rule, after everything that came before."""
        before = tuple(self.nodes)[-1:]
        self.nodes[name] = GraphNode(
            name=name, kind="unsupported", operation=operation, inputs=before, reason=reason
        )
        self.output = name


def _attribute(root: nn.Module, path: str) -> Any:
    found = attribute(root, path)
    return to_meta(found) if isinstance(found, Tensor) else found


def _holds_tensor(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(_holds_tensor(one) for one in value.values())
    if isinstance(value, tuple | list):
        return any(_holds_tensor(one) for one in value)
    return isinstance(value, Tensor)


def _holds_real(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return any(map(_holds_real, value))
    return isinstance(value, Tensor) and value.is_floating_point()


def _origin(node: fx.Node) -> str:
    """The parameter or buffer that a constant is made of, or the call that makes it."""
    waiting = [node]
    for one in waiting:
        if one.op == "get_attr":
            return str(one.target)
        waiting.extend(one.all_input_nodes)
    return str(node.name)


def _path_of(node: fx.Node) -> str:
    """Path of the module, or the function and the path of the module that calls it."""
    if node.op == "call_module":
        return str(node.target)
    stack = node.meta.get("nn_module_stack") or {}
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    inside = list(stack)[-1] if stack else ""
    return f"{name} in {inside}" if inside else str(name)
