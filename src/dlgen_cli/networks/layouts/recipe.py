"""How a weight is made of stored tensors, as plain facts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Form = Literal[
    "plain",
    "weight_norm",
    "spectral_norm",
    "scaled",
    "masked",
    "product",
    "hadamard",
    "kronecker",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One weight, and its bias, as functions of stored tensors.

    What a form makes of its sources:

    - ``plain``: the tensor itself.
    - ``weight_norm``: ``g v / ||v||`` of ``(g, v)``; the shape of g tells the axes of the norm.
    - ``spectral_norm``: ``W / (u^T W v)`` of ``(W, u, v)``, as in evaluation mode.
    - ``scaled``: ``(q - z) s`` of ``(q, s)`` or ``(q, s, z)``: quantised entries, their scale for
      the whole weight, for each row or for each block, and their zero point.
    - ``masked``: ``W * M`` of ``(W, M)``, entry by entry.
    - ``product``: ``B A`` of ``(B, A)``, or ``B diag(e) A`` of ``(B, A, e)``; it is never formed.
    - ``hadamard``: ``(A B) * (C D)`` of ``(A, B, C, D)``, entry by entry.
    - ``kronecker``: the Kronecker product of two factors, each of one source or the product of two.

    Attributes:
        form: see above.
        sources: names of stored tensors.
        factor: multiplies the weight.
        split: sources of the first factor of a Kronecker product.
        member: the matrix that is taken of a stack, by its place on the leading axes.
        is_transposed: the weight is stored as ``(inputs, outputs)``.
        rows: the outputs that are taken, from first to before last; None for all.
        bias: name of the stored bias; None without one.
        bias_rows: the entries of it that are taken; None for all.
    """

    form: Form = "plain"
    sources: tuple[str, ...]
    factor: float = 1.0
    split: int = 1
    member: tuple[int, ...] = ()
    is_transposed: bool = False
    rows: tuple[int, int] | None = None
    bias: str | None = None
    bias_rows: tuple[int, int] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The stored tensors that are read."""
        return self.sources if self.bias is None else (*self.sources, self.bias)
