"""A product is whole when all that its receipt names stands there as it was published; else it is made again."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from srcore.dispatch import Workers
from srcore.errors import StoreError
from srcore.layout import ProductPaths
from srcore.progress import Progress
from srcore.run.direct import direct_job
from srcore.run.scene import run_scene
from srcore.stages import export as exporting
from srcore.storage.archive.publish import Receipt, is_whole
from srcore.storage.nifti import volume as nifti
from tests.faults import archive
from tests.faults.scenarios import write_volume

HERE = Workers(0)


@pytest.fixture
def product(tmp_path: Path) -> ProductPaths:
    """A published product, beside which the user has a file."""
    source = archive.write_scene(tmp_path / "in" / "scene.tif")
    job = direct_job(str(source), tmp_path / "out" / "sr.tif", model="nearest-x2")
    run_scene(job, HERE)
    return job.product


def test_a_receipt_comes_back_as_it_was_given(tmp_path: Path, write_raster: Callable[..., Path]) -> None:
    source = write_raster(np.full((1, 20, 30), 7, np.uint16) + np.arange(30, dtype=np.uint16), crs=None)
    job = direct_job(str(source), tmp_path / "out" / "sr.tif", model="nearest-x2", outputs=("cog",))
    given = run_scene(job, HERE)
    assert given is not None
    assert "no CRS" in given.flags
    read = Receipt.load(job.product.receipt)
    assert read is not None
    assert json.loads(json.dumps(asdict(read))) == json.loads(json.dumps(asdict(given)))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def grown(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def test_a_damaged_file_is_seen_by_its_size_or_when_it_is_read(product: ProductPaths) -> None:
    receipt = Receipt.load(product.receipt)
    assert receipt is not None
    assert not is_whole(product, replace(receipt, outputs=())), "a receipt of nothing vouches for nothing"
    assert len(receipt.outputs) == 5
    for path in (product.folder / output.name for output in receipt.outputs):
        for damage in (cut, grown, Path.unlink, flipped):
            assert is_whole(product, receipt)
            assert is_whole(product, receipt, thorough=True)
            before = path.read_bytes()
            damage(path)
            assert is_whole(product, receipt) == (damage is flipped), f"{damage.__name__} {path.name}"
            assert not is_whole(product, receipt, thorough=True), f"{damage.__name__} {path.name}"
            path.write_bytes(before)


def test_what_a_run_makes_no_more_goes_with_the_old_product(product: ProductPaths, tmp_path: Path) -> None:
    (product.folder / "sr.txt").write_text("mine")
    job = direct_job(str(tmp_path / "in/scene.tif"), product.data, model="nearest-x2", overwrite=True, outputs=("cog",))
    run_scene(job, HERE)
    assert sorted(path.name for path in product.folder.iterdir()) == ["sr.receipt.json", "sr.tif", "sr.txt"]


@pytest.mark.parametrize("kind", ["raster", "trust", "volume"])
def test_export_reads_back_what_it_wrote(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that writes other bytes than it was given: nothing tells but reading them again."""
    written: list[str] = []
    cog, volume = exporting.cog.write_cog, nifti.write_nifti

    def damage(path: Path) -> None:
        written.append(path.name)
        if path.name.startswith("sr.trust") or kind != "trust":
            data = bytearray(path.read_bytes())
            data[len(data) * 9 // 10] ^= 1
            path.write_bytes(bytes(data))

    def write_cog(path: Path, *args: object) -> None:
        cog(path, *args)  # type: ignore[arg-type]
        damage(path)

    def write_nifti(path: Path, *args: object) -> None:
        volume(path, *args)  # type: ignore[arg-type]
        damage(path)

    monkeypatch.setattr(exporting.cog, "write_cog", write_cog)
    monkeypatch.setattr(nifti, "write_nifti", write_nifti)
    if kind == "volume":
        source, name, options = tmp_path / "v.nii", "sr.nii", {}
        write_volume(source)
    else:
        source, name = archive.write_scene(tmp_path / "scene.tif"), "sr.tif"
        options = {"outputs": ("cog", "trust")} if kind == "trust" else {}
    model = "srcore-x2" if kind == "trust" else "nearest-x2"
    with pytest.raises(StoreError) as caught:
        run_scene(direct_job(str(source), tmp_path / name, model=model, **options), HERE)
    assert caught.value.code in ("VERIFY_FAILED", "TILE_DAMAGED")
    assert written == (["sr.tif", "sr.trust.tif"] if kind == "trust" else [name])
    assert not (tmp_path / name).exists()


def test_a_volume_is_not_written_from_a_hole(tmp_path: Path) -> None:
    """Zarr reads a shard that is not there as zeros: only the marker says that there was one."""
    write_volume(tmp_path / "v.nii")

    def call(name: str, stage: Callable[[Progress], Any]) -> Any:
        result = stage(lambda done, total: None)
        if name == "upscale":
            [shard] = [path for path in tmp_path.glob(".sr.srcore/*/sr.zarr/sr/c/**/*") if path.is_file()]
            shard.unlink()
        return result

    with pytest.raises(StoreError) as caught:
        run_scene(direct_job(str(tmp_path / "v.nii"), tmp_path / "sr.nii", model="nearest-x2"), HERE, call)
    assert caught.value.code == "TILE_DAMAGED"
