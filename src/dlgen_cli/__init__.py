"""dlgen: audits of trained neural networks with generalization bounds."""

from importlib.metadata import version

__version__ = version("dlgen")
