"""Generators by seed, purpose and number."""

import torch

from dlgen_cli.training.seeds import generator


def test_generators_differ_by_purpose_and_number():
    draws = {
        int(torch.randint(0, 2**62, (1,), generator=generator(*key)))
        for key in [(0, "init"), (0, "batches"), (1, "init"), (0, "batches", 1), (0, "batches", 2)]
    }
    assert len(draws) == 5
