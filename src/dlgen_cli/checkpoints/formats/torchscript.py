"""TorchScript archives: the tensors of their modules; the program in them is never read.

`data.pkl` holds the module as nested objects whose attributes are numbers, modules and tensors.
Its classes are those of the program; here each is a bag of attributes.
"""

from __future__ import annotations

from pathlib import Path

from dlgen_cli.checkpoints.checkpoint import Checkpoint, index_tensors
from dlgen_cli.checkpoints.pickles.archive import guarded, read_archive
from dlgen_cli.checkpoints.pickles.zip_directory import archive_of
from dlgen_cli.checkpoints.state_dicts import NetworkParts, script_network
from dlgen_cli.checkpoints.stored import SourceFile, sha256_of


def open_torchscript(path: Path) -> Checkpoint:
    """Open a TorchScript archive.

    Parameters and buffers have the names that ``torch.jit.load(...).state_dict()`` gives them.
    Tensors that are plain attributes stand among them. Constants of the program are the network
    only where a frozen module has nothing else; elsewhere those that may be weights are not
    understood.

    Args:
        path: the archive.

    Raises:
        CheckpointError: it is damaged, or there is no tensor in it.
    """
    file = SourceFile.at(path)

    def read() -> NetworkParts:
        archive = archive_of(file)
        if archive is None:
            raise ValueError("no zip archive")
        module = read_archive(archive, file)
        constants = read_archive(archive, file, "constants.pkl")
        storages = {**module.storages, **constants.storages}
        return script_network(module.tree, constants.tree, path, storages)

    parts: NetworkParts = guarded(path, read)
    return Checkpoint(
        path=path,
        sha256=sha256_of(path),
        tensors=index_tensors(parts.network, path),
        reader=lambda name: parts.network[name].load(),
        notes=parts.notes,
        left_aside=parts.left_aside,
        not_understood=parts.not_understood,
    )
