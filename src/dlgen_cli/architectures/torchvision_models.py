"""Any classification model of torchvision by its registry name, without pretrained weights."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from dlgen_cli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Their own initialization takes seconds and warns; parameters are zero here in any case.
_WITHOUT_INITIALIZATION = ("googlenet", "inception_v3")
_DROPOUT_ARGUMENTS = frozenset({"dropout", "stochastic_depth_prob", "drop_rate"})
_COMPILER = "torch._dynamo"
#: Methods that draw entries. Of a tensor without entries, torch imports its compiler for that.
_DRAWING = (torch.Tensor.normal_, torch.Tensor.uniform_)


def torchvision_models() -> ModuleType:
    """``torchvision.models``, imported without the compiler of torch, which takes two seconds.

    One operator of torchvision asks the compiler whether it supports a device. While torchvision is
    imported a stand-in is asked for the question; the operator gets one that imports the compiler
    when it is put.
    """
    if "torchvision" in sys.modules or _COMPILER in sys.modules:
        return import_module("torchvision.models")
    helpers = ModuleType(f"{_COMPILER}.utils")
    helpers.is_compile_supported = _is_compile_supported  # type: ignore[attr-defined]
    stand_in = {_COMPILER: ModuleType(_COMPILER), helpers.__name__: helpers}
    sys.modules |= stand_in
    try:
        return import_module("torchvision.models")
    except (ImportError, AttributeError):  # this torchvision asks the compiler for more
        pass
    finally:
        for name in stand_in:
            del sys.modules[name]
    return import_module("torchvision.models")


def _is_compile_supported(device_type: str) -> bool:
    supported: bool = import_module(f"{_COMPILER}.utils").is_compile_supported(device_type)
    return supported


def torchvision_names() -> tuple[str, ...]:
    """The classification models that torchvision registers, sorted."""
    models = torchvision_models()
    return tuple(models.list_models(module=models))


def build_torchvision(name: str, **arguments: Any) -> nn.Module:
    """Make one of `torchvision_names`.

    Args:
        name: as registered.
        **arguments: of torchvision's constructor, for example ``num_classes``. Dropout and
            stochastic depth are off unless an argument sets them.

    Returns:
        The module, on the CPU, in float32, with all parameters zero.

    Raises:
        UsageError: an argument is unknown or out of its range.
    """
    models = torchvision_models()
    if name in _WITHOUT_INITIALIZATION:
        arguments.setdefault("init_weights", False)

    def construct() -> nn.Module:
        network: nn.Module = models.get_model(name, weights=None, **arguments)
        return network

    try:
        network = zero_module(construct)
    except (TypeError, ValueError, RuntimeError, ZeroDivisionError) as error:
        raise UsageError(
            f"The architecture {name!r} cannot be built with the arguments "
            f"{describe(arguments)}: {error}.",
            remedy="Give the arguments that torchvision's constructor takes.",
        ) from error
    if not _DROPOUT_ARGUMENTS & arguments.keys():
        switch_off_dropout(network)
    return network


def describe(arguments: Mapping[str, object]) -> str:
    """The names of arguments, for a message."""
    return ", ".join(sorted(arguments)) or "(none)"


class _EmptyOnMeta(TorchFunctionMode):
    """Sends ``torch.empty`` to the meta device.

    Modules take memory for their parameters with it, and initialize them afterwards: without
    entries that costs nothing, and nothing is drawn. Tables that a module computes keep their
    values.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        del types
        settings = dict(kwargs or {})
        fills = func in _DRAWING or getattr(func, "__module__", "") == nn.init.__name__
        filled = args[0] if args else settings.get("tensor")
        if fills and isinstance(filled, torch.Tensor) and filled.is_meta:
            return filled
        if func is torch.empty and settings.get("device") is None:
            settings["device"] = "meta"
        return func(*args, **settings)


def zero_module(construct: Callable[[], nn.Module]) -> nn.Module:
    """Construct a module without drawing its initial parameters.

    Returns:
        The module with all parameters zero and its buffers as constructed. The global random
        generator is as before.
    """
    with torch.random.fork_rng(devices=[]), _EmptyOnMeta():
        network = construct()
    zeros: dict[int, nn.Parameter] = {}
    for part in network.modules():
        for name, parameter in list(part.named_parameters(recurse=False)):
            zero = nn.Parameter(torch.zeros(parameter.shape, dtype=parameter.dtype))
            zero = zeros.setdefault(id(parameter), zero)
            setattr(part, name, zero)
    return network


def switch_off_dropout(network: nn.Module) -> None:
    """Set every rate of dropout and stochastic depth to zero: no explicit regularization."""
    for part in network.modules():
        if type(part).__name__.endswith(("Dropout", "Dropout1d", "Dropout2d", "StochasticDepth")):
            setattr(part, "p", 0.0)  # noqa: B010 - nn.Module declares no such attribute
