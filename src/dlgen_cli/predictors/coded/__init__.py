"""Networks that a seed and few coordinates determine, and what it costs to write them down."""

from dlgen_cli.predictors.coded.code_file import Code, code_facts, header, read_code, write_code
from dlgen_cli.predictors.coded.gaussian import EXPONENTS, GaussianCoordinates, read_gaussian
from dlgen_cli.predictors.coded.network import (
    ARCHITECTURES,
    KERNEL,
    CodedNetwork,
    Description,
    build_network,
    describe_run,
    family_choices,
)

__all__ = [
    "ARCHITECTURES",
    "EXPONENTS",
    "KERNEL",
    "Code",
    "CodedNetwork",
    "Description",
    "GaussianCoordinates",
    "build_network",
    "code_facts",
    "describe_run",
    "family_choices",
    "header",
    "read_code",
    "read_gaussian",
    "write_code",
]
