"""Programs of torch.export against the modules that they were exported from."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional

from dlgen_cli.checkpoints.program import Value
from dlgen_cli.checkpoints.reader import open_checkpoint
from dlgen_cli.errors import CheckpointError, UsageError
from dlgen_cli.networks.front_end import read_network
from dlgen_cli.networks.tracer import trace
from dlgen_cli.predictors.folded_network import open_folded


class Block(nn.Module):
    """A residual block with the habits of many: in-place calls, functions, a loop."""

    def __init__(self, channels):
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, padding=1, groups=groups) for groups in (1, channels)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(2))
        self.act = nn.ReLU6(inplace=True)

    def forward(self, x):
        y = x
        for conv, norm in zip(self.convs, self.norms, strict=True):
            y = self.act(norm(conv(y)))
        y += x
        return functional.leaky_relu(y, 0.1)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, bias=False), nn.BatchNorm2d(4))
        self.block = Block(4)
        self.up = nn.ConvTranspose2d(4, 2, 2, stride=2)
        self.drop = nn.Dropout(0.3)
        self.head = nn.Linear(6, 5)

    def forward(self, x):
        x = functional.max_pool2d(functional.relu(self.stem(x)), 2)
        x = self.block(x)
        up = functional.avg_pool2d(self.up(x), 2)
        x = torch.cat([x, functional.hardswish(up)], dim=1)
        x = functional.adaptive_avg_pool2d(x, 1)
        return self.head(self.drop(x.view(x.size(0), -1)))


def made(seed=0):
    torch.manual_seed(seed)
    net = Net()
    for part in net.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2.0)
            nn.init.normal_(part.weight)
            nn.init.normal_(part.bias)
    return net.eval()


def exported(net, example, *, dynamic=False, core=False):
    shapes = ({0: torch.export.Dim("batch", min=1, max=64)},) if dynamic else None
    program = torch.export.export(net, (example,), dynamic_shapes=shapes)
    return program.run_decompositions() if core else program


FORMS = {
    "one example": {},
    "any batch": {"dynamic": True},
    "core operations": {"dynamic": True, "core": True},
    "core operations of one example": {"core": True},
}


@pytest.fixture(scope="module", params=FORMS)
def saved(request, tmp_path_factory):
    net = made()
    form = FORMS[request.param]
    example = torch.zeros(2 if form.get("dynamic") else 1, 3, 16, 16)
    path = tmp_path_factory.mktemp("export") / "net.pt2"
    torch.export.save(exported(net, example, **form), path)
    return net, path


def test_the_graph_is_that_of_the_module(saved):
    net, path = saved
    read = read_network(open_checkpoint(path))
    traced = trace(net, (3, 16, 16))
    assert read.structure == "graph"
    assert read.obstacle is None
    assert read.skipped == []
    assert dict(read.network.layers) == dict(traced.layers)
    assert [node.factor_upper for node in read.network.nodes if node.kind == "lipschitz"] == [
        node.factor_upper for node in traced.nodes if node.kind == "lipschitz"
    ]
    assert read.network.output_shape == (5,)


def test_the_module_of_a_program_computes_what_was_exported(saved):
    net, path = saved
    read = read_network(open_checkpoint(path))
    x = torch.randn(3, 3, 16, 16)
    with torch.no_grad():
        expected = net(x)
        torch.testing.assert_close(read.module(x.clone()), expected)
        folded = open_folded(open_checkpoint(path), read)
        torch.testing.assert_close(folded(x), expected, rtol=1e-4, atol=1e-5)


def test_a_given_architecture_goes_before_the_program(saved):
    _, path = saved
    with pytest.raises(UsageError, match="unknown"):
        read_network(open_checkpoint(path), arch="no_such_network")


class Odd(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.last = nn.Linear(4, 3)

    def forward(self, x):
        return self.last(torch.special.i0(self.first(x)))


def test_an_operation_without_a_rule_is_named_and_the_layers_are_read(tmp_path):
    torch.export.save(exported(Odd(), torch.zeros(1, 4)), tmp_path / "odd.pt2")
    read = read_network(open_checkpoint(tmp_path / "odd.pt2"))
    assert "speciali0 has no rule" in read.obstacle
    assert list(read.network.layers) == ["first.weight", "last.weight"]


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, left, right):
        return self.layer(left) + right


def test_several_inputs_are_refused_by_name(tmp_path):
    x = torch.zeros(1, 4)
    torch.export.save(torch.export.export(Pair(), (x, x)), tmp_path / "two.pt2")
    with pytest.raises(UsageError, match=r"2 inputs \(left, right\)"):
        read_network(open_checkpoint(tmp_path / "two.pt2"))


def test_half_precision_is_read_as_the_numbers_that_it_holds(tmp_path):
    net = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)).to(torch.bfloat16)
    program = torch.export.export(net, (torch.zeros(1, 4, dtype=torch.bfloat16),))
    torch.export.save(program, tmp_path / "half.pt2")
    read = read_network(open_checkpoint(tmp_path / "half.pt2"))
    assert read.obstacle is None
    assert read.module(torch.zeros(2, 4)).dtype == torch.float32


def test_names_of_values_never_become_code(tmp_path):
    """fx writes the name of an input into the code of a module."""
    program = torch.export.export(nn.Sequential(nn.Linear(4, 4)), (torch.zeros(1, 4),))
    torch.export.save(program, tmp_path / "net.pt2")
    checkpoint = open_checkpoint(tmp_path / "net.pt2")
    (step,) = checkpoint.program.steps
    name = 'x, y=__import__("os").abort()'
    (given,) = checkpoint.program.inputs
    hostile = replace(
        checkpoint.program,
        inputs=[replace(given, name=name)],
        steps=[replace(step, arguments={**step.arguments, "input": Value(name)})],
    )
    read = read_network(replace(checkpoint, program=hostile))
    assert read.obstacle is None
    assert open_folded(checkpoint, read)(torch.zeros(2, 4)).shape == (2, 4)


def test_arguments_that_cannot_be_end_in_one_line(tmp_path):
    program = torch.export.export(nn.Sequential(nn.Linear(4, 4)), (torch.zeros(1, 4),))
    torch.export.save(program, tmp_path / "net.pt2")
    checkpoint = open_checkpoint(tmp_path / "net.pt2")
    (step,) = checkpoint.program.steps
    for operation in ("aten.slice.Tensor", "aten.full.default"):
        hostile = replace(checkpoint.program, steps=[replace(step, operation=operation)])
        with pytest.raises(CheckpointError, match=operation):
            read_network(replace(checkpoint, program=hostile))


class Parts(nn.Module):
    """Activations and normalizations in the parts that people write them in."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(6, 6)
        self.weight = nn.Parameter(torch.randn(6))
        self.last = nn.Linear(6, 3)

    def forward(self, x):
        x = self.first(x)
        x = x * torch.sigmoid(x)
        x = 0.5 * x * (1 + torch.erf(x / 2**0.5))
        x = 0.5 * x * (1.0 + torch.tanh((2 / math.pi) ** 0.5 * (x + 0.044715 * x.pow(3))))
        x = x * functional.relu6(x + 3) / 6
        x = self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6))
        return self.last(x)


