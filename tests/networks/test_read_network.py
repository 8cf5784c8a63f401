"""What is not understood is told by the roles of tensors."""

from dlgen_cli.networks.graph import Network
from dlgen_cli.networks.read_network import ReadNetwork
from dlgen_cli.records import SkippedLayer


def test_only_skipped_tensors_of_an_unknown_role_are_not_understood():
    skipped = [SkippedLayer(name=name, reason="why") for name in ("a", "b", "c")]
    read = ReadNetwork(
        network=Network(nodes=[], layers={}, input_shape=(1,), unused=[]),
        structure="chain",
        architecture=None,
        tensors={},
        skipped=skipped,
        counters=[SkippedLayer(name="d", reason="a counter")],
        obstacle=None,
        roles={"a": "unknown", "b": "aside", "d": "unknown"},
    )
    assert [one.name for one in read.not_understood] == ["a"]
