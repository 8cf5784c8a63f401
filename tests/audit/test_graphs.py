"""Audits of traced networks: real architectures, folded, stored, compressed."""

import json

import pytest
import torch
import torchvision
from reports import bound_of
from torch import nn

from dlgen_cli.audit.audit import audit
from dlgen_cli.audit.compress import compress
from dlgen_cli.checkpoints.reader import open_checkpoint
from dlgen_cli.errors import CheckpointError, UsageError
from dlgen_cli.evidence.options import AuditOptions
from dlgen_cli.networks import effective_tensors, read_network

SHAPE = (3, 32, 32)


def compression_of(checkpoint, **options):
    return audit(
        AuditOptions(checkpoint=checkpoint, **options), command="x", families=("compression",)
    )


def with_statistics(module, seed=0):
    """Batch statistics and weights of a network that has seen data."""
    generator = torch.Generator().manual_seed(seed)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.1, generator=generator)
            part.running_var.uniform_(0.5, 2.0, generator=generator)
            part.weight.data.uniform_(0.5, 1.5, generator=generator)
            part.bias.data.normal_(0, 0.1, generator=generator)
    return module.eval()


ARCH = "shufflenet_v2_x0_5"


@pytest.fixture(scope="module")
def small_network(tmp_path_factory):
    """A small network with batch normalization and branches, as a bare state dict."""
    torch.manual_seed(0)
    module = with_statistics(torchvision.models.get_model(ARCH, weights=None, num_classes=4))
    path = tmp_path_factory.mktemp("graphs") / "network.pt"
    torch.save(module.state_dict(), path)
    return path, module


def test_a_mobilenet_audits_as_a_graph(tmp_path):
    module = with_statistics(torchvision.models.mobilenet_v2(num_classes=4))
    path = tmp_path / "mobilenet.pt"
    torch.save(module.state_dict(), path)
    report = audit(
        AuditOptions(checkpoint=path, arch="mobilenet_v2", input_shape=SHAPE, b=8),
        command="audit",
        families=("compression", "rademacher"),
    )
    assert report.provenance.structure == "graph"
    assert len(report.layers) == 53
    assert not report.skipped
    assert all(layer.geometry == "known" for layer in report.layers if layer.kind == "conv2d")
    assert all(layer.reshaped_norm for layer in report.layers if layer.kind == "conv2d")
    assert sum(layer.folded_norm is not None for layer in report.layers) == 52
    for theorem in ("all_ranks", "layer_ranks", "stored"):
        bound = bound_of(report, f"compression.{theorem}")
        assert bound.status == "vacuous"
        lines = [line.statement for line in bound.assumptions if line.status == "declared"]
        assert any("traced graph" in line for line in lines)
    assert report.headline.theorem == "compression.stored"


def largest_gain(layer, weight):
    """A lower bound of the operator norm by power iteration on the layer's own map."""
    if not layer.stride:
        return torch.linalg.matrix_norm(weight, 2).item()

    def apply(x):
        return nn.functional.conv2d(
            x,
            weight,
            stride=layer.stride,
            padding=layer.padding,
            groups=layer.groups,
        )

    x = torch.randn(1, *layer.input_shape, dtype=torch.float64)
    for _ in range(8):
        x = (x / x.norm().clamp_min(1e-300)).requires_grad_()
        gain = apply(x).norm()
        (x,) = torch.autograd.grad(gain, x)
    return gain.item()


@pytest.mark.parametrize(("bits", "rank"), [(3, None), (8, 2), (16, 5), (32, None)])
def test_the_written_network_is_the_one_the_bound_speaks_of(tmp_path, small_network, bits, rank):
    path, module = small_network
    options = AuditOptions(checkpoint=path, arch=ARCH, input_shape=SHAPE, b=bits, r=rank, m=1000)
    made = compress(options, ranks=None, file="x", progress=lambda *_: None)
    (tmp_path / "small.safetensors").write_bytes(made.content)
    (bound,) = made.report.bounds

    original = read_network(open_checkpoint(path), arch=ARCH, input_shape=SHAPE)
    small = open_checkpoint(tmp_path / "small.safetensors")
    assert small.architecture == ARCH
    read = read_network(small, input_shape=SHAPE)
    assert read.structure == "graph"
    before = effective_tensors(original.network, original.tensors)
    after = effective_tensors(read.network, read.tensors)
    assert before.keys() == after.keys()
    for name, error in bound.terms["layer_error_upper"].items():
        layer = original.network.layers[name]
        assert largest_gain(layer, before[name] - after[name]) <= error * (1 + 1e-9)

    rebuilt = torchvision.models.get_model(ARCH, weights=None, num_classes=4).double()
    rebuilt.load_state_dict({name: small.read(name) for name in small.tensors})
    rebuilt.eval()
    inputs = torch.randn(64, *SHAPE, dtype=torch.float64)
    inputs /= inputs.flatten(start_dim=1).norm(dim=1)[:, None, None, None]
    with torch.no_grad():
        gap = (module.double()(inputs) - rebuilt(inputs)).norm(dim=1).max().item()
    distance = bound.terms["distance"]
    assert distance is None or gap <= distance
    if bits == 32 and rank is None:
        assert gap < 1e-4


