"""Formulas of explanations, one line of text each, as MathML.

The lines are those of `dlgen explain`: fractions by ``/``, roots by ``√( … )``, powers by ``^``,
indices by ``_``, products by ``·``. What is no formula of this kind stays text.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass

_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?)"
    r"|(?P<name>(?:(?![²³⁻¹])[^\W\d_])+[\u0302]?)"
    r"|(?P<raised>⁻¹|²|³)"
    r"|(?P<sign>\S))"
)
_HAT = "\u0302"
_RAISED = {"²": "2", "³": "3", "⁻¹": "−1"}
_CLOSES = {"(": ")", "[": "]", "{": "}", "⌈": "⌉", "‖": "‖", "|": "|"}
_FUNCTIONS = frozenset({"ln", "max", "min", "sup", "inf", "kl", "P", "Bin", "det", "tr"})
#: Those that need no parentheses.
_APPLIED_BARE = ("ln", "det", "tr")
_SUMS, _PRODUCTS = ("+", "−", "-"), ("·", "×")
_BETWEEN = ("≤", "≥", "=", "<", ">", ":", ",", "|", "∈")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """A piece of markup.

    Attributes:
        markup: elements side by side.
        bare: the same without the parentheses around it, for fractions, roots and powers.
    """

    markup: str
    bare: str


class _NoFormulaError(Exception):
    """The text is not of this kind."""


def math(*lines: str) -> str:
    """A formula as an element ``math``; parts after the first begin with an equals sign.

    Args:
        lines: the formula, and what it is equal to; the first may be empty.

    Returns:
        Markup in which every name is escaped.
    """
    return f'<math displaystyle="true">{"<mo>=</mo>".join(_formula(line) for line in lines)}</math>'


def _formula(text: str) -> str:
    if not text:
        return ""
    try:
        return _Reader(text).whole()
    except _NoFormulaError:
        return f"<mtext>{html.escape(text)}</mtext>"


class _Reader:
    """Reads one line, from left to right."""

    def __init__(self, text: str) -> None:
        self._tokens = [(one.lastgroup or "", one[one.lastgroup or 0]) for one in _matches(text)]
        self._at = 0

    def whole(self) -> str:
        part = self._relation(end="")
        if self._at < len(self._tokens):
            raise _NoFormulaError
        return _row(part)

    def _peek(self) -> str:
        return self._tokens[self._at][1] if self._at < len(self._tokens) else ""

    def _take(self) -> tuple[str, str]:
        if self._at >= len(self._tokens):
            raise _NoFormulaError
        self._at += 1
        return self._tokens[self._at - 1]

    def _relation(self, end: str) -> str:
        """Sums with signs such as ``≤`` between them, up to a closing one."""
        found = self._sum(end)
        while (sign := self._peek()) in _BETWEEN and sign != end:
            self._take()
            found += _sign(sign) + self._sum(end)
        return found

    def _sum(self, end: str) -> str:
        found = ""
        if self._peek() in _SUMS:
            found = _sign(self._take()[1])
        found += self._product(end)
        while self._peek() in _SUMS:
            found += _sign(self._take()[1]) + self._product(end)
        return found

    def _product(self, end: str) -> str:
        """Factors, whether or not a sign stands between them; ``/`` makes a fraction of all."""
        part = self._power()
        while (sign := self._peek()) not in ("", end, *_SUMS, *_BETWEEN, *_CLOSES.values()):
            if sign == "/":
                self._take()
                part = _whole(f"<mfrac>{_row(part.bare)}{_row(self._power().bare)}</mfrac>")
            elif sign in _PRODUCTS:
                self._take()
                part = _whole(part.markup + _sign(sign) + self._power().markup)
            else:
                part = _whole(f"{part.markup}<mo>&#x2062;</mo>{self._power().markup}")
        return part.markup

    def _power(self) -> _Part:
        """A factor with its index, its prime and its exponents."""
        part = self._factor()
        while True:
            sign = self._peek()
            if sign == "_":
                self._take()
                part = _whole(f"<msub>{_row(part.markup)}{_row(self._index())}</msub>")
            elif sign == "^":
                self._take()
                part = _whole(f"<msup>{_row(part.markup)}{_row(self._exponent())}</msup>")
            elif sign == "′":
                self._take()
                part = _whole(f"{_row(part.markup)}<mo>′</mo>")  # the sign is raised as it is
            elif sign in _RAISED:
                self._take()
                part = _whole(f"<msup>{_row(part.markup)}<mn>{_RAISED[sign]}</mn></msup>")
            else:
                return part

    def _exponent(self) -> str:
        if self._peek() in _SUMS:
            return _sign(self._take()[1]) + self._factor().bare
        return self._factor().bare

    def _index(self) -> str:
        if self._peek() in _CLOSES:
            return self._factor().bare
        kind, text = self._take()
        if kind == "sign" and text != "∞":
            raise _NoFormulaError
        return f"<mn>{text}</mn>" if kind == "number" else f"<mi>{html.escape(text)}</mi>"

    def _factor(self) -> _Part:
        kind, text = self._take()
        if kind == "number":
            return _whole(f"<mn>{text}</mn>")
        if kind == "name":
            return self._name(text)
        if text == "√":
            return _whole(f"<msqrt>{self._factor().bare}</msqrt>")
        if text in _CLOSES:
            return self._group(text)
        if text in "∞½π…":
            return _whole(f"<mi>{text}</mi>")
        raise _NoFormulaError

    def _name(self, text: str) -> _Part:
        name = f"<mi>{html.escape(text.rstrip(_HAT))}</mi>"
        if text.endswith(_HAT):
            name = f'<mover accent="true">{name}<mo>^</mo></mover>'
        applied = self._peek() in ("(", "{", *_RAISED)
        if text not in _FUNCTIONS or not (applied or text in _APPLIED_BARE):
            return _whole(name)
        if self._peek() in _RAISED:
            name = f"<msup>{name}<mn>{_RAISED[self._take()[1]]}</mn></msup>"
        space = "" if self._peek() in _CLOSES else '<mspace width="0.17em"></mspace>'
        return _whole(f"{name}<mo>&#x2061;</mo>{space}{self._power().markup}")

    def _group(self, opening: str) -> _Part:
        closing = _CLOSES[opening]
        inside = self._relation(end=closing)
        if self._take()[1] != closing:
            raise _NoFormulaError
        grows = "true" if "<mfrac" in inside or "<msqrt" in inside else "false"
        fences = (f'<mo stretchy="{grows}">{one}</mo>' for one in (opening, closing))
        markup = f"<mrow>{next(fences)}{inside}{next(fences)}</mrow>"
        return _Part(markup=markup, bare=inside if opening == "(" else markup)


def _matches(text: str) -> list[re.Match[str]]:
    found, at = [], 0
    text = text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise _NoFormulaError
        found.append(match)
        at = match.end()
    return found


def _whole(markup: str) -> _Part:
    return _Part(markup=markup, bare=markup)


def _row(markup: str) -> str:
    return f"<mrow>{markup}</mrow>"


def _sign(sign: str) -> str:
    return f"<mo>{html.escape(sign.replace('-', '−'))}</mo>"
