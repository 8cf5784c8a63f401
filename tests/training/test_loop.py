"""Training steps against the same steps written out."""

import math
from fractions import Fraction

import pytest
import torch

from dlgen_cli import architectures
from dlgen_cli.datasets import Split
from dlgen_cli.training.computation import Computation
from dlgen_cli.training.examples import DeviceExamples
from dlgen_cli.training.loop import (
    EpochSettings,
    clamp_parameters,
    error_rate,
    initialize,
    linf_norm,
    make_optimizer,
    train_epoch,
)


def network(seed: int = 0) -> torch.nn.Module:
    result = architectures.build("mlp", width=16, depth=2, classes=4)
    initialize(result, seed)
    return result


HERE = Computation(device=torch.device("cpu"))


def examples(count: int = 50) -> DeviceExamples:
    source = torch.Generator().manual_seed(1)
    stored = Split(
        images=torch.rand((count, 1, 4, 4), generator=source),
        labels=torch.randint(0, 4, (count,), generator=source),
    )
    return DeviceExamples(stored=stored, scale=1.0)


def epoch(
    network: torch.nn.Module, optimizer: torch.optim.Optimizer, data: DeviceExamples, **given
):
    settings = EpochSettings(**{"seed": 0, "epoch": 1, **given})
    return train_epoch(network, optimizer, data, settings, HERE)


def test_initial_entries_are_uniform_within_he_bound():
    result = architectures.build("mlp", width=64, depth=3)
    initialize(result, 0)
    entries = torch.cat([parameter.detach().flatten() for parameter in result.parameters()])
    bound = math.sqrt(6 / 64)
    assert entries.abs().max() <= bound
    # 12,288 entries: the mean square has relative standard deviation 0.8 %.
    assert float(entries.square().mean()) == pytest.approx(bound**2 / 3, rel=0.05)


def test_kernels_are_normal_by_fan_out_and_the_classifier_is_torchs_default():
    result = architectures.build("mobilenet_v2", num_classes=10)
    initialize(result, 0)
    tensors = dict(result.named_parameters())
    pointwise = tensors["features.18.0.weight"].detach()
    assert float(pointwise.square().mean()) == pytest.approx(2 / 1280, rel=0.02)
    depthwise = tensors["features.17.conv.1.0.weight"].detach()
    assert float(depthwise.square().mean()) == pytest.approx(2 / (960 * 9), rel=0.05)
    classifier = tensors["classifier.1.weight"].detach()
    assert classifier.abs().max() <= 1280**-0.5
    assert float(classifier.square().mean()) == pytest.approx(1 / (3 * 1280), rel=0.05)
    assert not tensors["classifier.1.bias"].any()


def test_initialization_depends_on_the_seed_alone():
    state = torch.random.get_rng_state()
    first, again, other = (network(seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["layers.0.weight"], other["layers.0.weight"])
    assert not torch.equal(first["layers.0.weight"], first["layers.1.weight"])
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_no_weight_decay(name: str):
    (group,) = make_optimizer(network(), name, 0.1).param_groups
    assert group["weight_decay"] == 0
    assert group["lr"] == 0.1


def test_one_batch_of_sgd_is_one_gradient_step():
    data, trained = examples(), network()
    weights = [parameter.detach().double() for parameter in trained.parameters()]
    for weight in weights:
        weight.requires_grad_()
    logits = ((data.stored.images.flatten(1).double() @ weights[0].T).relu() @ weights[1].T)[:, :4]
    loss = -logits.log_softmax(1)[torch.arange(50), data.stored.labels].mean()
    loss.backward()
    optimizer = make_optimizer(trained, "sgd", 0.5)
    summary = epoch(trained, optimizer, data, batch_size=50)
    assert summary.loss == pytest.approx(loss.item(), rel=1e-6)
    for parameter, weight in zip(trained.parameters(), weights, strict=True):
        torch.testing.assert_close(
            parameter.double(), weight - 0.5 * weight.grad, atol=1e-6, rtol=0
        )


def test_every_example_is_seen_once_an_epoch():
    seen: list[int] = []
    data = examples(53)
    trained = network()
    rows = {tuple(image.flatten().tolist()): row for row, image in enumerate(data.stored.images)}

    def note(_: torch.nn.Module, arguments: tuple[torch.Tensor]) -> None:
        seen.extend(rows[tuple(image.flatten().tolist())] for image in arguments[0])

    trained.register_forward_pre_hook(note)
    optimizer = make_optimizer(trained, "adam", 0.01)
    epoch(trained, optimizer, data, batch_size=10)
    assert sorted(seen) == list(range(53))
    first = seen.copy()
    seen.clear()
    epoch(trained, optimizer, data, epoch=2, batch_size=10)
    assert sorted(seen) == list(range(53))
    assert seen != first


def test_error_rate_counts_over_all_batches():
    data, judge = examples(5000), network()
    predictions = judge(data.stored.images).argmax(1)
    wrong = sum(int(a != b) for a, b in zip(predictions, data.stored.labels, strict=True))
    assert error_rate(judge, data, HERE) == wrong / 5000


@pytest.mark.parametrize("limit", [0.3, 0.1, 0.25, 1e-3])
def test_the_clamp_keeps_to_the_limit_exactly(limit: float):
    clamped = network()
    largest = linf_norm(clamped)
    clamp_parameters(clamped, limit)
    norm = max(parameter.abs().max().item() for parameter in clamped.parameters())
    assert linf_norm(clamped) == norm
    assert Fraction(norm) <= Fraction(limit)
    if largest > limit:
        assert norm == pytest.approx(limit, rel=1e-6)


def test_the_clamp_holds_after_every_step():
    clamped, data, norms = network(), examples(), []
    clamp_parameters(clamped, 0.2)
    clamped.register_forward_pre_hook(lambda *_: norms.append(linf_norm(clamped)))
    optimizer = make_optimizer(clamped, "sgd", 5.0)
    epoch(clamped, optimizer, data, batch_size=5, clip_linf=0.2)
    assert len(norms) == 10
    assert max(*norms, linf_norm(clamped)) <= 0.2


def test_the_running_error_counts_the_answers_on_the_way():
    trained, data = network(), examples()
    predictions = trained(data.stored.images).argmax(1)
    wrong = int((predictions != data.stored.labels).sum())
    summary = epoch(trained, make_optimizer(trained, "sgd", 0.1), data, batch_size=50)
    assert summary.running_error == wrong / 50


def test_the_step_size_falls_linearly_to_zero():
    trained, data, seen = network(), examples(40), []
    optimizer = make_optimizer(trained, "sgd", 1.0)
    trained.register_forward_pre_hook(lambda *_: seen.append(optimizer.param_groups[0]["lr"]))
    for number in (1, 2):
        epoch(
            trained,
            optimizer,
            data,
            batch_size=10,
            epoch=number,
            epochs=2,
            learning_rate=0.8,
            linear_decay=True,
        )
    # The first step has the whole step size; the last one an eighth: 0 comes after it.
    assert seen == pytest.approx([0.8 * (8 - step) / 8 for step in range(8)])


def test_a_rest_of_one_example_joins_the_last_batch():
    trained, sizes = network(), []
    trained.register_forward_pre_hook(lambda _, arguments: sizes.append(len(arguments[0])))
    epoch(trained, make_optimizer(trained, "sgd", 0.1), examples(21), batch_size=10)
    assert sizes == [10, 11]
