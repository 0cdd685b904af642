"""Nothing but the right product passes: any flipped bit, cut, exchange or other header is found."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from srcore.errors import StoreError
from tests.conftest import ROOT
from tests.storage.cog.product_cases import Scene, make_scene
from tests.storage.cog.work_cases import Work, make_work

pytestmark = pytest.mark.slow


def made(folder: Path, case: dict[str, Any]) -> tuple[Work, Path]:
    work = make_work(folder / "work", make_scene(**case))
    return work, work.write(folder / "product.tif")


def flipped(good: bytes, position: int) -> bytes:
    return good[:position] + bytes([good[position] ^ 1 << position % 8]) + good[position + 1 :]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "case",
    [{"nodata": "none"}, {"nodata": "mask"}, {"nodata": "mask", "bands": 2}, {"nodata": "alpha", "dtype": "float32"}],
    ids=["none", "mask", "mask, planar", "alpha, float"],
)
def test_a_flipped_bit_anywhere_is_found(tmp_path: Path, case: dict[str, Any]) -> None:
    """Anywhere: also where a decoder would read the same pixels from it."""
    work, path = made(tmp_path, {"shape": (70, 10), "smooth": True, "tags": {"TIFFTAG_SOFTWARE": "other"}, **case})
    good, missed = path.read_bytes(), []
    positions = [*range(0, len(good), max(1, len(good) // 120)), *range(len(good) - 12, len(good))]
    for position in positions:
        path.write_bytes(flipped(good, position))
        try:
            work.verify(path)
            missed.append((position, ""))
        except StoreError as error:
            missed += [(position, error.code)] if error.code != "VERIFY_FAILED" else []
    assert missed == []


@pytest.mark.filterwarnings("ignore")
def test_a_cut_or_lengthened_file_is_found(tmp_path: Path) -> None:
    work, path = made(tmp_path, {"shape": (100, 20), "nodata": "mask", "smooth": True})
    good = path.read_bytes()
    sizes = {0, 1, 8, 100, *(len(good) * k // 12 for k in range(12)), len(good) - 4, len(good) - 1}
    for content in [*(good[:size] for size in sorted(sizes)), good + b"\0", good + good]:
        path.write_bytes(content)
        with pytest.raises(StoreError) as caught:
            work.verify(path)
        assert caught.value.code == "VERIFY_FAILED"


def test_a_zeroed_piece_is_found(tmp_path: Path) -> None:
    work, path = made(tmp_path, {"shape": (60, 60), "bands": 2})
    good = path.read_bytes()
    for start in range(0, len(good), len(good) // 12):
        path.write_bytes(good[:start] + bytes(min(4096, len(good) - start)) + good[start + 4096 :])
        with pytest.raises(StoreError):
            work.verify(path)


def test_a_missing_product_is_found(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        make_work(tmp_path / "work", make_scene()).verify(tmp_path / "product.tif")


CHANGES: dict[str, Callable[[Scene], Scene]] = {
    "pixel": lambda scene: replace(scene, sr=changed(scene.sr)),
    "name": lambda scene: with_band(scene, name="other"),
    "unit": lambda scene: with_band(scene, unit="K"),
    "scale": lambda scene: with_band(scene, scale=0.25),
    "band tag": lambda scene: with_band(scene, tags={"WAVELENGTH": "0.5"}),
    "nodata": lambda scene: with_band(scene, nodata=8.0),
    "tag": lambda scene: replace(scene, header=replace(scene.header, tags={"NOTE": "other"})),
    "affine": lambda scene: with_grid(scene, affine=((0.0, 10.0, 5e5 + 1e-3), scene.header.grid.affine[1])),
    "crs": lambda scene: with_grid(scene, crs="EPSG:32633"),
}


def changed(sr: Any) -> Any:
    sr = sr.copy()
    sr[0, -1, -1] += 1
    return sr


def with_band(scene: Scene, **values: Any) -> Scene:
    return replace(scene, header=replace(scene.header, bands=(replace(scene.header.bands[0], **values),)))


def with_grid(scene: Scene, **values: Any) -> Scene:
    return replace(scene, header=replace(scene.header, grid=replace(scene.header.grid, **values)))


@pytest.mark.parametrize("what", CHANGES)
def test_a_whole_product_of_something_else_is_found(tmp_path: Path, what: str) -> None:
    work, path = made(tmp_path, {"nodata": "tag", "number": 7.0, "shape": (70, 40)})
    with pytest.raises(StoreError, match="not what was written") as caught:
        make_work(tmp_path / "other", CHANGES[what](work.scene)).verify(path)
    assert caught.value.code == "VERIFY_FAILED"


def test_another_mask_is_found(tmp_path: Path) -> None:
    work, path = made(tmp_path, {"nodata": "mask", "shape": (20, 30)})
    valid = work.scene.valid.copy()
    valid[0, 19, 29] ^= True
    with pytest.raises(StoreError, match="not what was written"):
        make_work(tmp_path / "other", replace(work.scene, valid=valid)).verify(path)


SHARDS = ("sr/c/0/0/0", "sr_half/c/0/1/0", "sr_quarter/c/0/1/0")


@pytest.mark.parametrize("name", SHARDS)
@pytest.mark.parametrize("damage", ["a bit", "its end", "cut", "missing"])
def test_a_damaged_shard_never_becomes_a_product(tmp_path: Path, name: str, damage: str) -> None:
    work = make_work(tmp_path / "work", make_scene(shape=(128, 60), nodata="tag", number=0.0), tile=64)
    shard = tmp_path / "work" / "sr.zarr" / name
    good = shard.read_bytes()
    if damage == "missing":
        shard.unlink()
    else:
        shard.write_bytes(
            {
                "a bit": flipped(good, len(good) // 3),
                "its end": flipped(good, len(good) - 9),
                "cut": good[: len(good) // 2],
            }[damage]
        )
    with pytest.raises(StoreError) as caught:
        work.verify(work.write(tmp_path / "product.tif"))
    assert caught.value.code in ("TILE_DAMAGED", "VERIFY_FAILED")
    assert len(work.store.pending()) == 1


FULL = """
import resource, signal, sys
from pathlib import Path
from tests.storage.cog.work_cases import make_work
from tests.storage.cog.product_cases import make_scene
from srcore.errors import StoreError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
folder = Path(sys.argv[1])
work = make_work(folder / "work", make_scene(shape=(400, 400), bands=3), 200)
if sys.argv[2] == "0":
    print(work.write(folder / "product.tif").stat().st_size)
    sys.exit()
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    work.verify(work.write(folder / "product.tif"))
except StoreError as error:
    print(error.code)
else:
    print("PASSED")
"""


@pytest.mark.parametrize("share", [0.01, 0.2, 0.7, 0.99])
def test_a_file_that_cannot_grow_is_no_product(tmp_path: Path, share: float) -> None:
    def run(limit: int, folder: Path) -> str:
        folder.mkdir()
        command = [sys.executable, "-c", FULL, str(folder), str(limit)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=60
        ).stdout.split()[-1]

    size = int(run(0, tmp_path / "whole"))
    assert run(int(size * share), tmp_path / "cut") in ("DISK_FULL", "BAD_STORE")
    assert sorted(os.listdir(tmp_path / "cut")) == ["work"]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
