"""Pickles of torch, read as data: no code runs."""
