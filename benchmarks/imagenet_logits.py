"""ImageNet logits of a folder of images, as `dlgen --features` reads them; no label enters.

    python benchmarks/imagenet_logits.py DIR mobilenet_v2 mobilenet_v2-b0353104.pth 224 out.npz
    python benchmarks/imagenet_logits.py DIR efficientnet-lite2 efficientnet_lite2.pth 128 out.npz

`DIR` holds ``train/CLASS/*`` and ``test/CLASS/*``; classes and files are taken in the order of
their names. The second network's code is the package efficientnet-lite-pytorch.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

BATCH = 100
#: Means and deviations of the pixels that each network was trained with.
PIXELS = {
    "mobilenet_v2": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "efficientnet-lite2": ((0.498,) * 3, (0.502,) * 3),
}


def load_network(name: str, weights: Path) -> nn.Module:
    """The network with its own head of 1,000 classes, in evaluation mode."""
    if name == "mobilenet_v2":
        from torchvision.models import mobilenet_v2

        network: nn.Module = mobilenet_v2()
    else:
        from efficientnet_lite_pytorch import EfficientNet

        network = EfficientNet.from_name(name)
    network.load_state_dict(torch.load(weights, weights_only=True))
    return network.eval()


def logits(network: nn.Module, files: list[Path], name: str, size: int) -> np.ndarray:
    """One row for each image, resized bilinearly to ``size`` pixels a side."""
    mean, deviation = (torch.tensor(one)[:, None, None] for one in PIXELS[name])
    rows = []
    for start in range(0, len(files), BATCH):
        images = [np.array(Image.open(one).convert("RGB")) for one in files[start : start + BATCH]]
        pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
        pixels = nn.functional.interpolate(pixels, size=(size, size), mode="bilinear")
        rows.append(network((pixels - mean) / deviation).numpy())
    return np.concatenate(rows)


def main() -> None:
    """Write the arrays train_x, train_y, test_x and test_y."""
    root, name, weights, size, out = sys.argv[1:]
    network, found = load_network(name, Path(weights)), {}
    for split in ("train", "test"):
        classes = sorted((Path(root) / split).iterdir())
        files = [
            (file, label) for label, one in enumerate(classes) for file in sorted(one.iterdir())
        ]
        found[f"{split}_x"] = logits(network, [file for file, _ in files], name, int(size))
        found[f"{split}_y"] = np.array([label for _, label in files])
    np.savez(out, **found)


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
