"""A prior's mean where none is given: a head of zeros over features, behind drawn hidden layers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dlgen_cli.architectures import build
from dlgen_cli.checkpoints.runs.ancestor import Ancestor, digest_hashes
from dlgen_cli.checkpoints.runs.anchor_record import AnchorRecord, AnchorStep, record_metadata
from dlgen_cli.checkpoints.runs.run_directory import serialize_safetensors
from dlgen_cli.training.examples import prepare_examples
from dlgen_cli.training.loop import initialize
from dlgen_cli.training.recipe import make_recipe
from dlgen_cli.training.start import FIXED
from dlgen_cli.training.trial import architecture_arguments, require_fit

_NAME = "initialization"


def write_initial_anchor(folder: Path, given: Mapping[str, Any]) -> tuple[Path, dict[str, Any]]:
    """Draw a head from the seed, with its last layer zero, and write it as an anchors file.

    Args:
        folder: where to write it.
        given: settings of a recipe by name, those of the network and features among them.

    Returns:
        The file, and the settings that it does not fix.

    Raises:
        UsageError: a setting is out of its range.
        DataError: the features cannot be read.
    """
    recipe = make_recipe(given)
    examples = prepare_examples(recipe)
    arguments = architecture_arguments(recipe, examples)
    network = build(recipe.architecture, **arguments)
    require_fit(network, recipe, examples)
    initialize(network, recipe.seed)
    tensors = network.state_dict()
    last = list(tensors)[-1].rpartition(".")[0]
    for name, tensor in tensors.items():
        if name.startswith(f"{last}."):
            tensor.zero_()
    content = serialize_safetensors(tensors, {})
    digest = hashlib.sha256(content[8 + int.from_bytes(content[:8], "little") :]).hexdigest()
    itself = Ancestor(
        name=_NAME,
        sha256=digest,
        origin="initial",
        source=None,
        source_sha256=None,
        examples=0,
        hashes_sha256=digest_hashes(None),
    )
    record = AnchorRecord(
        origin="initial",
        architecture=recipe.architecture,
        arguments=arguments,
        input_shape=examples.input_shape,
        steps=(AnchorStep(file=_NAME, sha256=digest, head="zero", rows={}),),
        ancestors=(itself,),
        tensors_sha256=digest,
    )
    path = folder / f"{_NAME}.safetensors"
    path.write_bytes(serialize_safetensors(tensors, record_metadata(record)))
    return path, {name: one for name, one in given.items() if name not in FIXED}
