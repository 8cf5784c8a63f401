"""Checkpoints to the linear maps that are really applied."""

from dlgen_cli.networks.chain import ASSUMED_ACTIVATION
from dlgen_cli.networks.coverage import coverage_of
from dlgen_cli.networks.folding import EffectiveLayer, effective_layer, effective_tensors
from dlgen_cli.networks.front_end import read_network
from dlgen_cli.networks.graph import GraphLayer, Network
from dlgen_cli.networks.read_network import ReadNetwork
from dlgen_cli.networks.tensors import CheckpointTensors, SelectedTensors

__all__ = [
    "ASSUMED_ACTIVATION",
    "CheckpointTensors",
    "EffectiveLayer",
    "GraphLayer",
    "Network",
    "ReadNetwork",
    "SelectedTensors",
    "coverage_of",
    "effective_layer",
    "effective_tensors",
    "read_network",
]
