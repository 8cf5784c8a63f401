"""State dicts of random matrices."""

import torch


def save_chain(path, shapes, *, scale=1.0, seed=0):
    """Matrices ``layers.0.weight`` and on, of these shapes, in a torch file."""
    generator = torch.Generator().manual_seed(seed)
    state = {
        f"layers.{n}.weight": torch.randn(shape, generator=generator, dtype=torch.float64) * scale
        for n, shape in enumerate(shapes)
    }
    torch.save(state, path)
    return state
