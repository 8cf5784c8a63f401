"""torchvision's classification models by name."""

import subprocess
import sys

import pytest
import torch

from dlgen_cli import architectures
from dlgen_cli.errors import UsageError

NAMES = ["alexnet", "densenet121", "googlenet", "inception_v3", "regnet_x_400mf", "swin_v2_t"]


@pytest.mark.parametrize("name", NAMES)
def test_building_is_zero_and_draws_nothing(name):
    before = torch.random.get_rng_state()
    network = architectures.build(name, num_classes=6)
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(not parameter.any() for parameter in network.parameters())
    assert {tensor.device.type for tensor in network.state_dict().values()} == {"cpu"}


@pytest.mark.parametrize("name", ["googlenet", "swin_v2_t", "regnet_x_400mf"])
def test_buffers_and_functions_are_torchvisions(name):
    from torchvision import models

    settings = {"init_weights": False} if name == "googlenet" else {}
    theirs = models.get_model(name, weights=None, num_classes=4, **settings).eval()
    own = architectures.build(name, num_classes=4).eval()
    parameters = dict(theirs.named_parameters())
    for key, buffer in theirs.named_buffers():
        assert torch.equal(own.get_buffer(key), buffer), key
    own.load_state_dict(parameters, strict=False)
    x = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(own(x), theirs(x))


def test_shared_tensors_and_dropout():
    network = architectures.build("alexnet")
    rates = [part.p for part in network.modules() if isinstance(part, torch.nn.Dropout)]
    assert rates == [0.0, 0.0]
    assert architectures.build("alexnet", dropout=0.3).classifier[0].p == 0.3


def test_every_registered_name_is_known():
    from torchvision import models

    assert set(architectures.torchvision_names()) == set(models.list_models(module=models))
    assert architectures.is_known("resnet50")
    assert architectures.is_known("mlp")
    assert not architectures.is_known("resnet")


def test_an_unknown_name_gets_near_matches():
    with pytest.raises(UsageError, match=r"'resnet-18'.*resnet18"):
        architectures.build("resnet-18")


@pytest.mark.parametrize("arguments", [{"classes": 3}, {"num_classes": "ten"}])
def test_arguments_that_do_not_fit_are_refused(arguments):
    with pytest.raises(UsageError, match=f"'resnet18' cannot be built.*{next(iter(arguments))}"):
        architectures.build("resnet18", **arguments)


def test_torchvision_is_not_imported_before_it_is_needed():
    program = (
        "import sys; from dlgen_cli import architectures; architectures.build('mlp'); "
        "architectures.names(); sys.exit('torchvision' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
