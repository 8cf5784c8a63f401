"""The network that a checkpoint holds: architecture, arguments, weights."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.utils import remove_spectral_norm, remove_weight_norm
from torch.nn.utils.parametrize import is_parametrized, type_before_parametrizations
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from dlgen_cli.architectures import (
    build,
    build_transformers,
    code_constructor,
    is_code,
    is_transformers,
    split_size,
)
from dlgen_cli.architectures.dense import HEADS, sizes_of
from dlgen_cli.checkpoints.checkpoint import Checkpoint, prefix_remedy
from dlgen_cli.errors import CheckpointError, TensorError, UsageError
from dlgen_cli.networks.reparametrization import (
    normalized_weight,
    resolve_weight_norm,
    weight_norm_names,
)

if TYPE_CHECKING:
    from torch import Tensor

_MOST_MISFITS = 3
_OPTIONAL_HEADS = {"aux_logits": ("aux1.", "aux2.", "AuxLogits.")}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BuiltNetwork:
    """A network with the weights of a checkpoint.

    Attributes:
        module: in evaluation mode, on the CPU; float32, or float64 where a tensor needs it.
        tensors: its state dict, weight normalization resolved.
        architecture: the name that it was built by.
        arguments: what its constructor was given.
        input_shape: of one example, where the checkpoint records it; otherwise None.
        broken: why tensors could not be read, by name; zeros stand for them in ``module``, and
            reading them from ``tensors`` raises it.
        tied: names that the checkpoint lacks, as the network shares their tensor with the name that
            stands beside each.
    """

    module: nn.Module
    tensors: Mapping[str, Tensor]
    architecture: str
    arguments: Mapping[str, Any]
    input_shape: tuple[int, ...] | None
    broken: Mapping[str, TensorError] = field(default_factory=dict)
    tied: Mapping[str, str] = field(default_factory=dict)


def build_for(
    checkpoint: Checkpoint,
    name: str | None = None,
    arguments: Mapping[str, Any] | None = None,
    *,
    keeps_broken: bool = False,
) -> BuiltNetwork:
    """Build the network whose weights a checkpoint holds, and load them strictly.

    Args:
        checkpoint: named tensors.
        name: the architecture that the user declares, which may be code of theirs; what the
            checkpoint records where None: that is never run as code.
        arguments: of its constructor, on top of those that the checkpoint records for this
            architecture. ``num_classes`` is read off the shape of the last layer.
        keeps_broken: name tensors with NaN or infinite entries in `BuiltNetwork.broken`.

    Raises:
        UsageError: no architecture is given or recorded, it is unknown, or an argument is.
        CheckpointError: tensors are missing, surplus or of another shape; the first are named.
        TensorError: an entry is NaN or infinite, and ``keeps_broken`` is not given.
    """
    is_declared = name is not None
    name, given = _recorded(checkpoint, name, arguments or {})
    tensors, broken = resolved_tensors(checkpoint)
    if broken and not keeps_broken:
        raise next(iter(broken.values()))
    if is_code(name):
        if not is_declared:
            raise UsageError(
                f"{checkpoint.path} records the architecture {name}, which is code; a file never "
                "makes dlgen run code.",
                remedy=f"Give --arch {name} to run it.",
            )
        constructor = code_constructor(name)
        given = _inferred(constructor, given, tensors, constructor.accepts)
        module = plain_copy(constructor(**given)).float()
    elif is_transformers(name):
        module = build_transformers(name, checkpoint.path, **given)
        _drop_unread(module, tensors)
    else:
        make = partial(build, name)
        if name in HEADS:
            given = {**sizes_of(tensors, hidden=name == "dense"), **given}
        given = _mlp_sizes(given, tensors) if name == "mlp" else _inferred(make, given, tensors)
        module = make(**given)
    tied = _add_shared_names(module, tensors, broken)
    _require_fit(checkpoint, name, module.state_dict(), tensors)
    module = module.eval().requires_grad_(requires_grad=False)
    if any(tensor.is_floating_point() and tensor.itemsize > 4 for tensor in tensors.values()):
        module = module.double()
    module.load_state_dict(tensors)
    config, anchor = checkpoint.config, checkpoint.anchor
    shape = anchor.input_shape if anchor is not None else None
    return BuiltNetwork(
        module=module,
        tensors=_SoundTensors(module.state_dict(), broken),
        architecture=name,
        arguments=given,
        input_shape=tuple(config["input"]["shape"]) if config is not None else shape,
        broken=broken,
        tied=tied,
    )


def plain_copy(module: nn.Module) -> nn.Module:
    """A copy in evaluation mode, on the CPU, with the weights that the module really applies.

    Args:
        module: not changed. Parametrizations, such as weight normalization, are carried out in its
            own arithmetic.
    """
    plain = copy.deepcopy(module).cpu().eval().requires_grad_(requires_grad=False)
    for part in list(plain.modules()):
        if is_parametrized(part):
            # torch's own removal takes the property off a class that the original shares
            names = [one for one, _ in part.get_submodule("parametrizations").named_children()]
            weights = {name: getattr(part, name) for name in names}
            plain_type = type_before_parametrizations(part)
            del part.parametrizations
            part.__class__ = plain_type
            for name, weight in weights.items():
                part.register_parameter(name, nn.Parameter(weight, requires_grad=False))
        for hook in list(part._forward_pre_hooks.values()):  # noqa: SLF001  as torch removes it
            if isinstance(hook, WeightNorm):
                remove_weight_norm(part, hook.name)
            elif isinstance(hook, SpectralNorm):
                remove_spectral_norm(part, hook.name)
    return plain


def built_from(module: nn.Module, checkpoint: Checkpoint) -> BuiltNetwork:
    """A module as it is, with the weights of a checkpoint.

    Args:
        module: from `plain_copy`; it is not changed.
        checkpoint: of its state dict, or of another one with its names.

    Raises:
        CheckpointError: tensors are missing, surplus or of another shape; the first are named.
    """
    name = type(module).__name__
    tensors, broken = resolved_tensors(checkpoint)
    tied = _add_shared_names(module, tensors, broken)
    _require_fit(checkpoint, name, module.state_dict(), tensors)
    return BuiltNetwork(
        module=module,
        tensors=_SoundTensors(tensors, broken),
        architecture=name,
        arguments={},
        input_shape=None,
        broken=broken,
        tied=tied,
    )


def loaded(module: nn.Module, checkpoint: Checkpoint) -> BuiltNetwork:
    """A module without entries with the weights of a checkpoint; where it can, it maps its file.

    Args:
        module: on the meta device, with the names of the checkpoint; it takes the tensors.
        checkpoint: float16 and narrower tensors become float32, all float64 where one is.

    Raises:
        CheckpointError: tensors are missing, surplus or of another shape; the first are named.
    """
    built = built_from(module, checkpoint)
    tensors = {
        name: torch.zeros(checkpoint.tensors[name].shape)
        if name in built.broken
        else built.tensors[name]
        for name in built.tensors
    }
    floating = [one for one in tensors.values() if one.is_floating_point()]
    kind = torch.float64 if any(one.itemsize > 4 for one in floating) else torch.float32
    state = module.state_dict()  # its metadata says that counters of batches may be missing
    for name, one in tensors.items():
        state[name] = one.to(kind) if one.is_floating_point() else one
    module.load_state_dict(state, assign=True)
    return replace(built, module=module.requires_grad_(requires_grad=False))


class _SoundTensors(Mapping[str, "Tensor"]):
    """The tensors of a module; those that could not be read raise the reason."""

    def __init__(self, tensors: Mapping[str, Tensor], broken: Mapping[str, TensorError]) -> None:
        self._tensors = tensors
        self._broken = broken

    def __getitem__(self, name: str) -> Tensor:
        """A tensor that was read."""
        if name in self._broken:
            raise self._broken[name]
        return self._tensors[name]

    def __iter__(self) -> Iterator[str]:
        """All names, in order."""
        return iter(self._tensors)

    def __len__(self) -> int:
        """How many tensors there are."""
        return len(self._tensors)

    def __contains__(self, name: object) -> bool:
        """Whether there is a tensor of this name, read or not."""
        return name in self._tensors


def resolved_tensors(
    checkpoint: Checkpoint,
) -> tuple[dict[str, Tensor], dict[str, TensorError]]:
    """All tensors of a checkpoint, with weight normalization resolved in float64.

    Returns:
        The tensors, zeros for those that cannot be read; and why not, by name.
    """
    found: dict[str, Tensor] = {}
    broken: dict[str, TensorError] = {}
    for name, info in checkpoint.tensors.items():
        try:
            found[name] = checkpoint.read(name)
        except TensorError as error:
            found[name], broken[name] = torch.zeros(info.shape), error
    weights = {name: normalized_weight(name) for name in found}
    for g_name, weight in weights.items():
        if weight is None or not weight.endswith(".weight"):
            continue
        v_name = dict(weight_norm_names(weight))[g_name]
        if v_name not in found:
            continue
        g, v = found.pop(g_name), found.pop(v_name)
        try:
            for name in {g_name, v_name} & broken.keys():
                raise broken[name]
            found[weight] = resolve_weight_norm(g.double(), v.double())
        except TensorError as error:
            found[weight], broken[weight] = torch.zeros(v.shape), error
    return found, broken


def _drop_unread(module: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Leave out what older versions of transformers stored: positions and masks, no parameters."""
    known = module.state_dict()
    patterns = getattr(module, "_keys_to_ignore_on_load_unexpected", None) or ()
    for name in [one for one in tensors if one not in known]:
        is_index = not tensors[name].is_floating_point()
        if is_index or any(re.search(one, name) for one in patterns):
            del tensors[name]


