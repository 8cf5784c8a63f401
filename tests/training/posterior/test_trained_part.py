"""The trained part of a network is the network from its first trained layer on."""

import pytest
import torch
from torch import nn

from dlgen_cli.errors import UsageError
from dlgen_cli.networks.tracer import trace
from dlgen_cli.predictors import fold_network
from dlgen_cli.training.posterior.trained_part import TrainedPart, choose_trainable, logit_layers


class TwoHeads(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.left, self.right = nn.Linear(4, 5), nn.Linear(5, 3), nn.Linear(5, 3)

    def forward(self, x):
        x = self.body(x).relu()
        return self.left(x) + self.right(x)


@pytest.fixture
def folded():
    torch.manual_seed(0)
    module = TwoHeads().eval().requires_grad_(requires_grad=False)
    return fold_network(module, trace(module, (4,)), module.state_dict())


def a_part(folded, trainable, spread="auto"):
    bases = dict.fromkeys(folded.parameters, 0.5)
    return TrainedPart(folded, trainable, bases, spread, torch.Generator().manual_seed(1))


def test_layers_that_add_up_to_the_logits_are_found(folded):
    assert {one.module for one in logit_layers(folded.network)} == {"left", "right"}
    heads = {"left.weight", "left.bias", "right.weight", "right.bias"}
    assert choose_trainable(folded.network, None) == heads
    assert choose_trainable(folded.network, ["body.*", "*.bias"]) == {
        "body.weight", "body.bias", "left.bias", "right.bias"
    }  # fmt: skip
    with pytest.raises(UsageError, match=r"--trainable tail\.\* matches no coordinate"):
        choose_trainable(folded.network, ["tail.*"])


def test_a_network_that_ends_otherwise_names_no_layer():
    module = nn.Sequential(nn.Linear(4, 3), nn.ReLU()).eval()
    network = trace(module, (4,))
    with pytest.raises(UsageError, match="last layer is not linear"):
        choose_trainable(network, None)


@pytest.mark.parametrize("patterns", [None, ["*"], ["right.weight"]])
@torch.no_grad()
def test_at_the_mean_it_is_the_network(patterns, folded):
    x = torch.randn(6, 4)
    part = a_part(folded, choose_trainable(folded.network, patterns))
    features = part.features(iter([x[:4], x[4:]]), 6)
    part.set_bases(features, 4)
    expected = folded(x)
    torch.testing.assert_close(part.logits(features, noisy=False), expected)
    assert not torch.allclose(part.logits(features, noisy=True), expected)
    labels = expected.argmax(1)
    assert part.mean_error(features, labels, 4) == 0
    assert part.mean_error(features, (labels + 1) % 3, 4) == 1


@torch.no_grad()
def test_what_is_stored_is_what_was_trained(folded):
    trainable = choose_trainable(folded.network, None)
    part = a_part(folded, trainable, "tensor")
    for one in part.gaussians.values():
        one.shift.add_(0.25)
    assert float(part.nats()) > 0
    part.fix_prior()
    stored = part.posterior()
    assert set(stored.exponents) == trainable
    for name, mean in part.means().items():
        assert not torch.equal(mean, folded.parameters[name])


def test_the_form_follows_what_is_asked_for(folded):
    trainable = choose_trainable(folded.network, ["*"])
    forms = {name: one.form for name, one in a_part(folded, trainable).gaussians.items()}
    assert forms["left.weight"] == "factor"
    assert forms["body.weight"] == forms["left.bias"] == "tensor"
    entries = a_part(folded, trainable, "entry").gaussians
    assert entries["body.weight"].form == "entry"


@pytest.mark.parametrize("spread", ["auto", "entry"])
@torch.no_grad()
def test_the_risk_is_that_of_whole_draws(spread, folded):
    trainable = choose_trainable(folded.network, ["*"])
    part = a_part(folded, trainable, spread)
    x, labels = torch.randn(50, 4), torch.randint(3, (50,))
    for one in part.gaussians.values():
        one.log_deviation.fill_(-1.0)
    source = torch.Generator().manual_seed(3)
    wrong = []
    for _ in range(2000):
        drawn = {name: one.sample(source) for name, one in part.gaussians.items()}
        wrong.append(float((folded.logits(drawn, x).argmax(1) != labels).float().mean()))
    features = part.features(iter([x]), 50)
    found = sum(float(part.risk(features, labels)) for _ in range(50)) / 50
    assert found == pytest.approx(sum(wrong) / 2000, abs=0.01)


@torch.no_grad()
def test_features_are_turned_once_where_one_layer_alone_reads_them(folded):
    x = torch.randn(40, 4)
    module = nn.Sequential(nn.Linear(4, 3)).eval().requires_grad_(requires_grad=False)
    single = fold_network(module, trace(module, (4,)), module.state_dict())
    for network, is_turned in ((single, True), (folded, False)):
        part = a_part(network, choose_trainable(network.network, None))
        features = part.features(iter([x]), 40)
        turned = part.set_bases(features, 16)
        assert torch.equal(turned[0], features[0]) != is_turned
        for one in part.gaussians.values():
            one.shift.normal_(generator=torch.Generator().manual_seed(4))
        expected = network.logits(dict(network.parameters) | part.means(), x)
        torch.testing.assert_close(part.logits(turned, noisy=False), expected, rtol=1e-4, atol=1e-4)


def test_without_trained_logits_the_error_is_that_of_the_softmax(folded):
    part = a_part(folded, {"body.weight"})
    features, labels = (torch.randn(8, 4),), torch.randint(3, (8,))
    with torch.no_grad():
        found = float(part.risk(features, labels))
    assert 0 < found < 1
