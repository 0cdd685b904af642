"""A file of others as a checkpoint folder, by what the file is."""

from __future__ import annotations

import os
from pathlib import Path

from srcore.checkpoints import Spec
from srcore.errors import CheckpointError, StoreError
from srcore.exchange.bounds import bounded_memory
from srcore.exchange.wishes import Wishes
from srcore.storage.disk.files import fsync_folder, hidden_folder, store_error
from srcore.weights.onnx_graph import need_onnx

GRAPHS = (".onnx",)
WEIGHTS = (".safetensors", ".pth", ".pt", ".ckpt")


def checkpoint_of(path: Path, wishes: Wishes, folder: Path) -> Spec:
    """Write the checkpoint of a file into `folder`; gives its spec. CheckpointError for what cannot be used."""
    kind = path.suffix.lower()
    if kind in GRAPHS:
        need_onnx()
        from srcore.exchange.incoming import import_onnx

        with bounded_memory(path):
            return import_onnx(path, wishes, folder)
    if kind in WEIGHTS:
        if wishes.architecture is None:  # its network is to become a graph
            need_onnx()
        from srcore.exchange.bare import import_bare

        with bounded_memory(path):
            return import_bare(path, wishes, folder)
    known = ", ".join((*GRAPHS, *WEIGHTS))
    raise CheckpointError(f"{path} is no file of a model", kind or "no ending", f"give a checkpoint folder, or {known}")


def import_to(path: Path, wishes: Wishes, folder: Path) -> Spec:
    """The same into a new folder, which is there whole or not at all; StoreError OUTPUT_EXISTS where it is there."""
    folder = folder.absolute()
    if folder.exists() or folder.is_symlink():
        raise StoreError(f"{folder} is there", "", "give another name, or remove it", code="OUTPUT_EXISTS")
    with hidden_folder(folder) as hidden:
        spec = checkpoint_of(path, wishes, hidden)
        os.chmod(hidden, 0o755)  # a temporary folder is its maker's alone
        try:
            os.rename(hidden, folder)
        except OSError as error:
            raise store_error(folder, error) from error
    fsync_folder(folder.parent)
    return spec
