"""The Rademacher-shell bounds of a checkpoint."""

from __future__ import annotations

from dlgen_cli import bounds
from dlgen_cli.bounds.rademacher import EXPECTED, MARKOV, PRINTED
from dlgen_cli.evidence.inputs import Inputs
from dlgen_cli.evidence.ledger import shared as ledger
from dlgen_cli.evidence.plan import Plan
from dlgen_cli.records import Bound
from dlgen_cli.spectra import largest_magnitude


def plan_rademacher(inputs: Inputs) -> Plan:
    """Prepare the Rademacher-shell bounds."""
    options = inputs.options
    hypothesis = inputs.hypothesis(inputs.read.tensors)
    magnitudes = {name: largest_magnitude(tensor) for name, tensor in hypothesis.items()}
    largest = max(magnitudes, key=lambda name: magnitudes[name])
    parameters = sum(tensor.numel() for tensor in hypothesis.values())

    def evaluate(delta: float) -> list[Bound]:
        box = bounds.Box(
            parameters=parameters,
            linf_norm=magnitudes[largest],
            largest=largest,
            epsilon=options.epsilon,
            examples=inputs.m,
            delta=delta,
        )
        lines = ledger.parameter_lines(inputs.checkpoint, inputs.read)
        assumptions = (*inputs.sample, *lines, ledger.bounded_loss_line())
        return [theorem.evaluate(box, assumptions) for theorem in (EXPECTED, MARKOV, PRINTED)]

    return Plan(settings={"epsilon": options.epsilon}, evaluate=evaluate, preferred=EXPECTED.name)
