"""Recording the calls of a module with ``torch.fx``."""

from __future__ import annotations

import operator
from typing import Any

from torch import fx, nn

from dlgen_cli.architectures.fixed_normalization import FixedNormalization
from dlgen_cli.architectures.row_normalization import RowNormalization
from dlgen_cli.networks.programs.module import ProgramModule


class _Recorded(fx.Proxy):
    """A proxy that records ``x += y`` as what it is: torch changes x in place.

    ``torch.fx`` records it as ``x = x + y``, and other names of the same tensor keep the old
    value, which is another function than the module's.
    """

    def __iadd__(self, other: Any) -> fx.Proxy:
        return self._in_place(operator.iadd, other)

    def __isub__(self, other: Any) -> fx.Proxy:
        return self._in_place(operator.isub, other)

    def __imul__(self, other: Any) -> fx.Proxy:
        return self._in_place(operator.imul, other)

    def __itruediv__(self, other: Any) -> fx.Proxy:
        return self._in_place(operator.itruediv, other)

    def _in_place(self, function: Any, other: Any) -> fx.Proxy:
        return self.tracer.create_proxy("call_function", function, (self, other), {})


class _Recorder(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        is_leaf = super().is_leaf_module(m, module_qualified_name)
        return is_leaf or isinstance(m, FixedNormalization | RowNormalization)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _Recorded(node, self)


def record(module: nn.Module) -> fx.Graph:
    """The calls of a module, in order; torch's modules and our normalizations are one each.

    Args:
        module: in evaluation mode.

    Raises:
        Exception: whatever the module raises when its arguments are proxies.
    """
    return module.recorded() if isinstance(module, ProgramModule) else _Recorder().trace(module)
