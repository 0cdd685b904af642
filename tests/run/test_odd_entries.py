"""One odd entry stops no dataset, and a pipe in place of a file holds nobody up."""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import shutil
import threading
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import rasterio
import torch
from safetensors.torch import load_file, save_file

from srcore.catalog import load_catalog
from srcore.checkpoints import BUILTIN, SPEC, WEIGHTS, Architecture, Spec, locate, read_spec
from srcore.dispatch import Workers
from srcore.errors import CatalogError, CheckpointError, SRError
from srcore.layout import DatasetPaths
from srcore.regular import read_regular
from srcore.run.direct import direct_job
from srcore.run.states import scene_states
from srcore.weights import build, describe, load_generator, save_checkpoint
from tests.faults import archive
from tests.faults.crash import forked
from tests.faults.scenarios import write_volume

HERE = Workers(0)


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


def test_a_small_file_is_read_without_room_for_a_large_one(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(11))
    tracemalloc.start()
    try:
        read_regular(tmp_path / "a", 1 << 34)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["[" * 30_000, "a\0b", "no such model"])
def test_a_name_that_can_be_none_is_an_unknown_model(name: str) -> None:
    with pytest.raises(CheckpointError, match="unknown model") as caught:
        locate(name)
    assert len(str(caught.value)) < 1000


def write_tiny(folder: Path) -> dict[str, Any]:
    """A checkpoint of random weights, and its spec."""
    spec = describe("tiny", Architecture(name="edsr", params={"scale": 2, "width": 4, "blocks": 1}))
    save_checkpoint(folder, spec, build(spec), "")
    return dict(json.loads((folder / SPEC).read_text()))


@pytest.mark.parametrize(
    ("key", "value"), [("blocks", 10_000_000), ("width", 10_000_000), ("blocks", -1), ("width", 1e300), ("bands", 5000)]
)
def test_a_checkpoint_that_asks_for_all_memory_is_refused_in_plan(tmp_path: Path, key: str, value: float) -> None:
    spec = write_tiny(tmp_path / "model")
    spec["architecture"]["params"][key] = value
    (tmp_path / "model" / SPEC).write_text(json.dumps(spec))
    source = archive.write_scene(tmp_path / "scene.tif")
    told = in_time(
        lambda: archive.run_scene(direct_job(str(source), tmp_path / "sr.tif", model=str(tmp_path / "model")), HERE)
    )
    assert isinstance(told, CheckpointError)
    assert f"{key} is" in str(told)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "scene.tif"]


def test_a_generator_of_terabytes_is_refused_before_it_is_made() -> None:
    spec = Spec(
        name="t",
        architecture=Architecture(name="edsr", params={"width": 4096, "blocks": 64}),
        scale=(2, 2),
        halo=(0, 0),
    )
    with pytest.raises(CheckpointError, match="is too large; found 19"):
        build(spec)


@pytest.mark.parametrize("odd", ["shape", "missing", "more"])
def test_tensors_that_do_not_fit_are_named_and_not_tried_three_times(tmp_path: Path, odd: str) -> None:
    spec = write_tiny(tmp_path / "model")
    tensors = load_file(tmp_path / "model" / WEIGHTS)
    tensors = {
        "shape": {**tensors, "tail.weight": tensors["tail.weight"][:1]},
        "missing": {name: tensor for name, tensor in tensors.items() if name != "tail.weight"},
        "more": {**tensors, "tail.weight2": torch.ones(3)},
    }[odd]
    save_file(tensors, tmp_path / "model" / WEIGHTS)
    spec["weights_sha256"] = hashlib.sha256((tmp_path / "model" / WEIGHTS).read_bytes()).hexdigest()
    (tmp_path / "model" / SPEC).write_text(json.dumps(spec))
    source = archive.write_scene(tmp_path / "scene.tif")
    with pytest.raises(SRError, match=r"1 tensors differ; tail\.weight") as caught:
        archive.run_scene(direct_job(str(source), tmp_path / "sr.tif", model=str(tmp_path / "model")), HERE)
    assert caught.value.code == "BAD_CHECKPOINT"
    assert "3 times" not in str(caught.value)


def test_a_sparse_file_of_ninety_gigapixels_is_refused_once(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with rasterio.open(
        tmp_path / "in" / "huge.tif",
        "w",
        **{"driver": "GTiff", "count": 1, "height": 300_000, "width": 300_000, "dtype": "uint8", "SPARSE_OK": "TRUE"},
        **{"tiled": True, "blockxsize": 4096, "blockysize": 4096, "BIGTIFF": "YES"},
    ):
        pass
    catalog = archive.write_catalog(tmp_path)
    [first] = in_time(lambda: archive.run(catalog))
    assert (first.code, first.fails) == ("TOO_LARGE", True)
    [second] = in_time(lambda: archive.run(catalog))
    assert (second.result, second.fails) == ("quarantined", False)


@pytest.mark.parametrize("number", [-1.7e308, 1.7e308, -1.7976931348623157e308])
def test_numbers_at_the_ends_of_float64_are_told_in_one_line(tmp_path: Path, number: float) -> None:
    source = archive.write_scene(tmp_path / "scene.tif", dtype="float64")
    with rasterio.open(source, "r+") as target:
        values = target.read()
        values[:, :20] = number
        target.write(values)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        with pytest.raises(SRError, match="looks like nodata") as caught:
            archive.run_scene(direct_job(str(source), tmp_path / "sr.tif", model="bicubic-x2"), HERE)
    assert caught.value.code == "UNDECLARED"


@pytest.mark.parametrize("what", ["raster", "volume", "sidecar", "weights"])
def test_what_may_not_be_read_is_due_until_it_may(tmp_path: Path, what: str) -> None:
    """Rights are nothing of the file's: nobody has to ask for it again."""
    source, model = tmp_path / "in" / "deep", tmp_path / "model"
    source.mkdir(parents=True)
    write_tiny(model)
    wishes = {"model": str(model), "source": "./in/deep/*.tif"}
    if what == "volume":
        write_volume(source / "v.nii")
        wishes |= {"kind": "volume", "source": "./in/deep/*.nii"}
    else:
        archive.write_scene(source / "scene.tif")
    (source / "scene.tif.aux.xml").write_text("<PAMDataset></PAMDataset>")
    catalog = archive.write_catalog(tmp_path, **wishes)
    locked = {
        "raster": source / "scene.tif",
        "volume": source / "v.nii",
        "sidecar": source / "scene.tif.aux.xml",
        "weights": model / WEIGHTS,
    }[what]
    before = locked.stat().st_mode
    locked.chmod(0)
    [told] = as_anybody(lambda: night(catalog))
    assert told[::2] == ("NOT_READABLE", True), told
    assert as_anybody(lambda: [one.due for one in scene_states(load_catalog(catalog), archive.DATASET)]) == [True]
    locked.chmod(before)
    [told] = as_anybody(lambda: night(catalog))
    assert told[0] == "", told


def night(catalog: Path) -> list[tuple[str, str, bool]]:
    """Code and message of each outcome, and whether it fails the night."""
    return [(one.code, one.message, one.fails) for one in archive.run(catalog)]


def as_anybody(work: Callable[[], Any]) -> Any:
    """What `work` gives in a fork that has no rights but those of the files: root's read everything."""

    def without() -> Any:
        libc = ctypes.CDLL(None, use_errno=True)
        head, sets = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
        assert libc.capget(head, sets) == 0
        for field in range(3):
            sets[field] &= ~0b110  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        assert libc.capset(head, sets) == 0
        return work()

    return forked(without)