def _recorded(
    checkpoint: Checkpoint, name: str | None, arguments: Mapping[str, Any]
) -> tuple[str, dict[str, Any]]:
    config = checkpoint.config
    chosen = name or (config["architecture"] if config is not None else checkpoint.architecture)
    if chosen is None:
        raise UsageError(
            f"{checkpoint.path} does not record its architecture.", remedy="Give --arch NAME."
        )
    chosen, size = split_size(chosen)
    arguments = {**arguments, **({} if size is None else {"image_size": size})}
    if config is not None and config["architecture"] == chosen:
        return chosen, {**config["architecture_arguments"], **arguments}
    anchor = checkpoint.anchor
    if config is None and anchor is not None and anchor.architecture == chosen:
        return chosen, {**anchor.arguments, **arguments}
    return chosen, dict(arguments)


def _mlp_sizes(given: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Width and depth of the chain of square matrices, where nothing records them."""
    matrices = [tensor for tensor in tensors.values() if tensor.ndim == 2]
    if not matrices:
        return dict(given)
    width = int(matrices[0].shape[0])
    for size, there in (("width", width), ("depth", len(matrices))):
        claimed = given.get(size, there)
        if isinstance(claimed, int) and claimed > there:  # before memory is taken for it
            raise CheckpointError(
                f"The checkpoint records an mlp of {size} {claimed:,}; its tensors make one of "
                f"{size} {there:,}.",
                remedy="Take the checkpoint from a source that you trust.",
            )
    return {"width": width, "depth": len(matrices), "classes": min(10, width), **given}


def _inferred(
    make: Callable[..., nn.Module],
    given: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    accepts: Callable[[str], bool] = lambda _: True,
) -> dict[str, Any]:
    """Arguments with what the tensors tell: the number of classes, and auxiliary heads.

    Args:
        make: the constructor.
        given: its arguments so far.
        tensors: of the checkpoint.
        accepts: whether the constructor takes an argument.
    """
    chosen = dict(given)
    inferable = {"num_classes", *_OPTIONAL_HEADS} - chosen.keys()
    if not any(accepts(one) for one in inferable):
        return chosen
    trial = make(**chosen)
    head = head_of(trial)
    if "num_classes" in inferable and accepts("num_classes") and f"{head}.weight" in tensors:
        chosen["num_classes"] = int(tensors[f"{head}.weight"].shape[0])
    for argument, heads in _OPTIONAL_HEADS.items():
        expected = accepts(argument) and any(key.startswith(heads) for key in trial.state_dict())
        if expected and not any(key.startswith(heads) for key in tensors):
            chosen.setdefault(argument, False)
    return chosen


def _add_shared_names(
    module: nn.Module, found: dict[str, Tensor], broken: dict[str, TensorError]
) -> dict[str, str]:
    """Add the names that are not there of tensors that the module has under one that is."""
    places = {
        name: (one.data_ptr(), one.shape, one.stride())
        for name, one in module.state_dict().items()
        if one.numel()
    }
    first = {place: name for name, place in places.items() if name in found}
    shared = {
        name: first[place] for name, place in places.items() if name not in found and place in first
    }
    found |= {name: found[one] for name, one in shared.items()}
    broken |= {name: broken[one] for name, one in shared.items() if one in broken}
    return shared


def head_of(module: nn.Module) -> str:
    """Path of the last layer with outputs of its own: a linear map or a convolution."""
    found = ""
    for path, part in module.named_modules():
        # a library's own linear layers are subclasses; blocks of several may tell sizes too
        if isinstance(part, nn.Linear | nn.Bilinear | nn.modules.conv._ConvNd):  # noqa: SLF001
            found = path
    return found


def usual_input_shape(module: nn.Module) -> tuple[int, ...] | None:
    """What a module says of its input: a record of its size, or a linear layer at the beginning.

    Returns:
        The shape of one example; None where it says nothing.
    """
    config = getattr(module, "config", None)  # of transformers
    size, channels = (getattr(config, one, None) for one in ("image_size", "num_channels"))
    if isinstance(size, int) and isinstance(channels, int):
        return (channels, size, size)
    recorded = getattr(module, "default_cfg", None)
    if isinstance(recorded, Mapping) and recorded.get("input_size"):
        return tuple(recorded["input_size"])
    leaves = (
        one for one in module.modules() if next(one.parameters(recurse=False), None) is not None
    )
    first = next(leaves, None)
    return (first.in_features,) if isinstance(first, nn.Linear) else None


def input_dtype_of(module: nn.Module) -> torch.dtype:
    """What a module takes: whole numbers where it looks up tokens, else the type of its weights."""
    own = getattr(module, "input_dtype", None)
    if isinstance(own, torch.dtype) and not own.is_floating_point:
        return own
    leaves = (
        one for one in module.modules() if next(one.parameters(recurse=False), None) is not None
    )
    is_text = getattr(module, "main_input_name", None) == "input_ids"
    if is_text or isinstance(next(leaves, None), nn.Embedding):
        return torch.int64
    kinds = (one.dtype for one in module.parameters() if one.is_floating_point())
    return next(kinds, torch.float32)


def _require_fit(
    checkpoint: Checkpoint,
    name: str,
    expected: Mapping[str, Tensor],
    found: dict[str, Tensor],
) -> None:
    """Refuse tensors that do not fit; the first three of them are named.

    A counter of batches (an integer that evaluation does not read) may be missing.
    """
    for key, wanted in expected.items():
        if key not in found and not wanted.is_floating_point():
            found[key] = wanted
    faults = list(_misfits(expected, found))
    if not faults:
        return
    more = f", and {len(faults) - _MOST_MISFITS} more" if len(faults) > _MOST_MISFITS else ""
    raise CheckpointError(
        f"{checkpoint.path} does not fit the architecture {name}: "
        f"{'; '.join(faults[:_MOST_MISFITS])}{more}.",
        remedy=_fit_remedy(name, expected, found),
    )


def _misfits(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> Iterator[str]:
    for key, wanted in expected.items():
        if key not in found:
            yield f"it has no tensor {key} of shape {tuple(wanted.shape)}"
        elif wanted.is_floating_point() and not found[key].is_floating_point():
            kind = str(found[key].dtype).split(".")[-1]
            yield f"tensor {key} holds {kind}, and floating-point weights were expected"
        elif found[key].shape != wanted.shape:
            shapes = f"{tuple(found[key].shape)}, and {tuple(wanted.shape)} was expected"
            yield f"tensor {key} has shape {shapes}"
    for key, tensor in found.items():
        if key not in expected:
            yield f"it holds a tensor {key} of shape {tuple(tensor.shape)} too many"


def _fit_remedy(name: str, expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str:
    """The option that would make the tensors fit."""
    floating = [key for key, wanted in expected.items() if wanted.is_floating_point()]
    if all(key in found for key in floating):
        resized = any(found[key].shape != expected[key].shape for key in floating)
        if resized:
            return "Give the sizes that it was trained with: --arch-arg KEY=VALUE."
        return "Give the architecture that it was trained as, with --arch."
    remedy = prefix_remedy(found, floating)
    if remedy:
        return f"{remedy}."
    if name == "mlp":
        return (
            "mlp means dlgen's own chain of square matrices layers.N.weight; give a network of "
            "your own with --arch FILE.py:NAME."
        )
    stored = ", ".join(islice(found, 3))
    return f"The file begins with {stored}. Check --arch, or give --arch FILE.py:NAME."
