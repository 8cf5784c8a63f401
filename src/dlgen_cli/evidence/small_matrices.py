"""Small matrices of one shape, read and enclosed together and handed out one by one."""

from __future__ import annotations

import math
import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping

import numpy as np
import torch
from torch import Tensor

from dlgen_cli.errors import DlgenError
from dlgen_cli.networks import EffectiveLayer, GraphLayer, effective_layer
from dlgen_cli.spectra import MOST_ENTRIES, Enclosures, enclose_each

_TOGETHER = 512
_FEWEST = 8  # of one shape, below which each is measured on its own


class SmallMatrices:
    """The small matrices among the layers of a network; threads may share it.

    Args:
        layers: of the network.
        tensors: its state dict.
    """

    def __init__(self, layers: Iterable[GraphLayer], tensors: Mapping[str, Tensor]) -> None:
        self._tensors = tensors
        self._lock = threading.Lock()
        self._ready: dict[str, tuple[EffectiveLayer, Enclosures]] = {}
        self._groups: dict[str, list[GraphLayer]] = {}
        shapes = defaultdict[tuple[int, ...], list[GraphLayer]](list)
        for layer in layers:
            if _is_small(layer):
                shapes[layer.weight_shape].append(layer)
        for alike in shapes.values():
            if len(alike) < _FEWEST:
                continue
            for start in range(0, len(alike), _TOGETHER):
                group = alike[start : start + _TOGETHER]
                self._groups |= dict.fromkeys((layer.name for layer in group), group)

    def take(self, layer: GraphLayer) -> tuple[EffectiveLayer, Enclosures] | None:
        """A layer with what is proved of its matrix, once; None where it is to be measured alone.

        Where the layer cannot be read it is None too: reading it alone tells why.
        """
        if layer.name not in self._groups:
            return None
        with self._lock:
            group = self._groups[layer.name]
            if layer.name not in self._ready and group:
                self._enclose(group)
                group.clear()
            return self._ready.pop(layer.name, None)

    def _enclose(self, group: Iterable[GraphLayer]) -> None:
        read = []
        for layer in group:
            try:
                read.append(effective_layer(layer, self._tensors))
            except DlgenError:
                continue
        read = [one for one in read if one.factors is None]
        if not read:
            return
        try:
            found = enclose_each(torch.stack([one.weight.double() for one in read]))
        except np.linalg.LinAlgError:
            return
        self._ready |= {
            one.layer.name: (one, enclosed) for one, enclosed in zip(read, found, strict=True)
        }


def _is_small(layer: GraphLayer) -> bool:
    is_matrix = len(layer.weight_shape) == 2 and not layer.stride and not layer.is_folded
    return is_matrix and 0 < math.prod(layer.weight_shape) <= MOST_ENTRIES
