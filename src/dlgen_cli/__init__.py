"""dlgen: audits of trained neural networks with generalization bounds."""

from typing import Any


def __getattr__(name: str) -> Any:
    """The version, read where it is asked for: that takes longer than to import the rest."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import version

    return version("dlgen")
