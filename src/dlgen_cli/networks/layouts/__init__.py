"""What the names and shapes of a bare state dict say of its weights."""

from dlgen_cli.networks.layouts.recipe import Recipe

__all__ = ["Recipe"]
