"""Files of arrays."""

import numpy as np
from safetensors.numpy import save_file


def save(path, **arrays):
    """Write named arrays in the format of the suffix."""
    if path.suffix == ".npz":
        np.savez(path, **arrays)
    else:
        save_file(arrays, path)
    return path
