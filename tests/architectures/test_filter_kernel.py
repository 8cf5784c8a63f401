"""The kernel machine on a bank of fixed filters."""

import math

import torch

from dlgen_cli import architectures


def images(count: int, seed: int = 0) -> torch.Tensor:
    source = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, 16, 16, generator=source) / math.sqrt(3 * 16 * 16)


def kernel_machine(landmarks: torch.Tensor) -> torch.nn.Module:
    module = architectures.build("filter_kernel", width=6, pixels=16, landmarks=len(landmarks))
    module.get_buffer("landmarks").copy_(landmarks)
    return module


def test_the_features_of_landmarks_have_the_kernel_as_their_products():
    z, x = images(20, 1), images(4, 2)
    module = kernel_machine(z)
    blocks_z, blocks_x = module.bank(z), module.bank(x)
    pairs = list(zip(blocks_x, blocks_z, strict=True))
    expected = sum(torch.exp(one @ other.T - 1) for one, other in pairs) / len(pairs)
    square = sum(torch.exp(one @ one.T - 1) for one in blocks_z).double() / len(pairs)
    noisy = square + 1e-3 * torch.eye(20)
    exact = expected.double() @ torch.linalg.solve(noisy, expected.double().T)
    found = module.features(x)
    assert torch.allclose((found @ found.T).double(), exact, atol=1e-3)
    assert (found.square().sum(1) < 1).all()
    nearly = module.features(z)
    assert torch.allclose(nearly @ nearly.T, square.float(), atol=5e-3)


def test_other_landmarks_are_noticed():
    module = kernel_machine(images(5, 1))
    before = module.features(images(3))
    module.get_buffer("landmarks").copy_(images(5, 3))
    assert not torch.allclose(module.features(images(3)), before, atol=1e-3)
