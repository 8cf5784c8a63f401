"""Networks of timm, where it is installed."""

import pytest

from dlgen_cli.architectures import build, is_known
from dlgen_cli.errors import UsageError

timm = pytest.importorskip("timm")


def test_a_network_is_made_without_weights():
    assert is_known("timm:resnet10t")
    assert build("timm:resnet10t", num_classes=7).num_classes == 7


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("timm:resnet10", {}, "Did you mean timm:resnet10t"),
        ("timm:hf-hub:someone/resnet18", {}, "no network"),
        ("timm:resnet10t", {"pretrained": True}, "downloads no weights"),
        ("timm:resnet10t", {"no_such": 1}, "no_such"),
    ],
)
def test_what_cannot_be_made_says_why(name, arguments, message):
    with pytest.raises(UsageError, match=message):
        build(name, **arguments)
