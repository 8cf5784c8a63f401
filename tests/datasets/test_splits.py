"""Examples are taken with their labels, in the order asked for; their digest sees all of them."""

import hashlib

import torch

from dlgen_cli.datasets import Split, digest_examples


def test_examples_are_taken_in_the_order_asked_for():
    split = Split(images=torch.arange(5.0).reshape(5, 1, 1, 1), labels=torch.arange(5) * 10)
    taken = split.take(torch.tensor([3, 0, 3]))
    assert len(split) == 5
    assert len(taken) == 3
    assert taken.images.flatten().tolist() == [3.0, 0.0, 3.0]
    assert taken.labels.tolist() == [30, 0, 30]


def test_a_digest_sees_every_pixel_label_and_their_order():
    chance = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (2, 1, 2, 2), dtype=torch.uint8, generator=chance)
    labels = torch.tensor([0, 1])
    found = digest_examples(Split(images=images, labels=labels))
    packed = bytes(images.flatten().tolist()) + b"".join(n.to_bytes(8, "little") for n in (0, 1))
    assert found == hashlib.sha256(packed).hexdigest()
    others = [
        Split(images=images, labels=labels.flip(0)),
        Split(images=images.flip(0), labels=labels),
        Split(images=images ^ 1, labels=labels),
    ]
    assert found not in {digest_examples(other) for other in others}
