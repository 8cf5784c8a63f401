"""The parameters of the hypothesis that a checkpoint stands for."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from dlgen_cli.evidence.plan import Inputs
from dlgen_cli.networks import SelectedTensors, effective_tensors


def hypothesis_of(inputs: Inputs, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The parameters that the predictor really has, by name.

    A traced network's are its effective ones: batch normalization folded, weight normalization
    resolved. Otherwise they are all floating-point tensors of the checkpoint, read one by one.
    """
    if inputs.read.structure == "graph" and inputs.read.network.unsupported is None:
        return effective_tensors(inputs.read.network, tensors)
    return SelectedTensors(tensors, [info.name for info in inputs.checkpoint.floating])
