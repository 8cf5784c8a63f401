"""Recomputes the bounds of a saved report from the numbers in it. No tensors, no network.

Informational, because no bound is made of them: the checkpoint's count of parameters (at least
those of its layers), the file sizes of `dlgen compress`, and of a layer the lower ends of norms,
``reshaped_error_upper``, and the norms before batch normalization is folded in. A change that no
float of a bound can show, as in a cap that does not bind, is no mismatch either.
"""

from dlgen_cli.bounds.recorded_fields import read_report
from dlgen_cli.verification.verify import Verification, verify

__all__ = ["Verification", "read_report", "verify"]
