"""The state of a training run on disk: whole or not at all, and only of the recipe that it was made by."""

from __future__ import annotations

import pickle
from io import BytesIO
from pathlib import Path

import torch

from srcore.errors import CheckpointError
from srcore.storage.disk.files import store_error, write_atomic
from srcore.training.fit.core import State

STATE = "state.pt"


def save_state(folder: Path, state: State) -> None:
    """Write the state into `folder`: whole, or not at all; StoreError, DISK_FULL where that is the reason."""
    content = BytesIO()
    torch.save(state.saved(), content)  # its own writer of files says nothing of a full disk
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise store_error(folder, error) from error
    write_atomic(folder / STATE, content.getvalue())


def load_state(folder: Path, state: State) -> None:
    """Bring `state` to what was saved in `folder`; CheckpointError when there is none or it is of another model."""
    path = folder / STATE
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError("no run to go on with", str(path), "start it without resume") from error
    except (RuntimeError, EOFError, OSError, pickle.UnpicklingError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read", str(error), "start a new run") from error
    state.restore(saved, str(path))
