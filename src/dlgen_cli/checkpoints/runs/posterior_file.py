"""``posterior.safetensors``: how far a trained Gaussian posterior spreads, beside its mean.

A run directory that holds it stores the posterior's mean as its model and the prior's mean as its
initialization. Both Gaussians are over the network's coordinates: weights and biases after
folding. A coordinate that the file does not list is frozen: prior and posterior are the same point.

The prior's standard deviation of a coordinate is ``base * 2^(j/2)`` in float32, with its *base*
from the prior's mean alone and the *exponent* j one of `PRIOR_EXPONENTS`, a choice that a bound
pays for. The *spread* is the posterior's standard deviation in units of the prior's.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dlgen_cli.checkpoints.formats.safetensors_file import read_header
from dlgen_cli.checkpoints.json_text import parse_object
from dlgen_cli.checkpoints.runs.run_directory import serialize_safetensors
from dlgen_cli.checkpoints.stored import StoredTensor, brief
from dlgen_cli.errors import CheckpointError

POSTERIOR_FILE = "posterior.safetensors"
#: Key of the file's header under which the exponents stand.
HEADER_KEY = "dlgen_posterior"
#: What the exponents of the prior's deviations are chosen from.
PRIOR_EXPONENTS = range(-40, 9)
#: Ends the name of a coordinate whose spread is a factor.
FACTOR = ".factor"
_REMEDY = "Train the run again with `dlgen train --objective pac-bayes`."


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPosterior:
    """The spreads of a posterior and the exponents of its prior.

    Attributes:
        exponents: j of the prior's deviation, by coordinate; one for each that is not frozen.
        spreads: float32, above 0. By coordinate: shape ``()``, one for the whole tensor, or the
            tensor's own, one for each entry. By coordinate and `FACTOR`: lower triangular A of
            shape ``(k, k)``, k the entries of one output's row; each row ``weight[o]``, flattened,
            has the covariance ``t^2 A A^T``, t the prior's deviation.
    """

    exponents: Mapping[str, int]
    spreads: Mapping[str, Tensor]


def prior_deviation(base: float, exponent: int) -> float:
    """The prior's standard deviation of a coordinate, a float32 value.

    Args:
        base: from `root_mean_squares` of the prior's mean, above 0.
        exponent: j, one of `PRIOR_EXPONENTS`.

    Returns:
        ``base * 2^(j/2)`` rounded to float32: that number is the deviation.

    Raises:
        CheckpointError: float32 does not hold it as a normal number.
    """
    with np.errstate(over="ignore", under="ignore"):
        rounded = float(np.float32(base * 2.0 ** (exponent / 2)))
    if not np.finfo(np.float32).tiny <= rounded < np.inf:
        raise CheckpointError(
            f"A prior's deviation is {base:g} * 2^({exponent}/2); a normal float32 was expected.",
            remedy="Give the prior's mean another scale.",
        )
    return rounded


def root_mean_squares(mean: Mapping[str, Tensor]) -> dict[str, float]:
    """The scale of each coordinate of a prior's mean, in float64.

    Args:
        mean: coordinates by name, all of them.

    Returns:
        The root of the mean square of each tensor; of one of zeros that of its layer's weight, and
        1 where that is 0 too.
    """
    found = {name: float(tensor.double().square().mean().sqrt()) for name, tensor in mean.items()}
    for name, scale in found.items():
        if scale == 0:
            weight = found.get(name.removesuffix("bias") + "weight", 0.0)
            found[name] = weight or 1.0
    return found


def holds_posterior(directory: Path) -> bool:
    """Whether a run directory holds a posterior."""
    return (directory / POSTERIOR_FILE).is_file()


def serialize(posterior: StoredPosterior) -> bytes:
    """The bytes of ``posterior.safetensors``, the same each time for the same posterior."""
    exponents = {name: int(one) for name, one in sorted(posterior.exponents.items())}
    spreads = {name: one.to(torch.float32) for name, one in posterior.spreads.items()}
    return serialize_safetensors(spreads, {HEADER_KEY: json.dumps({"exponents": exponents})})


def write(directory: Path, posterior: StoredPosterior) -> None:
    """Write ``posterior.safetensors`` into a directory that exists."""
    (directory / POSTERIOR_FILE).write_bytes(serialize(posterior))


def read(directory: Path, shapes: Mapping[str, Sequence[int]]) -> StoredPosterior:
    """Read ``posterior.safetensors`` and hold it against the network's coordinates.

    Args:
        directory: of the run.
        shapes: of every coordinate, by name.

    Raises:
        CheckpointError: the file is missing or malformed, names no coordinate, or has a tensor of
            another shape or with entries that are no spread.
    """
    path = directory / POSTERIOR_FILE
    try:
        stored, metadata = read_header(path)
    except OSError as error:
        raise CheckpointError(
            f"{path} cannot be read: {error.strerror}.", remedy=_REMEDY
        ) from error
    try:
        exponents = _read_exponents(metadata.get(HEADER_KEY))
        spreads = {name: _read_spread(name, one, shapes) for name, one in stored.items()}
        _require_same(exponents, [name.removesuffix(FACTOR) for name in spreads])
    except ValueError as error:
        raise CheckpointError(f"{path} holds no posterior: {error}.", remedy=_REMEDY) from error
    return StoredPosterior(exponents=exponents, spreads=spreads)


def _read_exponents(text: str | None) -> dict[str, int]:
    if text is None:
        raise ValueError(f"its header has no {HEADER_KEY}")
    found = parse_object(text.encode()).get("exponents")
    if not isinstance(found, dict):
        raise ValueError(f"its header has no exponents under {HEADER_KEY}")  # noqa: TRY004
    for name, one in found.items():
        if isinstance(one, bool) or not isinstance(one, int) or one not in PRIOR_EXPONENTS:
            raise ValueError(
                f"the exponent of {brief(name)} is {brief(one)}; a whole number from "
                f"{PRIOR_EXPONENTS[0]} to {PRIOR_EXPONENTS[-1]} was expected"
            )
    return found


def _read_spread(name: str, stored: StoredTensor, shapes: Mapping[str, Sequence[int]]) -> Tensor:
    coordinate = name.removesuffix(FACTOR)
    if coordinate not in shapes:
        raise ValueError(f"the network has no coordinate {brief(coordinate)}")
    if stored.dtype != "float32":
        raise ValueError(f"{brief(name)} is {stored.dtype}; float32 was expected")
    shape = tuple(shapes[coordinate])
    width = math.prod(shape[1:])
    allowed = [(width, width)] if name != coordinate else [(), shape]
    if stored.shape not in allowed:
        raise ValueError(
            f"{brief(name)} has shape {brief(stored.shape)}; "
            f"{' or '.join(str(one) for one in allowed)} was expected"
        )
    spread = stored.load()
    if name == coordinate:
        _require_positive(name, spread)
        return spread
    _require_positive(f"the diagonal of {name}", spread.diagonal())
    if not bool(spread.isfinite().all()):
        raise ValueError(f"{name} has an entry that is not finite")
    if bool(spread.triu(1).any()):
        raise ValueError(f"{name} has entries above its diagonal; a lower triangle was expected")
    return spread


def _require_positive(what: str, entries: Tensor) -> None:
    bad = ~((entries > 0) & entries.isfinite())
    if bool(bad.any()):
        found = float(entries[bad].flatten()[0])
        raise ValueError(f"{what} has an entry {found:g}; finite numbers above 0 were expected")


def _require_same(exponents: Mapping[str, int], coordinates: Sequence[str]) -> None:
    """One exponent and one spread for each coordinate that is not frozen, and at least one."""
    twice = {name for name in coordinates if coordinates.count(name) > 1}
    if twice:
        raise ValueError(f"{min(twice)} has two spreads")
    odd = exponents.keys() ^ set(coordinates)
    if odd:
        raise ValueError(f"{brief(min(odd))} has a spread or an exponent, but not both")
    if not coordinates:
        raise ValueError("no coordinate has a spread")
