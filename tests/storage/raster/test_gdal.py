"""Nothing that a file names is followed; nothing large is decoded. Each disguise is shown to bite plain GDAL first."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio

from srcore.errors import SourceError
from srcore.storage.raster import gdal
from srcore.storage.raster.gdal import gdal_env, open_raster
from srcore.storage.raster.header import read_raster_header
from srcore.storage.raster.reader import open_raster_scene
from tests.storage.raster.canary import (
    DISGUISES,
    HARMLESS,
    PROXIES,
    SECRET,
    SOURCES,
    Canary,
    aux_xml,
    listening,
    msk,
    overview_inside,
    ovr,
    vrt_named_tif,
    write,
)


@pytest.fixture
def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Canary]:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
    with listening(tmp_path) as made:
        yield made


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("disguise", DISGUISES, ids=lambda f: f.__name__)
def test_nothing_leaks_and_nothing_is_asked(canary: Canary, disguise, source: str) -> None:
    source = source.format(secret=canary.secret, url=canary.url)
    path = disguise(canary, source)
    before = sorted(canary.root.iterdir())
    try:
        header = read_raster_header([path], roots=[canary.root])
        with open_raster_scene(header) as reader:
            values, valid = reader.read((slice(0, header.grid.shape[0]), slice(0, header.grid.shape[1])))
        # Only the harmless pixels of the file itself, none of them masked by a neighbour.
        assert {*np.unique(values)} <= HARMLESS
        assert valid.all()
        with gdal_env(), open_raster(path) as dataset:
            assert dataset.overviews(1) == []
            assert not SECRET & {*np.unique(dataset.read(1, out_shape=(8, 8)))}
            assert dataset.read_masks(1).min() == 255
    except SourceError as error:
        refusal = str(error)
        print(refusal)
    else:
        refusal = ""
    assert "\n" not in refusal
    assert canary.visits == []
    assert canary.secret.read_bytes() == canary.bytes
    assert sorted(canary.root.iterdir()) == before


CONTROL = """
import sys, rasterio
with rasterio.open(sys.argv[1]) as dataset:
    print(dataset.overviews(1), dataset.read(1, out_shape=(8, 8)).max(), dataset.read(1).max())
    print(dataset.read_masks(1).min())
