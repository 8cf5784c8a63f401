"""The risk of a checkpoint through a certified network: their disagreements are counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from dlgen_cli import bounds
from dlgen_cli.bounds.disagreement import DISAGREEMENT
from dlgen_cli.checkpoints.runs.trained_on import trained_on
from dlgen_cli.datasets import (
    FeatureFile,
    hash_images,
    load_unlabelled_features,
    load_unlabelled_images,
)
from dlgen_cli.devices import resolve_device
from dlgen_cli.errors import DataError, UsageError
from dlgen_cli.evidence.certificate import Certificate, Evidence
from dlgen_cli.evidence.holdout import holdout_certificate
from dlgen_cli.evidence.inputs import read_inputs
from dlgen_cli.evidence.ledger.disagreement import (
    fresh_line,
    of_surrogate,
    pair_line,
    unlabelled_line,
)
from dlgen_cli.evidence.ledger.provenance import features_line, looks_line
from dlgen_cli.evidence.options import AuditOptions
from dlgen_cli.evidence.provenance import count_alike
from dlgen_cli.evidence.samples import Samples, count_repeated, count_shared, find_samples
from dlgen_cli.predictors import count_disagreements, open_folded
from dlgen_cli.records import Assumption

if TYPE_CHECKING:
    from torch import Tensor

    from dlgen_cli.evidence.inputs import Inputs


def disagreement_certificate(evidence: Evidence) -> Certificate:
    """Count the errors of the surrogate on its holdout, and its disagreements with the checkpoint.

    Both are the networks themselves: of a posterior's run the mean.

    Raises:
        CheckpointError: the surrogate cannot be read.
        UsageError: a network cannot be evaluated, or the number of files does not fit.
        DataError: the unlabelled examples cannot be read, or do not fit the networks.
    """
    inputs, samples = evidence.inputs, evidence.samples
    images, files = _load_unlabelled(evidence)
    surrogate = _surrogate(evidence)
    certified = holdout_certificate(surrogate, {})
    device = resolve_device(inputs.options.device)
    parts = ((inputs, samples), (surrogate.inputs, surrogate.samples))
    networks = [(open_folded(one.checkpoint, one.read).to(device), its) for one, its in parts]
    disagreements = count_disagreements(
        [(network, its.scale) for network, its in networks],
        images,
        batch=min(network.batch_size(own_weights=False) for network, _ in networks),
        device=device,
        tick=lambda done: inputs.progress("evaluating both networks", done, len(images)),
    )
    lines = [
        pair_line(),
        *_fresh_lines([one for one, _ in parts], images, samples),
        unlabelled_line(count_repeated(hash_images(images))),
        *(features_line(one) for one in files),
        *(of_surrogate(line) for line in surrogate.samples.holdout_lines),
    ]
    held = len(surrogate.samples.holdout)
    return Certificate(
        theorem=DISAGREEMENT.name,
        evaluate=lambda delta: bounds.disagreement_risk(
            disagreements, len(images), certified.errors["holdout"], held, delta, lines
        ),
    )


def _surrogate(evidence: Evidence) -> Evidence:
    """The surrogate with its own holdout in the same data."""
    path, given = evidence.data.surrogate, evidence.inputs.options
    assert path is not None  # noqa: S101  the maker is taken only with one
    options = AuditOptions(checkpoint=path, device=given.device)
    progress = evidence.inputs.progress
    inputs = read_inputs(options, with_layers=False, for_bounds=False, progress=progress)
    samples = find_samples(inputs.checkpoint, evidence.samples.pool, None, progress)
    return replace(evidence, inputs=inputs, samples=samples)


def _load_unlabelled(evidence: Evidence) -> tuple[Tensor, tuple[FeatureFile, ...]]:
    paths, pool = evidence.data.unlabelled, evidence.samples.pool
    wanted = max(1, len(pool.files))
    if len(paths) != wanted:
        raise UsageError(
            f"--unlabelled names {len(paths)} files or folders; {wanted} were expected, as many as "
            "hold the labelled examples.",
            remedy="Give one for each file of --features, in their order.",
        )
    if pool.files:
        images, files = load_unlabelled_features(paths)
    else:
        images, files = load_unlabelled_images(paths[0], evidence.inputs.progress), ()
    labelled = evidence.samples.test.images
    if images.shape[1:] != labelled.shape[1:]:
        raise DataError(
            f"The unlabelled examples have shape {tuple(images.shape[1:])}; "
            f"{tuple(labelled.shape[1:])} was expected, as in {pool.name}.",
            remedy="Bring them to the size of the others.",
        )
    if labelled.dtype != images.dtype:  # digits are stored as floats
        images = images.float() / 255
    return images, files


def _fresh_lines(networks: Sequence[Inputs], images: Tensor, samples: Samples) -> list[Assumption]:
    """Whether an unlabelled example trained one of the networks, or looks like one that did."""
    found = [trained_on(one.checkpoint) for one in networks]
    hashes = torch.cat([one.hashes for one in found])
    weak = next((one.weakest for one in found if one.weakest is not None), None)
    shared = count_shared(hash_images(images), hashes)
    lines = [fresh_line(len(images), shared, weak.described if weak is not None else "")]
    alike = max(count_alike(images, one, samples.data) for one in found)
    if alike:
        lines.append(looks_line("the unlabelled examples", "either network", alike, len(images)))
    return lines
