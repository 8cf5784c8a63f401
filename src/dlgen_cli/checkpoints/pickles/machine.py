"""Pickles read as data: a machine that knows no function but those it is given.

Instructions are decoded by the standard library's `pickletools`, which runs nothing. Every name
that a pickle refers to is looked up in a table of ours. What is not there stays a name: what it
would make is a bag of what it was given. The number of instructions is bounded, and so are memory
and time.
"""

from __future__ import annotations

import io
import pickletools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from dlgen_cli.checkpoints.garbage_collection import uncollected
from dlgen_cli.checkpoints.stored import brief

#: Bytes of pickles at the start of a file, and of one entry of an archive.
MOST_BYTES = 1 << 26
_MOST_INSTRUCTIONS = 1_500_000
_MOST_BITS = 2048  # of a number
_MOST_KEY = 1 << 16  # characters

#: Finds what a name stands for; None where it stands for nothing but itself.
FindName = Callable[[str, str], Any]

#: Modules whose functions act on the machine. They would never run here; a checkpoint that calls
#: one is refused because it was made to do harm.
_ACTING_MODULES = {
    *("os", "posix", "nt", "sys", "subprocess", "shutil", "runpy", "importlib", "ctypes"),
    *("socket", "pty", "pickle", "_pickle", "marshal", "code", "pip", "timeit", "webbrowser"),
}
_ACTING = frozenset(
    f"{module}.{name}"
    for module, names in {
        "builtins": "eval exec compile open input breakpoint globals vars setattr delattr "
        "__import__ exit quit",
        "io": "open",
        "_io": "open FileIO",
        "torch": "load",
        "torch.hub": "load",
        "torch.jit": "load",
    }.items()
    for name in names.split()
)
#: Modules that Python 3 calls otherwise; pickles of protocol 2 keep the old names.
_RENAMED = {"__builtin__": "builtins", "copy_reg": "copyreg"}


class UnknownNameError(ValueError):
    """A pickle calls a function that acts."""


class Bag(dict[str, Any]):
    """An object whose class is not known: what it was given, and nothing that acts.

    Its entries are its attributes and, of a dictionary of its own kind, its items.

    Args:
        kind: the name of its class or of the function that would make it.
        arguments: what that was called with.
    """

    __slots__ = ("arguments", "kind", "listed")
    __hash__ = object.__hash__  # type: ignore[assignment]

    def __init__(self, kind: str = "", arguments: tuple[Any, ...] = ()) -> None:
        super().__init__()
        self.kind = kind
        self.arguments = arguments
        self.listed: list[Any] = []  # items of a list of its own kind

    def __eq__(self, other: object) -> bool:
        """A bag equals itself alone."""
        return self is other

    def set_state(self, state: Any) -> None:
        """Take over attributes: a dictionary, two of them, or what else describes the object."""
        is_pair = isinstance(state, tuple) and len(state) == 2
        states = state if is_pair and all(isinstance(s, dict | None) for s in state) else (state,)
        for one in states:
            if isinstance(one, dict):
                self.update(one)
            elif one is not None:
                self.listed.append(one)


