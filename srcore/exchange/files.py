"""A file of others as a checkpoint folder, by what the file is."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from srcore.checkpoints import Spec
from srcore.errors import CheckpointError, SRError, StoreError
from srcore.exchange.bounds import bounded_memory
from srcore.exchange.wishes import Wishes
from srcore.storage.disk.files import fsync_folder, hidden_folder, store_error
from srcore.weights.onnx_graph import need_onnx

GRAPHS = (".onnx",)
WEIGHTS = (".safetensors", ".pth", ".pt", ".ckpt")


def checkpoint_of(path: Path, wishes: Wishes, folder: Path) -> Spec:
    """Write the checkpoint of a file into `folder`; gives its spec.

    CheckpointError for what cannot be used, StoreError where the folder cannot be written.
    """
    kind = path.suffix.lower()
    if kind not in (*GRAPHS, *WEIGHTS):
        known = ", ".join((*GRAPHS, *WEIGHTS))
        do = f"give a checkpoint folder, or {known}"
        raise CheckpointError(f"{path} is no file of a model", kind or "no ending", do)
    if kind in GRAPHS or wishes.architecture is None:  # bare weights of others become a graph, too
        need_onnx()
    with bounded_memory(path):
        try:
            return _import_of(kind)(path, wishes, folder)
        except SRError:
            raise
        except OSError as error:
            raise store_error(folder, error) from error


def _import_of(kind: str) -> Callable[[Path, Wishes, Path], Spec]:
    if kind in GRAPHS:
        from srcore.exchange.incoming import import_onnx  # with an extra

        return import_onnx
    from srcore.exchange.bare import import_bare

    return import_bare


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
