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


def test_with_an_image_size_it_is_the_usual_pipeline_before_torchvisions():
    from torch.nn import functional
    from torchvision.models import mobilenet_v2
    from torchvision.transforms.v2.functional import normalize

    own = architectures.build("mobilenet_v2", num_classes=7, image_size=48).eval()
    theirs = mobilenet_v2(weights=None, num_classes=7).eval()
    own.load_state_dict(theirs.state_dict())  # strictly: the names are unchanged
    x = torch.rand(2, 3, 32, 32)
    resized = functional.interpolate(x, size=(48, 48), mode="bilinear", align_corners=False)
    with torch.no_grad():
        expected = theirs(normalize(resized, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
        torch.testing.assert_close(own(x), expected, rtol=1e-4, atol=1e-5)


def test_the_image_size_may_stand_in_the_name():
    assert architectures.split_size("mobilenet_v2-48") == ("mobilenet_v2", 48)
    assert architectures.split_size("mobilenet_v2_small") == ("mobilenet_v2_small", None)
    assert architectures.is_known("mobilenet_v2-48")
    assert architectures.build("mobilenet_v2-48").image_size == 48
    assert not architectures.is_known("mlp-48")


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
        ({"image_size": 0}, "image_size 0"),
        ({"image_size": 5000}, "image_size 5000"),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(UsageError, match=message):
        architectures.build("mobilenet_v2", **arguments)
