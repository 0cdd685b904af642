"""Damage in the work store: found, done again, and never published."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from srcore.catalog import load_catalog
from srcore.dispatch import Workers
from srcore.errors import SRError
from srcore.layout import Scratch
from srcore.run.dataset import run_dataset
from srcore.run.states import scene_states
from srcore.storage.work.ingested import Ingested
from srcore.storage.work.scene_plan import ScenePlan
from srcore.storage.work.tile_store import TileStore
from tests.faults import archive
from tests.faults.archive import run_scene
from tests.faults.conftest import Injected

HERE = Workers(0)


def flip(path: Path, seed: int = 0) -> None:
    data = bytearray(path.read_bytes())
    if data:
        bit = random.Random(f"{path.name} {seed}").randrange(8 * len(data))
        data[bit // 8] ^= 1 << bit % 8
        path.write_bytes(bytes(data))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DAMAGES: dict[str, Callable[[Path], None]] = {
    "bit flip": flip,
    "another bit flip": lambda path: flip(path, 1),
    "truncated": truncate,
    "empty": lambda path: path.write_bytes(b""),
    "missing": Path.unlink,
}
DAILY = ("bit flip", "missing")
"""Of them those that every run of the tests looks for; all others at night."""


def scratch_of(catalog: Path) -> Path:
    [folder] = (path for path in (catalog.parent / "store/fields/.scratch/scene").iterdir() if path.is_dir())
    return folder


def until(catalog: Path, stage: str) -> None:
    [state] = scene_states(load_catalog(catalog), archive.DATASET)
    assert run_scene(state.job, HERE, until=stage) is None


def family(path: Path, folder: Path) -> str:
    """Which kind of file it is: one of each is damaged."""
    relative = path.relative_to(folder).as_posix()
    return relative if relative.endswith("zarr.json") else relative.split("/c/")[0].split("done/")[0]


FAMILIES = 16
"""plan, ingest, engine, 7 of metadata, tiles, valid, sr, its half and quarter, done."""


@pytest.mark.parametrize(
    "damage", [pytest.param(name, marks=[pytest.mark.nightly] * (name not in DAILY)) for name in DAMAGES]
)
def test_a_resumed_run_finds_what_was_damaged_and_does_it_again(
    damage: str, catalog: Path, tmp_path: Path, injected: Injected
) -> None:
    [outcome] = archive.run(catalog)
    assert outcome.ok
    right = archive.published(tmp_path)
    archive.reset(tmp_path)
    until(catalog, "upscale")
    shutil.copytree(tmp_path / "store", tmp_path / "kept")
    folder = scratch_of(catalog)
    chosen = {family(path, folder): path for path in sorted(folder.rglob("*")) if path.is_file()}
    assert len(chosen) == FAMILIES, sorted(chosen)
    wrong = []
    for path in chosen.values():
        archive.reset(tmp_path)
        shutil.copytree(tmp_path / "kept", tmp_path / "store")
        DAMAGES[damage](path)
        [outcome] = archive.run(catalog)
        if not outcome.ok or archive.published(tmp_path) != right:
            wrong.append(f"{damage} of {path.relative_to(folder)}: {outcome.code} {outcome.message}")
    injected(f"{damage} in the work store, then a resumed run", len(chosen), wrong)


AFTER = {
    "ingest": ["plan.json", "ingest.json", "tiles.zarr/tiles/c/1/0/0/0", "tiles.zarr/valid/c/0/0/1"],
    "upscale": [
        "sr.zarr/sr/c/0/0/0",
        "sr.zarr/sr/c/0/1/2",
        "sr.zarr/sr_half/c/0/0/0",
        "sr.zarr/sr_half/c/0/1/0",
        "sr.zarr/sr_quarter/c/0/1/0",
        "done/2.json",
        "tiles.zarr/valid/c/0/1/1",
    ],
    "export": ["staged/scene.tif", "staged/scene.png", "staged/scene.json"],
}


@pytest.mark.parametrize("stage", AFTER)
def test_damage_during_the_run_is_found_before_anything_is_published(
    stage: str, catalog: Path, tmp_path: Path, injected: Injected
) -> None:
    archive.run(catalog)
    right = archive.published(tmp_path)
    wrong, count = [], 0
    for name in AFTER[stage]:
        for damage in DAILY:
            change = DAMAGES[damage]
            archive.reset(tmp_path)

            def call(running: str, work: Callable[[Any], Any], name: str = name, change: Any = change) -> Any:
                result = work(lambda done, total: None)
                if running == stage:
                    change(scratch_of(catalog) / name)
                return result

            [outcome] = run_dataset(catalog, archive.DATASET, lambda job, call=call: run_scene(job, HERE, call))
            count += 1
            if outcome.ok or archive.products(archive.published(tmp_path)):
                wrong.append(f"{damage} of {name} behind {stage} was published")
            [outcome] = archive.run(catalog)
            if not outcome.ok or archive.published(tmp_path) != right:
                wrong.append(f"{damage} of {name} behind {stage} was not mended: {outcome.message}")
    injected(f"damage behind {stage}", count, wrong)


def test_a_marker_without_its_shard_is_no_marker(catalog: Path) -> None:
    until(catalog, "upscale")
    store = TileStore(ScenePlan.load(Scratch(scratch_of(catalog)).plan))
    assert store.pending() == []
    (scratch_of(catalog) / "sr.zarr/sr/c/0/1/2").unlink()
    assert store.pending() == [5]
    assert store.pending() == [5]


def test_an_all_fill_scene_is_not_taken_for_a_missing_one(tmp_path: Path) -> None:
    """Where the right values are those that Zarr gives for a hole, only the marker tells."""
    catalog = all_zeros(tmp_path)
    until(catalog, "upscale")
    store = TileStore(ScenePlan.load(Scratch(scratch_of(catalog)).plan))
    (scratch_of(catalog) / "done/1.json").unlink()
    assert store.pending() == [1]
    [outcome] = archive.run(catalog)
    assert outcome.ok


def all_zeros(folder: Path) -> Path:
    """The catalog of a scene whose SR is what Zarr gives for a shard that is not there."""
    archive.write_scene(folder / "in/scene.tif", shape=(40, 40))
    import rasterio

    with rasterio.open(folder / "in/scene.tif", "r+") as source:
        source.nodata = None
        source.write(source.read() * 0)
    return archive.write_catalog(folder, model="nearest-x2")


@pytest.mark.parametrize("lost", ["a shard", "an overview", "ingest.json"])
def test_a_tile_of_zeros_whose_shard_is_lost_is_done_again(tmp_path: Path, lost: str) -> None:
    """A power cut can take a shard and leave its marker; of zeros the checksum still fits."""
    catalog = all_zeros(tmp_path)
    until(catalog, "upscale")
    scratch = scratch_of(catalog)
    if lost == "ingest.json":
        (scratch / lost).unlink()
    else:
        (scratch / ("sr.zarr/sr/c/0/0/0" if lost == "a shard" else "sr.zarr/sr_half/c/0/0/0")).unlink()
        store = TileStore(ScenePlan.load(Scratch(scratch).plan))
        assert store.pending() == [0]
    [outcome] = archive.run(catalog)
    assert outcome.ok, outcome.message


def test_work_of_another_configuration_is_replaced(catalog: Path) -> None:
    until(catalog, "upscale")
    before = scratch_of(catalog)
    catalog.write_text(catalog.read_text().replace("bicubic-x2", "nearest-x2"))
    until(catalog, "upscale")
    assert scratch_of(catalog) != before
    assert not before.exists()


def test_a_sealed_record_tells_every_flipped_bit(catalog: Path, injected: Injected) -> None:
    until(catalog, "ingest")
    path = scratch_of(catalog) / "ingest.json"
    data, wrong = path.read_bytes(), []
    right = Ingested.load(Scratch(path.parent))
    assert right is not None
    for bit in range(0, 8 * len(data), 37):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(bytes(damaged))
        if Ingested.load(Scratch(path.parent)) not in (None, right):
            wrong.append(f"bit {bit} of ingest.json")
    injected("bit flip in ingest.json", len(range(0, 8 * len(data), 37)), wrong)


@pytest.mark.parametrize("name", ["products/scene/scene.receipt.json", "quarantine/scene.json"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_record_of_the_store_stops_nothing(
    name: str, damage: str, catalog: Path, tmp_path: Path, injected: Injected
) -> None:
    if name.startswith("quarantine"):
        source = (tmp_path / "in/scene.tif").read_bytes()
        (tmp_path / "in/scene.tif").write_bytes(b"not a raster")
        assert not archive.run(catalog)[0].ok
        (tmp_path / "in/scene.tif").write_bytes(source)
    else:
        archive.run(catalog)
    DAMAGES[damage](tmp_path / "store/fields" / name)
    assert scene_states(load_catalog(catalog), archive.DATASET)
    [outcome] = archive.run(catalog)
    injected("damaged receipt or record", 1, [] if outcome.ok else [f"{damage} of {name}: {outcome.message}"])


def test_an_engine_of_another_checkpoint_is_refused(catalog: Path, tmp_path: Path) -> None:
    from srcore.checkpoints import locate

    model = tmp_path / "model"
    shutil.copytree(locate("bicubic-x2"), model)
    catalog.write_text(catalog.read_text().replace("bicubic-x2", str(model)))
    [state] = scene_states(load_catalog(catalog), archive.DATASET)

    def call(running: str, work: Callable[[Any], Any]) -> Any:
        result = work(lambda done, total: None)
        if running == "ingest":
            shutil.rmtree(model)
            shutil.copytree(locate("nearest-x2"), model)
        return result

    with pytest.raises(SRError, match="changed during the run") as caught:
        run_scene(state.job, HERE, call)
    assert caught.value.code == "MODEL_CHANGED"
    assert caught.value.retryable
