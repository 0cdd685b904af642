"""The state of a training run on disk: whole or not at all, and only of the recipe that it was made by."""

from __future__ import annotations

import os
import pickle
from io import BytesIO
from pathlib import Path

import torch

from srcore.errors import CheckpointError
from srcore.training.fit.core import State

STATE = "state.pt"


def save_state(folder: Path, state: State) -> None:
    """Write the state into `folder`: whole, or not at all. OSError says why not."""
    content = BytesIO()
    torch.save(state.saved(), content)  # its own writer of files makes a riddle of a full disk
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{STATE}.partial"
    try:
        with open(partial, "wb") as file:
            file.write(content.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, folder / STATE)
    finally:
        partial.unlink(missing_ok=True)


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
