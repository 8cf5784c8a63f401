"""Bytes to named tensors, told by content, one tensor at a time."""
