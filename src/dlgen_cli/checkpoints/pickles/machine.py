"""Pickles read as data: a machine that knows no function but those it is given.

Instructions are decoded by the standard library's `pickletools`, which runs nothing. Every name
that a pickle refers to is looked up in a table of ours; a name that is not there ends the reading.
The number of instructions is bounded, and so are memory and time.
"""

from __future__ import annotations

import io
import pickletools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from dlgen_cli.checkpoints.garbage_collection import uncollected
from dlgen_cli.checkpoints.stored import brief

#: Bytes of pickles at the start of a file, and of one entry of an archive.
MOST_BYTES = 1 << 26
_MOST_INSTRUCTIONS = 1_500_000
_MOST_BITS = 2048  # of a number

#: Finds what a name stands for; raises `UnknownNameError`.
FindName = Callable[[str, str], Callable[..., Any]]


class UnknownNameError(ValueError):
    """A pickle refers to a function or class that is not on the list."""


class Bag(dict[str, Any]):
    """An object whose class is not known: its attributes, and nothing that acts."""

    __hash__ = object.__hash__  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        """A bag equals itself alone."""
        return self is other


class Inert:
    """An object that is of no interest."""


def read_pickle(
    stream: io.BytesIO,
    find_name: FindName,
    read_reference: Callable[[Any], Any] | None = None,
) -> Any:
    """Read one pickle; the stream then stands behind it.

    Args:
        stream: in memory, so that no length in the pickle can ask for more than there is.
        find_name: what a module and a name stand for.
        read_reference: what a persistent id stands for; None where there is to be none.

    Returns:
        Lists, tuples, dictionaries whose keys are strings (or bags), numbers, strings, and what the
        functions of the table made.

    Raises:
        UnknownNameError: the pickle needs a name that is not on the list.
        ValueError: it is damaged or too long.
    """
    machine = _Machine(find_name, read_reference)
    try:
        with uncollected():
            for opcode, argument, _ in pickletools.genops(stream):
                machine.step(opcode.name, argument)
            return machine.pop()
    except UnknownNameError:
        raise
    except Exception as error:  # a damaged pickle fails in any way
        reason = " ".join(str(error).split())[:200]
        raise ValueError(reason or type(error).__name__) from error


class _Machine:
    """The stack, the marks and the memo of a pickle."""

    def __init__(self, find_name: FindName, read_reference: Callable[[Any], Any] | None) -> None:
        self._find_name = find_name
        self._read_reference = read_reference
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        self._left = _MOST_INSTRUCTIONS

    def step(self, name: str, argument: Any) -> None:
        """Do one instruction."""
        self._left -= 1
        if self._left < 0:
            raise ValueError(f"more than {_MOST_INSTRUCTIONS:,} instructions")
        action = _ACTIONS.get(name)
        if action is None:
            raise ValueError(f"the instruction {name} is not allowed")
        action(self, argument)

    def pop(self) -> Any:
        """Take the value on top of the stack."""
        if not self._stack or (self._marks and len(self._stack) <= self._marks[-1]):
            raise ValueError("a value is missing")
        return self._stack.pop()

    def _spend(self, copied: Any) -> None:
        """Count what is copied as instructions: a short pickle must not ask for much."""
        self._left -= len(copied) if isinstance(copied, list | tuple | dict) else 0

    def _top(self) -> Any:
        if not self._stack:
            raise ValueError("a value is missing")
        return self._stack[-1]

    def _since_mark(self) -> list[Any]:
        mark = self._marks.pop()
        values = self._stack[mark:]
        del self._stack[mark:]
        return values

    def push(self, value: Any) -> None:
        self._stack.append(value)

    def push_number(self, value: int) -> None:
        if value.bit_length() > _MOST_BITS:
            raise ValueError(f"a number of {value.bit_length():,} bits")
        self._stack.append(value)

    def go_on(self, _argument: Any) -> None:
        pass

    def mark(self, _argument: Any) -> None:
        self._marks.append(len(self._stack))

    def drop(self, _argument: Any) -> None:
        if self._marks and self._marks[-1] == len(self._stack):
            self._marks.pop()
        else:
            self.pop()

    def drop_to_mark(self, _argument: Any) -> None:
        self._since_mark()

    def duplicate(self, _argument: Any) -> None:
        self._stack.append(self._top())

    def remember(self, index: int | None) -> None:
        self._memo[len(self._memo) if index is None else index] = self._top()

    def recall(self, index: int) -> None:
        self._stack.append(self._memo[index])

    def tuple_since_mark(self, _argument: Any) -> None:
        self._stack.append(tuple(self._since_mark()))

    def list_since_mark(self, _argument: Any) -> None:
        self._stack.append(self._since_mark())

    def dict_since_mark(self, _argument: Any) -> None:
        values = self._since_mark()
        self._stack.append({})
        self._set_items(values)

    def tuple_of(self, count: int) -> None:
        values = [self.pop() for _ in range(count)]
        self._stack.append(tuple(reversed(values)))

    def append(self, _argument: Any) -> None:
        self._extend([self.pop()])

    def append_since_mark(self, _argument: Any) -> None:
        self._extend(self._since_mark())

    def _extend(self, values: list[Any]) -> None:
        target = self._top()
        if isinstance(target, list):
            target.extend(values)
        elif not isinstance(target, Inert):
            raise TypeError(f"cannot append to {brief(target)}")

    def set_item(self, _argument: Any) -> None:
        value, key = self.pop(), self.pop()
        self._set_items([key, value])

    def set_items_since_mark(self, _argument: Any) -> None:
        self._set_items(self._since_mark())

    def _set_items(self, values: list[Any]) -> None:
        target = self._top()
        if isinstance(target, dict):
            target.update(as_dict(zip(values[::2], values[1::2], strict=True)))
        elif not isinstance(target, Inert):
            raise TypeError(f"cannot set items of {brief(target)}")

    def set_since_mark(self, _argument: Any) -> None:
        self._since_mark()
        self._stack.append(Inert())

    def name_of_text(self, text: str) -> None:
        module, _, name = text.partition(" ")
        self._stack.append(self._find_name(module, name))

    def name_of_stack(self, _argument: Any) -> None:
        name, module = self.pop(), self.pop()
        if not (isinstance(name, str) and isinstance(module, str)):
            raise TypeError("a name that is no text")
        self._stack.append(self._find_name(module, name))

    def call(self, _argument: Any) -> None:
        arguments, function = self.pop(), self.pop()
        if not callable(function) or not isinstance(arguments, tuple):
            raise TypeError(f"{brief(function)} cannot be called")
        for each in arguments:
            self._spend(each)
        self._stack.append(function(*arguments))

    def call_with_names(self, _argument: Any) -> None:
        self.pop()
        self.call(None)

    def build(self, _argument: Any) -> None:
        state, target = self.pop(), self._top()
        if not isinstance(target, Bag):
            return  # attributes of a dictionary or a tensor
        self._spend(state)
        if isinstance(state, dict):
            target.update(state)
        else:
            target["state"] = state

    def refer(self, _argument: Any) -> None:
        if self._read_reference is None:
            raise ValueError("a persistent id where there is to be none")
        self._stack.append(self._read_reference(self.pop()))


