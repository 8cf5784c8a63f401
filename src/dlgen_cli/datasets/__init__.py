"""Labelled examples: where they come from, how they are split, how they are scaled."""

from dlgen_cli.datasets.features import load_features, load_unlabelled_features
from dlgen_cli.datasets.identity import (
    SourceHashes,
    digest_examples,
    hash_images,
    hash_source,
    looks_of,
)
from dlgen_cli.datasets.image_folder import load_unlabelled_images
from dlgen_cli.datasets.scaling import input_scale, norm_bound, scaled
from dlgen_cli.datasets.sources import load_source, require_source, source_names
from dlgen_cli.datasets.splits import FeatureFile, SourceData, Split

__all__ = [
    "FeatureFile",
    "SourceData",
    "SourceHashes",
    "Split",
    "digest_examples",
    "hash_images",
    "hash_source",
    "input_scale",
    "load_features",
    "load_source",
    "load_unlabelled_features",
    "load_unlabelled_images",
    "looks_of",
    "norm_bound",
    "require_source",
    "scaled",
    "source_names",
]
