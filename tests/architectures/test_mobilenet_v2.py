"""MobileNetV2 beside torchvision's own, with both stems."""

import pytest
import torch

from dlgen_cli import architectures
from dlgen_cli.errors import UsageError


@pytest.mark.parametrize(("width_mult", "classes"), [(1.0, 1000), (0.5, 10)])
def test_it_is_torchvisions(width_mult, classes):
    from torchvision.models import mobilenet_v2

    own = architectures.build("mobilenet_v2", num_classes=classes, width_mult=width_mult)
    theirs = mobilenet_v2(weights=None, num_classes=classes, width_mult=width_mult)
    own.load_state_dict(theirs.state_dict())
    x = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(own.eval()(x), theirs.eval()(x))


def test_the_stems_share_their_tensors():
    small = architectures.build("mobilenet_v2", stem="small", num_classes=10)
    large = architectures.build("mobilenet_v2", num_classes=10)
    shapes = {name: tensor.shape for name, tensor in small.state_dict().items()}
    assert shapes == {name: tensor.shape for name, tensor in large.state_dict().items()}
    x = torch.rand(1, 3, 32, 32)
    assert small.features.eval()(x).shape[2:] == (4, 4)
    assert large.features.eval()(x).shape[2:] == (1, 1)
    assert sum(parameter.numel() for parameter in small.parameters()) == 2_236_682


def test_dropout_is_off_unless_asked_for():
    assert architectures.build("mobilenet_v2").classifier[0].p == 0
    assert architectures.build("mobilenet_v2", dropout=0.2).classifier[0].p == 0.2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"stem": "large"}, "no stem 'large'"),
        ({"num_classes": 0}, "num_classes 0"),
        ({"width_mult": 0.0}, "width_mult 0.0"),
        ({"dropout": 1.0}, "dropout 1.0"),
        ({"depth": 3}, "depth"),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(UsageError, match=message):
        architectures.build("mobilenet_v2", **arguments)
