"""Small files of features: rows around a centre for each class."""

import numpy as np


def arrays(seed=0, train=240, test=60, columns=6, classes=3, spread=0.7):
    """Rows and labels of a training pool and a test set, by the names that files have."""
    draw = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(classes, columns))
    found = {}
    for part, count in (("train", train), ("test", test)):
        labels = np.arange(count) % classes
        noise = draw.normal(size=(count, columns)) * spread
        found[f"{part}_x"] = (centres[labels] + noise).astype(np.float32)
        found[f"{part}_y"] = labels
    return found


def write(path, **changes):
    """A file of features with some arrays changed, or left out for None."""
    table = {name: one for name, one in (arrays() | changes).items() if one is not None}
    np.savez(path, **table)
    return path
