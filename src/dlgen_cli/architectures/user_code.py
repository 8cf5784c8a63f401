"""A network of the user's own: ``FILE.py:NAME`` or ``package.module:NAME``.

Loading one runs the user's code. Only what a user typed may come here, never a name that a
checkpoint records.
"""

from __future__ import annotations

import copy
import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from dlgen_cli.errors import UsageError

_MOST_NAMES = 6


def is_code(name: str) -> bool:
    """Whether a name of an architecture is a place in code: ``FILE.py:NAME``, ``module:NAME``."""
    return ":" in name and not name.startswith(("timm:", "transformers:"))


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeConstructor:
    """What makes a network by the user's code.

    Attributes:
        reference: as the user gave it.
        folder: where the code imports its neighbours from.
        target: a class or a function that returns a module, or a module.
    """

    reference: str
    folder: Path
    target: Callable[..., Any] | nn.Module

    def accepts(self, argument: str) -> bool:
        """Whether the constructor names this argument."""
        if isinstance(self.target, nn.Module):
            return False
        try:
            return argument in inspect.signature(self.target).parameters
        except (TypeError, ValueError):
            return False

    def __call__(self, **arguments: Any) -> nn.Module:
        """Make the network; the same entries each time, the global random generator as before.

        Raises:
            UsageError: the code fails, or returns something else than a module.
        """
        if isinstance(self.target, nn.Module):
            if arguments:
                raise UsageError(
                    f"{self.reference} is a module already; arguments were given.",
                    remedy="Leave --arch-arg out, or name its class.",
                )
            return copy.deepcopy(self.target)
        with torch.random.fork_rng(devices=[]), _search_path(self.folder):
            torch.manual_seed(0)
            try:
                made = self.target(**arguments)
            except (Exception, SystemExit) as error:  # whatever the user's code raises
                raise UsageError(
                    f"{self.reference} cannot be built: {_told(error)}.", remedy=self._remedy()
                ) from error
        if not isinstance(made, nn.Module):
            raise UsageError(
                f"{self.reference} returned a {type(made).__name__}; a torch.nn.Module was "
                "expected.",
                remedy="Name a class of a module, or a function that returns one.",
            )
        if any(is_lazy(one) for one in made.parameters()):
            raise UsageError(
                f"{self.reference} has lazy layers, whose sizes are not known before a first pass.",
                remedy="Give the layers their sizes.",
            )
        return made

    def _remedy(self) -> str:
        try:
            signature = f" It takes {inspect.signature(self.target)}."
        except (TypeError, ValueError):
            signature = ""
        return f"Give its arguments with --arch-arg KEY=VALUE.{signature}"


def code_constructor(reference: str) -> CodeConstructor:
    """Run the user's file or import the user's module, and find the network in it.

    Args:
        reference: ``FILE.py:NAME`` or ``package.module:NAME``; NAME may have dots.

    Raises:
        UsageError: there is no such file, module or name (near ones are named), or the code fails.
    """
    where, _, name = reference.rpartition(":")
    if where.endswith(".py") and not Path(where).is_file():
        raise UsageError(
            f"--arch names the file {where}; there is none.",
            remedy="Give --arch FILE.py:NAME with the path of the file.",
        )
    folder = Path(where).resolve().parent if where.endswith(".py") else Path.cwd()
    with torch.random.fork_rng(devices=[]), _search_path(folder):
        module = _load(where)
    target: Any = module
    for part in name.split("."):
        target = getattr(target, part, None)
    if not (callable(target) or isinstance(target, nn.Module)):
        raise UsageError(
            f"{where} has no class, function or module of the name {name!r}.",
            remedy=_names_remedy(module, where, name),
        )
    return CodeConstructor(reference=reference, folder=folder, target=target)


def _load(where: str) -> ModuleType:
    try:
        if not where.endswith(".py"):
            return importlib.import_module(where)
        path = Path(where)
        name = f"_dlgen_code_{path.stem}"
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise ImportError(f"{where} is no Python file")  # noqa: TRY301
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # dataclasses look their module up
        spec.loader.exec_module(module)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        is_itself = where == missing or where.startswith(f"{missing}.")
        raise UsageError(
            f"There is no module {missing}, which --arch {where} "
            + ("names." if is_itself else "imports."),
            remedy="Give a module that can be imported from this folder, or FILE.py:NAME."
            if is_itself
            else f"Install {missing.split('.')[0]}, or run dlgen where it is.",
        ) from error
    except (Exception, SystemExit) as error:  # whatever the user's code raises
        raise UsageError(
            f"The code of --arch {where} fails: {_told(error)}.",
            remedy="Mend it: it must load without arguments, as an import does.",
        ) from error
    return module


@contextmanager
def _search_path(folder: Path) -> Iterator[None]:
    """Let code import its neighbours, as Python does for a script."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        if str(folder) in sys.path:
            sys.path.remove(str(folder))


def _told(error: BaseException) -> str:
    """What was raised, with its place in the user's code."""
    lines = traceback.extract_tb(error.__traceback__)
    is_theirs = bool(lines) and lines[-1].filename != __file__
    place = f" ({Path(lines[-1].filename).name}, line {lines[-1].lineno})" if is_theirs else ""
    message = str(error).strip().splitlines()
    return f"{type(error).__name__}: {message[0].rstrip('.') if message else 'no message'}{place}"


def _names_remedy(module: ModuleType, where: str, name: str) -> str:
    own = [
        key
        for key, value in vars(module).items()
        if not key.startswith("_")
        and (
            isinstance(value, nn.Module)
            or (
                (
                    inspect.isroutine(value)
                    or (inspect.isclass(value) and issubclass(value, nn.Module))
                )
                and getattr(value, "__module__", None) == module.__name__
            )
        )
    ]
    if not own:
        return "It defines no class or function of its own."
    near = get_close_matches(name, own, n=_MOST_NAMES, cutoff=0.5)
    listed = ", ".join(f"{where}:{one}" for one in (near or own)[:_MOST_NAMES])
    return f"Did you mean {listed}?" if near else f"It has {listed}."
