"""The norm of a weight is that of the map that its kind applies."""

import pytest
import torch

from dlgen_cli.networks import GraphLayer
from dlgen_cli.spectra.dense import spectral_norm_bounds
from dlgen_cli.spectra.finite_maps import dense_operator
from dlgen_cli.spectra.geometry import ConvolutionGeometry
from dlgen_cli.spectra.operator_norms import error_factor, norm_of_weight

CONVOLUTION = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1)}


def a_layer(kind, shape, **facts):
    facts = {"input_shape": (shape[-1],), "output_shape": (shape[0],), **facts}
    return GraphLayer(
        name="W", module="W", kind=kind, weight_shape=shape, has_own_bias=False, **facts
    )


def normal(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def norm_of(layer, weight, geometry="known"):
    return norm_of_weight(
        layer, weight, geometry=geometry, tolerance=1e-3, matrix_norm=spectral_norm_bounds
    )


def test_a_matrix_has_its_largest_singular_value():
    weight = normal(5, 3)
    exact = float(torch.linalg.matrix_norm(weight, 2))
    found = norm_of(a_layer("linear", (5, 3)), weight)
    assert found.lower <= exact <= found.upper * (1 + 1e-14)
    assert found.upper == pytest.approx(exact, rel=1e-9)
    assert error_factor(a_layer("linear", (5, 3)), weight) == 1


def test_a_diagonal_map_has_its_largest_entry():
    found = norm_of(a_layer("diagonal", (3,)), torch.tensor([0.5, -2.0, 1.0]))
    assert (found.lower, found.upper) == (2.0, 2.0)


def test_a_kernel_has_the_norm_of_its_map_or_of_the_largest():
    weight = normal(2, 1, 3, 3)
    layer = a_layer(
        "conv2d", (2, 1, 3, 3), input_shape=(1, 4, 4), output_shape=(2, 4, 4), **CONVOLUTION
    )
    geometry = ConvolutionGeometry(**CONVOLUTION, groups=1, input_size=(4, 4))
    exact = float(torch.linalg.matrix_norm(dense_operator(weight, geometry), 2))
    known, assumed = norm_of(layer, weight), norm_of(layer, weight, "assumed")
    assert known.lower <= exact * (1 + 1e-12)
    assert exact * (1 - 1e-12) <= known.upper <= assumed.upper
    assert known.upper < assumed.upper
    assert error_factor(layer, weight) * float(weight.norm()) >= assumed.lower
    assert error_factor(layer, weight) == pytest.approx(3)  # 3 x 3 positions meet an entry
