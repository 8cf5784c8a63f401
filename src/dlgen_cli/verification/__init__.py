"""Recomputes the bounds of a saved report from the numbers in it. No tensors, no network."""

from dlgen_cli.verification.reading import read_report
from dlgen_cli.verification.verify import Verification, verify

__all__ = ["Verification", "read_report", "verify"]
