"""How a weight is made of stored tensors, as plain facts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Form = Literal["plain", "weight_norm", "spectral_norm", "scaled", "product"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One weight, and its bias, as functions of stored tensors.

    What a form makes of its sources:

    - ``plain``: the tensor itself.
    - ``weight_norm``: ``g v / ||v||`` of ``(g, v)``; the shape of g tells the axes of the norm.
    - ``spectral_norm``: ``W / (u^T W v)`` of ``(W, u, v)``, as in evaluation mode.
    - ``scaled``: ``(q - z) s`` of ``(q, s)`` or ``(q, s, z)``: quantised entries, their scale for
      the whole weight, for each row or for each block, and their zero point.
    - ``product``: ``B A`` of ``(B, A)``; it is never formed.

    Attributes:
        form: see above.
        sources: names of stored tensors.
        factor: multiplies the weight.
        is_transposed: the weight is stored as ``(inputs, outputs)``.
        rows: the outputs that are taken, from first to before last; None for all.
        bias: name of the stored bias; None without one.
        bias_rows: the entries of it that are taken; None for all.
    """

    form: Form = "plain"
    sources: tuple[str, ...]
    factor: float = 1.0
    is_transposed: bool = False
    rows: tuple[int, int] | None = None
    bias: str | None = None
    bias_rows: tuple[int, int] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The stored tensors that are read."""
        return self.sources if self.bias is None else (*self.sources, self.bias)