def as_dict(pairs: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
    """A dictionary whose keys are strings or bags: no key costs more to find than another."""
    return {_as_key(key): value for key, value in pairs}


def _as_key(key: Any) -> Any:
    if isinstance(key, str | Bag):
        return key
    if key is None or isinstance(key, int | float):
        return str(key)
    if isinstance(key, bytes):
        return key.decode("utf-8", "backslashreplace")
    return Inert()


_TEXTS = (
    "FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8 "
    "UNICODE SHORT_BINUNICODE BINUNICODE BINUNICODE8"
)
_ACTIONS: Mapping[str, Callable[[_Machine, Any], None]] = {
    **dict.fromkeys(_TEXTS.split(), _Machine.push),
    **dict.fromkeys(("INT", "BININT", "BININT1", "BININT2"), _Machine.push_number),
    **dict.fromkeys(("LONG", "LONG1", "LONG4"), _Machine.push_number),
    **dict.fromkeys(("PROTO", "FRAME", "STOP"), _Machine.go_on),
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(value=True),
    "NEWFALSE": lambda machine, _: machine.push(value=False),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "EMPTY_SET": lambda machine, _: machine.push(Inert()),
    "MARK": _Machine.mark,
    "POP": _Machine.drop,
    "POP_MARK": _Machine.drop_to_mark,
    "DUP": _Machine.duplicate,
    "PUT": _Machine.remember,
    "BINPUT": _Machine.remember,
    "LONG_BINPUT": _Machine.remember,
    "MEMOIZE": _Machine.remember,
    "GET": _Machine.recall,
    "BINGET": _Machine.recall,
    "LONG_BINGET": _Machine.recall,
    "TUPLE": _Machine.tuple_since_mark,
    "TUPLE1": lambda machine, _: machine.tuple_of(1),
    "TUPLE2": lambda machine, _: machine.tuple_of(2),
    "TUPLE3": lambda machine, _: machine.tuple_of(3),
    "LIST": _Machine.list_since_mark,
    "DICT": _Machine.dict_since_mark,
    "APPEND": _Machine.append,
    "APPENDS": _Machine.append_since_mark,
    "SETITEM": _Machine.set_item,
    "SETITEMS": _Machine.set_items_since_mark,
    "ADDITEMS": _Machine.drop_to_mark,
    "FROZENSET": _Machine.set_since_mark,
    "GLOBAL": _Machine.name_of_text,
    "STACK_GLOBAL": _Machine.name_of_stack,
    "REDUCE": _Machine.call,
    "NEWOBJ": _Machine.call,
    "NEWOBJ_EX": _Machine.call_with_names,
    "BUILD": _Machine.build,
    "BINPERSID": _Machine.refer,
}
