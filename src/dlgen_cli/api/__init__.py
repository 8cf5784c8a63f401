"""dlgen from Python: a network goes in, a `Report` comes out.

    from dlgen_cli import api

    report = api.audit(model, input_shape=(3, 32, 32), m=50_000)
    print(report)                                   # as in the terminal
    report.bounds["compression.stored"].value
    report.save("audit.html")

A network is a path (whatever the command line takes), a state dict, or an ``nn.Module``, which is
traced as it is. Every function takes the options of the command of its name, and raises the
`dlgen_cli.errors.DlgenError` that the command line would print.
"""

from dlgen_cli.api.commands import (
    audit,
    certify,
    compress,
    explain,
    make_anchor,
    measure,
    measure_series,
    read_state_dict,
    verify,
)
from dlgen_cli.api.data import LabelledData
from dlgen_cli.api.network import Network
from dlgen_cli.api.report import Report
from dlgen_cli.api.saved_report import read_report
from dlgen_cli.api.settings import AnchorSettings, AuditSettings, CertifySettings

__all__ = [
    "AnchorSettings",
    "AuditSettings",
    "CertifySettings",
    "LabelledData",
    "Network",
    "Report",
    "audit",
    "certify",
    "compress",
    "explain",
    "make_anchor",
    "measure",
    "measure_series",
    "read_report",
    "read_state_dict",
    "verify",
]
