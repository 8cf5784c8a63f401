"""Chains of linear maps, as the compression theorems see them, and their exact bounds."""

import mpmath
import numpy as np

from dlgen_cli.bounds import (
    CompressionSetting,
    LayeredNetwork,
    LinearMap,
)
from dlgen_cli.records import GraphNode


def a_map(rows, columns, scale=1.0, name="W", bias=0.0, seed=0):
    values = np.sort(np.random.default_rng(seed).uniform(0.1, 1.0, min(rows, columns)))[::-1]
    values = (values * scale).tolist()
    return LinearMap(
        name=name,
        rows=rows,
        columns=columns,
        norm_upper=values[0],
        truncation_errors_upper=[*values, 0.0],
        bias_norm_upper=bias,
        bias_parameters=rows if bias else 0,
    )


def a_setting(**changes):
    numbers = {
        "bits_per_parameter": 32,
        "examples": 1437,
        "delta": 0.05,
        "loss_lipschitz": 1.0,
        "radius": 1.0,
    }
    return CompressionSetting(**(numbers | changes))


def chain_of(maps, gamma=1.0):
    """The source's network: the maps one after another, a gamma-Lipschitz function between."""
    nodes = [GraphNode(name="x", kind="input", operation="input")]
    for map_ in maps:
        if len(nodes) > 1:
            nodes.append(
                GraphNode(
                    name=f"act {map_.name}",
                    kind="lipschitz",
                    operation="activation",
                    inputs=(nodes[-1].name,),
                    factor_upper=gamma,
                )
            )
        nodes.append(
            GraphNode(
                name=f"node {map_.name}",
                kind="linear",
                operation="linear",
                inputs=(nodes[-1].name,),
                layer=map_.name,
            )
        )
    return LayeredNetwork(nodes=nodes, maps=maps)


def exact_distance(maps, setting, ranks, gamma=1.0):
    """The telescoping sum of the source, written out."""
    total = mpmath.mpf(0)
    for n, one in enumerate(maps):
        tails = one.truncation_errors_upper
        rank = ranks[n]
        term = mpmath.mpf(tails[rank] if rank < len(tails) else 0)
        for j, other in enumerate(maps):
            if j != n:
                term *= mpmath.mpf(other.norm_upper)
        total += term
    gamma = mpmath.mpf(gamma)
    return mpmath.mpf(setting.radius) * gamma ** (len(maps) - 1) * total


def exact_complexity(setting, parameters, choices, sides=2):
    nats = setting.bits_per_parameter * parameters * mpmath.log(2) + mpmath.log(sides)
    nats += mpmath.log(mpmath.mpf(choices) / mpmath.mpf(setting.delta))
    return mpmath.sqrt(nats / (2 * setting.examples))


CHAINS = {
    "square": [a_map(8, 8, 2.0, f"W{n}", seed=n) for n in range(3)],
    "rectangular": [
        a_map(12, 7, name="a", seed=1),
        a_map(5, 12, 3.0, "b", seed=2),
        a_map(10, 5, name="c", seed=3),
    ],
    "one matrix": [a_map(6, 9)],
    "beyond the floats": [a_map(8, 8, 1e200, f"W{n}", seed=n) for n in range(4)],
    "below the floats": [a_map(8, 8, 1e-200, f"W{n}", seed=n) for n in range(4)],
}


SETTINGS = {
    "the source's": (a_setting(), 1.0),
    "scaled": (a_setting(loss_lipschitz=2.5, radius=7.0, delta=0.01), 1.13),
    "few bits": (a_setting(bits_per_parameter=1, examples=50_000), 1.0),
}
