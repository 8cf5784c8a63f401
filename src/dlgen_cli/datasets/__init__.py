"""Labelled examples: where they come from, how they are split, how they are scaled."""

from dlgen_cli.datasets.features import load_features, load_unlabelled_features
from dlgen_cli.datasets.identity import hash_images, keys_of, looks_of
from dlgen_cli.datasets.image_folder import load_unlabelled_images
from dlgen_cli.datasets.scaling import input_scale, norm_bound, scaled
from dlgen_cli.datasets.source_hashes import SourceHashes
from dlgen_cli.datasets.sources import load_source, open_source, require_source, source_names
from dlgen_cli.datasets.splits import (
    FeatureFile,
    Source,
    SourceData,
    Split,
    digest_examples,
    read_all,
)

__all__ = [
    "FeatureFile",
    "Source",
    "SourceData",
    "SourceHashes",
    "Split",
    "digest_examples",
    "hash_images",
    "input_scale",
    "keys_of",
    "load_features",
    "load_source",
    "load_unlabelled_features",
    "load_unlabelled_images",
    "looks_of",
    "norm_bound",
    "open_source",
    "read_all",
    "require_source",
    "scaled",
    "source_names",
]
