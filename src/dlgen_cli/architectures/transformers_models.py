"""The network of transformers that a folder describes; no code of the folder is run."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from torch import nn

from dlgen_cli.architectures.torchvision_models import zero_module
from dlgen_cli.errors import UsageError

NAME = "transformers"
_CONFIG = "config.json"


def is_transformers(name: str) -> bool:
    """Whether a name is ``transformers`` or ``transformers:CLASS``."""
    return name == NAME or name.startswith(f"{NAME}:")


def build_transformers(name: str, checkpoint: Path, **arguments: Any) -> nn.Module:
    """Make the network of a folder, with all parameters zero. Nothing is downloaded.

    Args:
        name: ``transformers`` for the class that the folder records, or ``transformers:CLASS``.
        checkpoint: the folder, or a file in it.
        **arguments: settings of the configuration that replace those of the file.

    Returns:
        The module, which keeps nothing between calls; `main_input_name` tells what it takes.

    Raises:
        UsageError: transformers is missing, there is no configuration, its class is none of
            transformers, or it cannot be built.
    """
    try:
        import transformers
    except ImportError as error:
        raise UsageError(
            f"--arch {name} needs transformers, which is not installed.",
            remedy="Run pip install 'dlgen[transformers]'.",
        ) from error
    folder = checkpoint if checkpoint.is_dir() else checkpoint.parent
    if not (folder / _CONFIG).is_file():
        raise UsageError(
            f"--arch {name} was given, and {folder} has no {_CONFIG}.",
            remedy="Pass the folder of the network as transformers saves it.",
        )
    logging.getLogger("transformers").setLevel(logging.ERROR)
    try:
        config = transformers.AutoConfig.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=False, **arguments
        )
        config.use_cache = False
        kind = _class_of(transformers, name, config)
        network = zero_module(lambda: kind(config))
    except UsageError:
        raise
    except Exception as error:  # whatever transformers raises of a configuration
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UsageError(
            f"The network that {folder / _CONFIG} describes cannot be built: {reason}",
            remedy="Check the configuration; dlgen runs no code of the folder.",
        ) from error
    return network


def _class_of(transformers: Any, name: str, config: Any) -> Any:
    given = name.partition(":")[2]
    recorded = getattr(config, "architectures", None) or []
    wanted = given or (recorded[0] if recorded else "")
    kind = getattr(transformers, wanted, None) if wanted.isidentifier() else None
    if not (isinstance(kind, type) and issubclass(kind, transformers.PreTrainedModel)):
        raise UsageError(
            f"transformers has no network {wanted!r}, which "
            + ("--arch names." if given else f"{_CONFIG} records."),
            remedy=f"Give --arch {NAME}:CLASS with a class of transformers, such as "
            f"{NAME}:BertModel.",
        )
    return kind
