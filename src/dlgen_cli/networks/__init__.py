"""State dicts to the linear maps that are really applied."""

from dlgen_cli.networks.chain import Chain, LinearLayer, read_chain

__all__ = ["Chain", "LinearLayer", "read_chain"]
