"""The four postulates: four finished runs side by side, and a verdict on each postulate."""

from dlgen_cli.postulates.runs import REGIMES, FinishedRun, compare, read_runs
from dlgen_cli.postulates.verdicts import Verdict, judge

__all__ = ["REGIMES", "FinishedRun", "Verdict", "compare", "judge", "read_runs"]
