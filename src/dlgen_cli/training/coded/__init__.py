"""Training for a certificate: few coordinates, every bit of them paid."""

from dlgen_cli.training.coded.run import run_coded
from dlgen_cli.training.coded.settings import CodedSettings, make_coded_recipe

__all__ = ["CodedSettings", "make_coded_recipe", "run_coded"]
