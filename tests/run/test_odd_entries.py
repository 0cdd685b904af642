"""One odd entry stops no dataset, and a pipe in place of a file holds nobody up."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from srcore.catalog import load_catalog
from srcore.checkpoints import BUILTIN, SPEC, WEIGHTS, read_spec
from srcore.errors import CatalogError, CheckpointError
from srcore.layout import DatasetPaths
from srcore.regular import read_regular
from srcore.run.dataset import scene_states
from srcore.weights import load_generator
from tests.faults import archive


def brackets(path: Path) -> None:
    path.write_text("[" * 100_000)


def pipe(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def folder(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.mkdir()


def loop(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(path.name)


def huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


def in_time(work: Callable[[], Any], seconds: float = 60) -> Any:
    """What `work` gives; fails where it hangs."""
    told: list[Any] = []

    def keep() -> None:
        try:
            told.append(work())
        except Exception as error:
            told.append(error)

    thread = threading.Thread(target=keep, daemon=True)
    thread.start()
    thread.join(seconds)
    assert told, "it hangs"
    return told[0]


@pytest.mark.parametrize("place", ["receipt", "quarantine", "publishing"])
@pytest.mark.parametrize("odd", [brackets, pipe, loop, huge])
def test_one_odd_record_stops_no_dataset(tmp_path: Path, odd: Callable[[Path], None], place: str) -> None:
    for name in ("a", "b"):
        archive.write_scene(tmp_path / "in" / f"{name}.tif")
    catalog = archive.write_catalog(tmp_path)
    places = DatasetPaths(tmp_path / "store" / archive.DATASET)
    if place == "receipt":
        path = places.product("a", ".tif").receipt
    else:
        path = places.quarantine("a") if place == "quarantine" else places.scratch("a") / "publishing.json"
    path.parent.mkdir(parents=True)
    odd(path)
    states = in_time(lambda: scene_states(load_catalog(catalog), archive.DATASET))
    assert [(one.scene, one.state) for one in states] == [("a", "new"), ("b", "new")]
    outcomes = in_time(lambda: archive.run(catalog))
    assert outcomes[1].result == "published"
    if place != "receipt" or odd is not loop:  # no link is written through: LINK or OUTPUT_EXISTS
        assert outcomes[0].result == "published", outcomes[0]


@pytest.mark.parametrize("odd", [pipe, folder, loop])
def test_a_checkpoint_and_a_catalog_are_regular_files(tmp_path: Path, odd: Callable[[Path], None]) -> None:
    model = tmp_path / "model"
    shutil.copytree(BUILTIN / "srcore-x2", model)
    odd(model / WEIGHTS)
    assert isinstance(in_time(lambda: load_generator(model)), CheckpointError)
    odd(model / SPEC)
    assert isinstance(in_time(lambda: read_spec(model)), CheckpointError)
    odd(tmp_path / "c.yaml")
    assert isinstance(in_time(lambda: load_catalog(tmp_path / "c.yaml")), CatalogError)


def test_a_larger_file_than_may_be_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(11))
    assert read_regular(tmp_path / "a", 11) == bytes(11)
    with pytest.raises(OSError, match="larger than 10 bytes"):
        read_regular(tmp_path / "a", 10)