"""


@pytest.mark.parametrize("disguise", [vrt_named_tif, ovr, msk, aux_xml, overview_inside], ids=lambda f: f.__name__)
def test_the_disguises_have_teeth(canary: Canary, disguise) -> None:
    """Plain rasterio, in its own process, follows each of them."""
    path = disguise(canary, f"/vsicurl/{canary.url}")
    subprocess.run([sys.executable, "-c", CONTROL, str(path)], capture_output=True, timeout=60, check=False)
    assert canary.visits


def test_only_listed_drivers_are_registered() -> None:
    with gdal_env(), rasterio.Env() as env:
        assert set(env.drivers()) <= gdal.DRIVERS
        assert {"GTiff", "COG", "JP2OpenJPEG", "PNG"} <= set(env.drivers())


def test_a_driver_that_was_used_before_is_gone_after(tmp_path: Path) -> None:
    code = textwrap.dedent("""
        import sys, rasterio
        from pathlib import Path
        with rasterio.Env() as env:
            assert "VRT" in env.drivers()
        from srcore.storage.raster.gdal import gdal_env
        with gdal_env():
            pass
        try:
            rasterio.open(Path(sys.argv[1]))
        except rasterio.errors.RasterioIOError:
            print("refused")
    """)
    path = tmp_path / "scene.vrt"
    path.write_text('<VRTDataset rasterXSize="1" rasterYSize="1"><VRTRasterBand dataType="Byte"/></VRTDataset>')
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "refused"


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("page.tif", b"  <!doctype html>", "a web page"),
        ("photo.tif", b"\xff\xd8\xff\xe0", "a JPEG"),
        ("noise.tif", b"\x01\x02\x03\x04\x05\x06\x07\x08", "01 02 03 04"),
        ("data.tif", b"\x89HDF\r\n\x1a\n", "an HDF5 or NetCDF-4 file"),
    ],
)
def test_no_raster_says_what_it_looks_like(tmp_path: Path, name: str, content: bytes, found: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match="not a file that srcore reads") as caught:
        open_raster(tmp_path / name)
    assert found in str(caught.value)
    assert caught.value.code == "NOT_SUPPORTED"


def test_an_empty_file_is_to_be_fetched_not_converted(tmp_path: Path) -> None:
    (tmp_path / "empty.tif").touch()
    with pytest.raises(SourceError, match="the file is empty; found 0 bytes; fetch the file again") as caught:
        open_raster(tmp_path / "empty.tif")
    assert caught.value.code == "TRUNCATED"


def test_missing_folder_pipe_and_unreadable_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.tif")
    (tmp_path / "loop.tif").symlink_to(tmp_path / "loop.tif")
    for name in ("missing.tif", ".", "pipe.tif", "loop.tif", "a\0b.tif", "x" * 300):
        with pytest.raises(SourceError) as caught:
            open_raster(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_names_with_signs_are_files(tmp_path: Path) -> None:
    for name in ("a#b.tif", "a?b.tif", "a!b.tif", "a b:c.tif", "GTIFF_DIR:1:x.tif", "ä,ü.tif"):
        write(tmp_path / name, np.full((1, 4, 4), 5, np.uint8))
        with gdal_env(), open_raster(tmp_path / name) as dataset:
            assert dataset.read(1).max() == 5


def sparse_tiff(path: Path, size: int, tile: int, *, holes: bool) -> None:
    """A hand-made BigTIFF of zstd tiles; its offsets all point at one small block, or at none."""
    tiles = (size // tile) ** 2
    entries = [
        (256, 4, 1, size),
        (257, 4, 1, size),
        (258, 3, 1, 8),
        (259, 3, 1, 50000),
        (262, 3, 1, 1),
        (277, 3, 1, 1),
        (322, 4, 1, tile),
        (323, 4, 1, tile),
    ]
    start = 16 + 8 + 20 * (len(entries) + 2) + 8
    entries += [(324, 16, tiles, start if tiles > 1 else 0), (325, 16, tiles, start + 8 * tiles if tiles > 1 else 0)]
    with path.open("wb") as file:
        file.write(b"II+\0" + struct.pack("<HHQQ", 8, 0, 16, len(entries)))
        for tag, kind, count, value in entries:
            file.write(struct.pack("<HHQQ", tag, kind, count, value))
        file.write(struct.pack("<Q", 0))
        if not holes:
            file.write(struct.pack("<Q", 16) * tiles + struct.pack("<Q", 64) * tiles)
        file.truncate(start + 16 * tiles)


LIMITED = """
import sys, time
from pathlib import Path
from srcore.storage.raster.gdal import gdal_env, open_raster
with gdal_env():
    start = time.perf_counter()
    try:
        open_raster(Path(sys.argv[1]))
    except OSError as error:
        print(error.code, error)
    print(time.perf_counter() - start)
    # Not ru_maxrss: that keeps the peak of the process that started this one.
    peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    print(int(peak.split()[1]) / 1024)
"""


@pytest.mark.parametrize(
    ("size", "tile", "holes"),
    [(692_736, 512, True), (692_736, 512, False), (8192, 8192, False), (184_320, 512, True), (692_736, 16, True)],
    ids=["480 GB of holes", "480 GB of one block", "one tile of 67 MB", "34 GB of holes", "2e9 tiny tiles"],
)
def test_bombs_are_refused_at_once(tmp_path: Path, size: int, tile: int, holes: bool) -> None:
    path = tmp_path / "bomb.tif"
    sparse_tiff(path, size, tile, holes=holes)
    done = subprocess.run([sys.executable, "-c", LIMITED, str(path)], capture_output=True, text=True, check=True)
    message, seconds, megabytes = done.stdout.splitlines()
    assert message.startswith("TOO_LARGE"), message
    assert float(seconds) < 1
    assert float(megabytes) < 200


def test_a_folder_of_many_neighbours_costs_nothing(tmp_path: Path) -> None:
    for i in range(2000):
        (tmp_path / f"{i}.txt").touch()
    write(tmp_path / "scene.tif", np.full((1, 4, 4), 5, np.uint8))
    start = time.perf_counter()
    with gdal_env(), open_raster(tmp_path / "scene.tif") as dataset:
        assert dataset.files == [str(tmp_path / "scene.tif")]
    assert time.perf_counter() - start < 0.5
