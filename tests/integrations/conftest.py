"""Modules that stand for libraries which are not installed."""

import sys
from types import ModuleType

import pytest


@pytest.fixture
def stand_in(monkeypatch):
    """Import a file of ours with a class of a library replaced by an empty one."""

    def install(library, name, ours):
        parts = library.split(".")
        for depth in range(1, len(parts) + 1):
            module = ModuleType(".".join(parts[:depth]))
            monkeypatch.setitem(sys.modules, module.__name__, module)
        setattr(sys.modules[library], name, type(name, (), {}))
        monkeypatch.delitem(sys.modules, ours, raising=False)
        imported = __import__(ours, fromlist=["SpectralNorms"])
        monkeypatch.setitem(sys.modules, ours, imported)
        return imported

    return install