def test_compositions_are_read_as_what_they_stand_for(tmp_path):
    torch.manual_seed(0)
    net = Parts().eval()
    torch.export.save(exported(net, torch.zeros(1, 6)), tmp_path / "parts.pt2")
    read = read_network(open_checkpoint(tmp_path / "parts.pt2"))
    operations = [getattr(node.target, "__name__", "") for node in read.module.recorded().nodes]
    assert [one for one in operations if one] == ["silu", "gelu", "gelu", "hardswish", "rms_norm"]
    x = torch.randn(4, 6)
    with torch.no_grad():
        torch.testing.assert_close(read.module(x), net(x))


def test_a_made_tensor_of_absurd_size_takes_no_memory(tmp_path):
    program = torch.export.export(nn.Sequential(nn.Linear(4, 4)), (torch.zeros(1, 4),))
    torch.export.save(program, tmp_path / "net.pt2")
    checkpoint = open_checkpoint(tmp_path / "net.pt2")
    (first,) = checkpoint.program.steps

    def step(operation, result, **arguments):
        return replace(first, operation=f"aten.{operation}", arguments=arguments, results=(result,))

    steps = [
        first,
        replace(step("full.default", "c", size=[1 << 40], fill_value=1.0), shapes=((1 << 40,),)),
        step("slice.Tensor", "d", self=Value("c"), dim=0, start=0, end=4),
        step("add.Tensor", "e", self=Value(first.results[0]), other=Value("d")),
    ]
    hostile = replace(checkpoint.program, steps=steps, output="e")
    assert read_network(replace(checkpoint, program=hostile)).obstacle is not None
