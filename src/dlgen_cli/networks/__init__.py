"""Checkpoints to the linear maps that are really applied."""

from dlgen_cli.networks.chain import ASSUMED_ACTIVATION
from dlgen_cli.networks.coverage import coverage_of
from dlgen_cli.networks.folding import EffectiveLayer, effective_layer, effective_tensors
from dlgen_cli.networks.front_end import read_network
from dlgen_cli.networks.graph import GraphLayer, Network
from dlgen_cli.networks.layouts import Recipe
from dlgen_cli.networks.layouts.evaluation import evaluate
from dlgen_cli.networks.read_network import ReadNetwork
from dlgen_cli.networks.tensors import CheckpointTensors

__all__ = [
    "ASSUMED_ACTIVATION",
    "CheckpointTensors",
    "EffectiveLayer",
    "GraphLayer",
    "Network",
    "ReadNetwork",
    "Recipe",
    "coverage_of",
    "effective_layer",
    "effective_tensors",
    "evaluate",
    "read_network",
]
