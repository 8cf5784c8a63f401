"""Networks of the user's own, given as a place in a file: what is traced is what runs."""

import own_networks
import pytest
import torch

from dlgen_cli.bounds.propagation import propagate_all
from dlgen_cli.checkpoints.reader import open_checkpoint
from dlgen_cli.errors import CheckpointError, UsageError
from dlgen_cli.networks import effective_tensors, read_network

RADIUS = 2.0
STEPS = 5


def own(name):
    return f"{own_networks.__file__}:{name}"


def saved(tmp_path, module):
    torch.save(module.state_dict(), tmp_path / "own.pt")
    return open_checkpoint(tmp_path / "own.pt")


def moved_copy(make, module, size):
    source = torch.Generator().manual_seed(5)
    state = {
        name: tensor + size * torch.randn(tensor.shape, generator=source, dtype=tensor.dtype)
        if name.endswith(("weight", "bias"))
        else tensor
        for name, tensor in module.state_dict().items()
    }
    moved = make().double().eval().requires_grad_(requires_grad=False)
    moved.load_state_dict(state)
    return moved


def on_sphere(x):
    return RADIUS * x / x.flatten(1).norm(dim=1).reshape(-1, *[1] * (x.ndim - 1))


def deviations(module, moved, shape):
    """On random inputs, and on those of a gradient ascent on the distance of the outputs."""
    x = on_sphere(torch.randn(64, *shape, generator=torch.Generator().manual_seed(7)).double())
    for _ in range(STEPS):
        x = x.detach().requires_grad_()
        distance = (module(x) - moved(x)).flatten(1).norm(dim=1)
        yield float(distance.detach().max())
        (gradient,) = torch.autograd.grad(distance.sum(), x)
        norms = gradient.flatten(1).norm(dim=1).clamp(min=1e-300)
        step = gradient / norms.reshape(-1, *[1] * (x.ndim - 1))
        x = on_sphere(x.detach() + RADIUS * step)


@pytest.mark.parametrize("size", [0.01, 0.3])
@pytest.mark.parametrize(("name", "arguments", "shape"), own_networks.NETWORKS)
def test_no_network_of_ones_own_exceeds_its_bound(tools, tmp_path, name, arguments, shape, size):
    def make():
        return getattr(own_networks, name)(**arguments)

    module = tools.fill(make().double(), seed=3)
    read = read_network(
        saved(tmp_path, module), arch=own(name), arch_arguments=arguments, input_shape=shape
    )
    assert read.structure == "graph"
    assert read.obstacle is None
    assert read.architecture == own(name)
    network, moved = read.network, moved_copy(make, module, size)
    tensors = effective_tensors(network, module.state_dict())
    other = effective_tensors(network, moved.state_dict())
    norms = tools.measured_norms(network, tensors, other)
    bound = propagate_all(network.nodes, norms, RADIUS)[network.nodes[-1].name]
    worst = max(deviations(module, moved, shape))
    assert 0 < worst <= float(bound.deviation) * (1 + 1e-9)


def test_the_shape_of_an_input_is_asked_for_where_the_code_does_not_tell(tmp_path):
    checkpoint = saved(tmp_path, own_networks.LeNet())
    with pytest.raises(UsageError, match="--input-shape"):
        read_network(checkpoint, arch=own("LeNet"))
    told = read_network(saved(tmp_path, own_networks.Recurrent()), arch=own("Recurrent"))
    assert told.network.input_shape == (5,)


def test_the_number_of_classes_is_read_off_the_last_layer_of_ones_own(tmp_path):
    checkpoint = saved(tmp_path, own_networks.TinyResNet(num_classes=7))
    read = read_network(checkpoint, arch=own("TinyResNet"), input_shape=(3, 9, 9))
    assert read.tensors["fc.weight"].shape == (7, 4)


def test_three_misfits_are_named_with_the_option_that_would_fit(tmp_path):
    checkpoint = saved(tmp_path, own_networks.TinyResNet(width=5))
    with pytest.raises(CheckpointError, match=r"stem\.0\.weight.*;.*;.*and \d+ more.*--arch-arg"):
        read_network(checkpoint, arch=own("TinyResNet"), input_shape=(3, 9, 9))
    wrapped = torch.nn.ModuleDict({"net": own_networks.Recurrent(), "head": torch.nn.Linear(3, 3)})
    with pytest.raises(CheckpointError, match=r"--prefix 'net\."):
        read_network(saved(tmp_path, wrapped), arch=own("Recurrent"))


def test_arguments_need_an_architecture(tmp_path):
    checkpoint = saved(tmp_path, own_networks.Recurrent())
    with pytest.raises(UsageError, match="without --arch"):
        read_network(checkpoint, arch_arguments={"steps": 2})


def test_code_that_a_file_names_is_never_run(tmp_path):
    from safetensors.torch import save_file

    code = tmp_path / "evil.py"
    code.write_text("raise SystemExit('it ran')\n")
    path = tmp_path / "x.safetensors"
    save_file({"a.weight": torch.eye(3)}, path, {"architecture": f"{code}:Net"})
    assert read_network(open_checkpoint(path)).structure == "chain"
