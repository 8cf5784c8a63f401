"""Names of one tensor share its changes; views of other shape are stale."""

import torch
from torch import fx

from dlgen_cli.networks.memory import SharedMemory


def nodes(count):
    graph = fx.Graph()
    return [graph.placeholder(f"n{index}") for index in range(count)]


def test_a_change_in_place_is_seen_under_every_name_of_the_tensor():
    memory, (one, alias, view, pair, apart, unknown) = SharedMemory(), nodes(6)
    value = torch.zeros(2, 3)
    memory.add(one, value, "relu")
    memory.add(alias, value.view(2, 3), "relu")
    memory.add(view, value.T, "transpose")
    memory.add(pair, (value[:1], value[1:]), "split")
    memory.add(apart, value.clone(), "clone")
    memory.overwrite(alias, "iadd")
    assert memory.current(one) == memory.current(alias) == ("iadd", "")
    for node, name in ((view, "transpose"), (pair, "split")):
        found, stale = memory.current(node)
        assert found == name
        assert "changed in place" in stale
    assert memory.current(apart) == ("clone", "")
    assert not memory.knows(unknown)
    memory.overwrite(unknown, "other")  # depends on no input: nothing to remember
    assert memory.current(one) == ("iadd", "")
