"""A network that a seed and D coordinates determine: ``theta(z) = theta_init(seed) + P_seed z``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.func import functional_call

from dlgen_cli import architectures
from dlgen_cli.errors import CheckpointError, UsageError
from dlgen_cli.predictors.coded.projection import Projection, projection_of

#: What a code may name, by its index. New ones go to the end.
ARCHITECTURES = ("mlp", "small_convnet", "filter_bank", "filter_kernel")
#: Whose posterior needs images of its own; no code can name it.
KERNEL = "filter_kernel"
#: At most so many settings of the constants were compared, on CIFAR-10.
_TRIED = {"filter_bank": 1 << 16, "filter_kernel": 1 << 16}


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """All that determines a network but its coordinates.

    Attributes:
        architecture: one of `ARCHITECTURES`.
        width: of its constructor; None where it takes none.
        depth: of its constructor; None where it takes none.
        classes: number of logits that count.
        input_shape: of one image.
        seed: of initialization and projection.
        dim: D.
    """

    architecture: str
    width: int | None
    depth: int | None
    classes: int
    input_shape: tuple[int, ...]
    seed: int
    dim: int

    def arguments(self) -> dict[str, Any]:
        """What the architecture's constructor takes."""
        if self.architecture == "mlp":
            inputs = 1
            for size in self.input_shape:
                inputs *= size
            return {
                "inputs": inputs,
                "width": self.width,
                "depth": self.depth,
                "classes": self.classes,
            }
        found = {
            "width": self.width,
            "num_classes": self.classes,
            "channels": self.input_shape[0] if self.input_shape else 0,
        }
        if self.architecture in _TRIED:
            found["pixels"] = min(self.input_shape[1:], default=0)
        if self.architecture == KERNEL:
            found["landmarks"] = self.dim // max(self.classes, 1)
        return found


class CodedNetwork:
    """A network as a function of its coordinates.

    Attributes:
        module: gives the function; its own parameters are never read.
        projection: from coordinates to parameters.
    """

    def __init__(self, module: nn.Module, projection: Projection) -> None:
        """Put a module and a projection together; the module is set to evaluation mode."""
        self.module = module.eval().requires_grad_(requires_grad=False)
        self.projection = projection

    def logits(self, z: Tensor, images: Tensor) -> Tensor:
        """The logits at coordinates z, differentiable in z."""
        found: Tensor = functional_call(self.module, self.projection.parameters(z), (images,))
        return found

    @property
    def has_fixed_features(self) -> bool:
        """Whether all parameters are the one matrix of a head on `features` that are fixed."""
        groups = self.projection.groups
        is_head = len(groups) == 1 and len(groups[0].names) == 1 and groups[0].is_own
        return is_head and hasattr(self.module, "features")

    def features(self, images: Tensor) -> Tensor:
        """What the head sees, shape ``(n, k)``; only where `has_fixed_features`."""
        found: Tensor = self.module.features(images)  # type: ignore[operator]
        return found

    def rest(self, features: Tensor) -> Tensor:
        """Variance of the prior beside the features' weights, shape ``(n,)``: see FilterKernel."""
        if not hasattr(self.module, "landmarks"):
            return features.new_zeros(len(features))
        return (1 - features.square().sum(1)).clamp_min(0)

    def set_landmarks(self, landmarks: Tensor) -> None:
        """Set the landmarks of a kernel machine."""
        self.module.get_buffer("landmarks").copy_(landmarks)

    @property
    def landmark_shape(self) -> tuple[int, ...] | None:
        """Shape of the landmarks; None for a network that has none."""
        buffers = dict(self.module.named_buffers())
        return tuple(buffers["landmarks"].shape) if "landmarks" in buffers else None

    def at(self, z: Tensor) -> nn.Module:
        """The module with the parameters at z, for repeated use; overwritten by the next call."""
        parameters: Mapping[str, Tensor] = self.projection.parameters(z)
        self.module.load_state_dict(dict(parameters), strict=False)
        return self.module


def parameters_of(about: Description) -> int:
    """Parameters of a description's architecture, whatever its D.

    Raises:
        UsageError: it cannot be built.
    """
    module = architectures.build(about.architecture, **about.arguments())
    return sum(one.numel() for one in module.parameters())


def family_choices(architecture: str) -> int:
    """Settings that the constants of an architecture were chosen from by looking at data."""
    return _TRIED.get(architecture, 1)


def describe_run(config: Mapping[str, Any]) -> Description:
    """The description of a coded run, from its ``config.json``.

    Raises:
        KeyError, TypeError, ValueError: the config does not hold one.
    """
    facts = config["coded"]
    return Description(
        architecture=str(config["architecture"]),
        width=None if facts["width"] is None else int(facts["width"]),
        depth=None if facts["depth"] is None else int(facts["depth"]),
        classes=int(config["counts"]["classes"]),
        input_shape=tuple(int(size) for size in config["input"]["shape"]),
        seed=int(facts["seed"]),
        dim=int(facts["dim"]),
    )


def build_network(description: Description) -> CodedNetwork:
    """Make the network that a description names.

    Raises:
        CheckpointError: there is no such network, or it has batch statistics.
    """
    about = description
    _require_square(about)
    try:
        module = architectures.build(about.architecture, **about.arguments())
        projection = projection_of(module, about.seed, about.dim)
    except UsageError as error:
        raise CheckpointError(error.message, remedy=error.remedy) from error
    return CodedNetwork(module, projection)


def _require_square(about: Description) -> None:
    """A kernel machine takes square images, and as many coordinates for each class."""
    if about.architecture != KERNEL:
        return
    sizes = set(about.input_shape[1:])
    if len(about.input_shape) != 3 or len(sizes) != 1 or about.dim % max(about.classes, 1):
        raise CheckpointError(
            f"A {KERNEL} of {about.dim} coordinates for images of {about.input_shape} in "
            f"{about.classes} classes cannot be built: square images and a multiple of the classes "
            "were expected.",
            remedy="Give another --dim, or another --arch.",
        )
