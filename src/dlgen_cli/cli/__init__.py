"""Flags to calls: the only room that knows Typer and prints."""
