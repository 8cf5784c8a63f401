"""Features are those of the network, whether they are kept or evaluated anew."""

from types import SimpleNamespace

import pytest
import torch

from dlgen_cli.predictors.sample_features import SampleFeatures

IMAGES = torch.randint(0, 256, (7, 1, 2, 2), dtype=torch.uint8)
SCALE = 0.5


class Network(SimpleNamespace):
    backbone = "a graph"
    seen = 0

    def features(self, x):
        self.seen += len(x)
        return x.flatten(1), x.mean(dim=(1, 2, 3))[:, None]


def features_of(network, uses):
    cpu = torch.device("cpu")
    return SampleFeatures(network, IMAGES, scale=SCALE, device=cpu, batch=3, uses=uses)


@pytest.mark.parametrize(("uses", "is_kept"), [(7, True), (1000, True), (6, False)])
def test_they_are_kept_where_they_are_used_often(uses, is_kept):
    network = Network()
    features = features_of(network, uses)
    assert features.is_kept == is_kept
    for chosen in (slice(2, 5), torch.tensor([6, 0, 0])):
        flat, mean = features(chosen)
        exact = IMAGES[chosen].float() / 255 * SCALE
        torch.testing.assert_close(flat, exact.flatten(1))
        torch.testing.assert_close(mean, exact.flatten(1).mean(1, keepdim=True))
    evaluated = network.seen
    features(slice(0, 7))
    assert (network.seen == evaluated) == is_kept


def test_features_that_are_no_rows_are_not_kept():
    network = Network()
    network.features = lambda x: (x.sum(),)
    assert not features_of(network, 1000).is_kept
    assert not features_of(Network(backbone=None), 1000).is_kept
