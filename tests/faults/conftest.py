"""The faults that are injected and the wrong outputs that are seen: `tests/conftest.py` counts them at the end."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.faults import archive
from tests.s3 import address, server

__all__ = ["address", "server"]

Injected = Callable[..., None]

Told = Mapping[str, Any]

SWEEPS = {
    "killed": ["kill"],
    "disk full": ["full"],
    "killed while a product is replaced": ["kill", "--replace", "--only", "products"],
    "disk full while a product is replaced": ["full", "--replace", "--only", "products"],
    "killed, of a SAFE": ["kill", "--source", "safe"],
    "killed, of a SAFE in a zip": ["kill", "--source", "zip"],
    "disk full, of a SAFE in a zip": ["full", "--source", "zip"],
    "killed, of a STAC search": ["kill", "--source", "stac"],
    "disk full, of a STAC search": ["full", "--source", "stac"],
    "control": ["kill", "--replace", "--control", "--only", "products"],
}
"""Arguments of `tests.faults.crash`."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The crash sweep comes first: where the tests are divided among processes, none waits for it in the end."""
    items.sort(key=lambda item: item.path.name != "test_crash.py")


def sweep(folder: Path, name: str, every: int = 1) -> Told:
    """What a sweep of SWEEPS found at every `every`-th point."""
    command = [sys.executable, "-m", "tests.faults.crash", str(folder), *SWEEPS[name], "--every", str(every)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=1200)
    assert done.returncode == 0, done.stderr[-4000:]
    told: Told = json.loads(done.stdout.splitlines()[-1])
    return told


@pytest.fixture
def injected(record_property: Callable[[str, object], None]) -> Injected:
    """Note that `count` faults of a kind were injected, and which wrong outputs were seen; asserts that none was."""

    def note(kind: str, count: int = 1, wrong: Sequence[str] = ()) -> None:
        record_property("injected", [kind, count, len(wrong)])
        assert not wrong, "\n".join(wrong)

    return note


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    """The catalog of an archive of one scene of six tiles."""
    archive.write_scene(tmp_path / "in" / "scene.tif", seed=1, shape=(40, 68))
    return archive.write_catalog(tmp_path)
