"""The Rademacher-shell bounds of a checkpoint."""

from __future__ import annotations

from dlgen_cli import bounds
from dlgen_cli.bounds.rademacher import EXPECTED, MARKOV, PRINTED
from dlgen_cli.errors import TensorError
from dlgen_cli.evidence.hypothesis import hypothesis, parameter_lines
from dlgen_cli.evidence.inputs import Inputs
from dlgen_cli.evidence.ledger import shared as ledger
from dlgen_cli.evidence.plan import Plan, withheld_plan
from dlgen_cli.records import Bound
from dlgen_cli.spectra import largest_magnitude

_THEOREMS = (EXPECTED, MARKOV, PRINTED)


def plan_rademacher(inputs: Inputs) -> Plan:
    """Prepare the Rademacher-shell bounds."""
    options = inputs.options
    settings = {"epsilon": options.epsilon}
    lines = (*inputs.sample, *parameter_lines(inputs), ledger.bounded_loss_line())
    try:
        found = {
            name: (largest_magnitude(tensor), tensor.numel())
            for name, tensor in hypothesis(inputs, inputs.read.tensors).items()
        }
    except TensorError as error:
        return withheld_plan(settings, _THEOREMS, EXPECTED, lines, error)
    largest = max(found, key=lambda name: found[name][0])

    def evaluate(delta: float) -> list[Bound]:
        box = bounds.Box(
            parameters=sum(count for _, count in found.values()),
            linf_norm=found[largest][0],
            largest=largest,
            epsilon=options.epsilon,
            examples=inputs.m,
            delta=delta,
        )
        return [theorem.evaluate(box, lines) for theorem in _THEOREMS]

    return Plan(settings=settings, evaluate=evaluate, preferred=EXPECTED.name)
