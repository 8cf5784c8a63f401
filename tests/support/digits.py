"""A network that was trained on digits, evaluated by hand."""

from safetensors.torch import load_file


def outputs(directory, images):
    """Logits of the run's three matrices for stored images."""
    weights = load_file(directory / "model.safetensors")
    x = images.flatten(1) / 8
    for index in range(3):
        x = x @ weights[f"layers.{index}.weight"].T
        x = x.relu() if index < 2 else x
    return x[:, :10]
