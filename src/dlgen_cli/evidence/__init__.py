"""Checkpoint and data to the numbers and ledger lines of a theorem: one theorem a file."""