def test_every_bit_of_the_file_is_paid(tmp_path, small_network):
    path, _ = small_network
    options = AuditOptions(checkpoint=path, arch=ARCH, input_shape=SHAPE, b=5, r=3)
    made = compress(options, ranks=None, file="x", progress=lambda *_: None)
    (tmp_path / "x").write_bytes(made.content)
    length = int.from_bytes(made.content[:8], "little")
    header = json.loads(made.content[8 : 8 + length])
    facts = json.loads(header["__metadata__"]["dlgen_factors"])
    entries = [part for fact in facts.values() for part in fact["parts"].values()]
    paid = sum(part["bits"] * torch.Size(part["shape"]).numel() + 32 for part in entries)
    assert made.report.results["bits"] == paid
    stored = sum(
        header[name]["data_offsets"][1] - header[name]["data_offsets"][0]
        for name in header
        if header[name].get("dtype") == "U8"
    )
    assert 8 * stored <= paid
    assert made.report.results["bytes_after"] == len(made.content)
    written = open_checkpoint(tmp_path / "x")
    # what is not packed is the same for every network: the identity's normalization
    for name, fact in header.items():
        if fact.get("dtype") == "F64":
            values = written.read(name)
            assert torch.all(values == values[0])


def test_anchors_are_folded_like_the_checkpoint(tmp_path, small_network):
    """Two state dicts of one function are at distance 0, whatever their statistics are."""
    _, module = small_network
    state = {name: tensor.double() for name, tensor in module.state_dict().items()}
    scaled = dict(state)
    scaled["conv1.0.weight"] = state["conv1.0.weight"] * 2
    scaled["conv1.1.running_mean"] = state["conv1.1.running_mean"] * 2
    scaled["conv1.1.running_var"] = (state["conv1.1.running_var"] + 1e-5) * 4 - 1e-5
    torch.save(state, tmp_path / "double.pt")
    torch.save(scaled, tmp_path / "anchor.pt")
    report = audit(
        AuditOptions(
            checkpoint=tmp_path / "double.pt",
            arch=ARCH,
            input_shape=SHAPE,
            anchors=[tmp_path / "anchor.pt"],
        ),
        command="pacbayes",
        families=("pac_bayes",),
        with_layers=False,
    )
    (anchor,) = bound_of(report, "pac_bayes.anchors").terms["anchors"]
    assert anchor["distance"] < 1e-12


def test_what_has_no_rule_is_named_and_withholds_the_bound(tmp_path):
    code = "from torch import nn\n\n\ndef make():\n    parts = nn.Flatten(), nn.Linear(3072, 3)\n"
    (tmp_path / "net.py").write_text(code + "    return nn.Sequential(*parts, nn.Hardshrink())\n")
    weights = {"1.weight": torch.randn(3, 3072), "1.bias": torch.zeros(3)}
    torch.save(weights, tmp_path / "e.pt")
    arch = f"{tmp_path / 'net.py'}:make"
    report = audit(
        AuditOptions(checkpoint=tmp_path / "e.pt", arch=arch, input_shape=SHAPE),
        command="x",
        families=("compression",),
    )
    for bound in report.bounds:
        assert (bound.status, bound.value) == ("not_applicable", None)
        assert any("no rule" in line.evidence for line in bound.assumptions)


def test_a_wrong_architecture_or_shape_is_one_clear_error(small_network):
    path, _ = small_network
    with pytest.raises(CheckpointError, match=r"conv1\.weight"):
        audit(AuditOptions(checkpoint=path, arch="resnet18"), command="x")
    with pytest.raises(UsageError, match="mobilenet_v2"):
        audit(AuditOptions(checkpoint=path, arch="mobilnet_v2"), command="x")
    with pytest.raises(UsageError, match="shape"):
        audit(AuditOptions(checkpoint=path, arch=ARCH, input_shape=(1, 8)), command="x")


def test_a_bare_chain_of_convolutions_is_assumed_and_said(tmp_path):
    torch.save(
        {"0.weight": torch.randn(8, 3, 3, 3), "2.weight": torch.randn(8, 1, 3, 3)}, tmp_path / "x"
    )
    report = audit(AuditOptions(checkpoint=tmp_path / "x"), command="x", families=("compression",))
    assert report.provenance.structure == "chain"
    assert [layer.geometry for layer in report.layers] == ["assumed", "assumed"]
    lines = bound_of(report, "compression.stored").assumptions
    assert any("Convolutions pad with zeros" in line.statement for line in lines)
