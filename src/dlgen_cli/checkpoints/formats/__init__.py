"""One reader a file: from the bytes of a format to named tensors."""
