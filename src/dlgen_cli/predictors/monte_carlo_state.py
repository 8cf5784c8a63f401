"""A Monte Carlo run between two steps, and how it is kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dlgen_cli.errors import UsageError
from dlgen_cli.predictors.deviations import Deviation, Factor


@dataclass(slots=True, kw_only=True)
class MonteCarlo:
    """A run between two steps.

    Attributes:
        count: draws of weights to make.
        seed: of all random numbers.
        choice: draws examples, on the CPU.
        noise: draws weights, on the device.
        errors: of each distribution.
        done: draws of weights made.
        fingerprint: digest of everything that the counts depend on; empty until `identify`.
    """

    count: int
    seed: int
    choice: torch.Generator
    noise: torch.Generator
    errors: list[int]
    done: int = 0
    fingerprint: str = ""

    def identify(
        self,
        means: Sequence[Mapping[str, Tensor]],
        deviations: Sequence[Mapping[str, Deviation]],
        images: Tensor,
        labels: Tensor,
        scale: float,
        batch: int,
    ) -> None:
        """Take the digest of what the counts depend on."""
        facts = {
            "kind": "trials",  # one example for each draw
            "count": self.count,
            "seed": self.seed,
            "device": self.noise.device.type,
            "scale": scale,
            "batch": batch,
            "deviations": [
                sorted((name, _form(one)) for name, one in those.items()) for those in deviations
            ],
            "images": [str(images.dtype), *images.shape],
        }
        digest = hashlib.sha256(json.dumps(facts).encode())
        distinct = {id(one): one for mean in means for one in mean.values()}
        spreads = [
            one.matrix if isinstance(one, Factor) else one
            for those in deviations
            for _, one in sorted(those.items())
            if not isinstance(one, float | int)
        ]
        for tensor in (*distinct.values(), *spreads, images, labels):
            digest.update(tensor.cpu().contiguous().flatten().view(torch.uint8).numpy().data)
        self.fingerprint = digest.hexdigest()

    def saved(self) -> dict[str, Any]:
        """The run as ``torch.load(weights_only=True)`` reads it back."""
        return {
            "fingerprint": self.fingerprint,
            "done": self.done,
            "errors": [[one] for one in self.errors],
            "choice": self.choice.get_state(),
            "noise": self.noise.get_state(),
        }


def start(distributions: int, count: int, seed: int, device: torch.device) -> MonteCarlo:
    """A run before its first step."""
    return MonteCarlo(
        count=count,
        seed=seed,
        choice=_generator(seed, "examples", torch.device("cpu")),
        noise=_generator(seed, "weights", device),
        errors=[0] * distributions,
    )


def resume(run: MonteCarlo, state: Mapping[str, Any]) -> None:
    """Bring a run to where another one was saved.

    Raises:
        UsageError: the state is of a run with other settings, weights or data, or is damaged.
    """
    if state.get("fingerprint") != run.fingerprint:
        raise UsageError(
            "The saved Monte Carlo run has other settings, weights, data or another device.",
            remedy="Start without it.",
        )
    distributions = len(run.errors)
    try:
        run.done = int(state["done"])
        run.errors = [int(errors) for (errors,) in state["errors"]]
        run.choice.set_state(state["choice"])
        run.noise.set_state(state["noise"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise UsageError(
            f"The saved Monte Carlo run is damaged: {error}.", remedy="Start without it."
        ) from error
    if not 0 <= run.done <= run.count or len(run.errors) != distributions:
        raise UsageError(
            f"The saved Monte Carlo run is damaged: {run.done} of {run.count} draws for "
            f"{len(run.errors)} of {distributions} distributions.",
            remedy="Start without it.",
        )


def _form(deviation: Deviation) -> float | str:
    """The number itself, or what kind of tensor stands for it."""
    if isinstance(deviation, float | int):
        return deviation
    return "rows" if isinstance(deviation, Factor) else "entries"


def _generator(seed: int, purpose: str, device: torch.device) -> torch.Generator:
    """A generator of its own for each purpose."""
    digest = hashlib.sha256(f"dlgen/gibbs/{seed}/{purpose}".encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:8], "big") >> 1)