@dataclass(frozen=True, slots=True)
class Name:
    """A class or function that a pickle refers to; it is never looked for, nor called.

    Attributes:
        module: where it would be.
        name: what it is called there.
    """

    module: str
    name: str

    @property
    def text(self) -> str:
        """Both together."""
        return f"{self.module}.{self.name}"

    def __call__(self, *arguments: Any) -> Bag:
        """What it would make: a bag of what it was given.

        Raises:
            UnknownNameError: it would act.
        """
        if self.text == "builtins.getattr":  # how some versions of Python keep members of enums
            if len(arguments) == 2 and isinstance(arguments[0], Name | Bag):
                return Bag(self.text, arguments)
            raise UnknownNameError(self.text)
        if self.module.split(".")[0] in _ACTING_MODULES or self.text in _ACTING:
            raise UnknownNameError(self.text)
        if self.text == "copyreg._reconstructor" and arguments:
            kind, *rest = arguments
            return Bag(kind.text if isinstance(kind, Name) else "", tuple(rest))
        return Bag(self.text, arguments)


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
        Lists, tuples, dictionaries whose keys are strings (or bags), numbers, strings, names, bags,
        and what the functions of the table made. A set is a list.

    Raises:
        UnknownNameError: the pickle calls a function that acts.
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
        if isinstance(target, Bag):
            target.listed.extend(values)
        elif isinstance(target, list):
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
            put(target, zip(values[::2], values[1::2], strict=True))
        elif not isinstance(target, Inert):
            raise TypeError(f"cannot set items of {brief(target)}")

    def name_of_text(self, text: str) -> None:
        module, _, name = text.partition(" ")
        self._stack.append(self._name(module, name))

    def _name(self, module: str, name: str) -> Any:
        module = _RENAMED.get(module, module)
        found = self._find_name(module, name)
        return Name(module, name) if found is None else found

    def name_of_stack(self, _argument: Any) -> None:
        name, module = self.pop(), self.pop()
        if not (isinstance(name, str) and isinstance(module, str)):
            raise TypeError("a name that is no text")
        self._stack.append(self._name(module, name))

    def call(self, _argument: Any) -> None:
        arguments, function = self.pop(), self.pop()
        if not callable(function) or not isinstance(arguments, tuple):
            raise TypeError(f"{brief(function)} cannot be called")
        for each in arguments:
            self._spend(each)
        self._stack.append(function(*arguments))

    def call_with_names(self, _argument: Any) -> None:
        names = self.pop()
        self.call(None)
        if isinstance(made := self._top(), Bag) and isinstance(names, dict):
            made.arguments = (*made.arguments, names)

    def make(self, _argument: Any) -> None:
        """An object of a class and arguments since the mark: protocols 0 and 1."""
        function, *arguments = self._since_mark()
        self._stack += [function, tuple(arguments)]
        self.call(None)

    def make_of_text(self, text: str) -> None:
        arguments = tuple(self._since_mark())
        self.name_of_text(text)
        self._stack.append(arguments)
        self.call(None)

    def build(self, _argument: Any) -> None:
        state, target = self.pop(), self._top()
        set_state = getattr(target, "set_state", None)
        if set_state is not None:  # a dictionary or a tensor has none
            self._spend(state)
            set_state(state)

    def refer(self, _argument: Any) -> None:
        if self._read_reference is None:
            raise ValueError("a persistent id where there is to be none")
        self._stack.append(self._read_reference(self.pop()))


def put(target: dict[Any, Any], pairs: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
    """Set items of a dictionary whose keys are strings or bags, none of them slow to find.

    Two keys of one text, such as 1 and "1", stay apart.
    """
    for key, value in pairs:
        if isinstance(key, str | Bag):
            target[key] = value
            continue
        text = key_text(key)
        target[f"{text} ({len(target)})" if text in target else text] = value
    return target


def key_text(key: Any, level: int = 0) -> str:
    """A key as text, the same on every run."""
    if key is None or isinstance(key, str | int | float):
        text = str(key) if level == 0 else repr(key)
        return text if len(text) <= _MOST_KEY else f"{text[:_MOST_KEY]}…"
    if isinstance(key, bytes):
        return key[:_MOST_KEY].decode("utf-8", "backslashreplace")
    if isinstance(key, Name):
        return key.text
    if isinstance(key, Bag):
        values = (*key.arguments, *key.values())
        shown = ", ".join(key_text(one, level + 1) for one in values[:8]) if level < 3 else "…"
        return f"{key.kind.rsplit('.', 1)[-1]}({shown})"
    if isinstance(key, tuple) and level < 3 and len(key) <= 8:
        parts = [key_text(one, level + 1) for one in key]
        return f"({', '.join(parts)}{',' * (len(parts) == 1)})"
    return type(key).__name__


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
    "EMPTY_SET": lambda machine, _: machine.push([]),
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
    "ADDITEMS": _Machine.append_since_mark,
    "FROZENSET": _Machine.list_since_mark,
    "GLOBAL": _Machine.name_of_text,
    "STACK_GLOBAL": _Machine.name_of_stack,
    "REDUCE": _Machine.call,
    "NEWOBJ": _Machine.call,
    "NEWOBJ_EX": _Machine.call_with_names,
    "OBJ": _Machine.make,
    "INST": _Machine.make_of_text,
    "BUILD": _Machine.build,
    "BINPERSID": _Machine.refer,
}
