"""A registry of each test's own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from srcore.checkpoints import Architecture
from srcore.weights import build, describe, save_checkpoint


@pytest.fixture(autouse=True)
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of a registry of this test's own."""
    path = tmp_path / "registry" / "registry.db"
    monkeypatch.setenv("SRCORE_REGISTRY", f"sqlite:///{path}")
    monkeypatch.setenv("SRCORE_CACHE", str(tmp_path / "cache"))
    return path


def checkpoint(folder: Path, seed: int) -> Path:
    torch.manual_seed(seed)
    spec = describe("tiny", Architecture(name="edsr", params={"width": 4, "blocks": 0}))
    save_checkpoint(folder, spec, build(spec), "card")
    return folder
