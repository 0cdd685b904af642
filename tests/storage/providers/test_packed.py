"""Products in an archive: the scene of the folder, unpacked once, and no member of a stranger's leads elsewhere."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from srcore.errors import SourceError
from srcore.settings import load_settings
from srcore.storage.providers import packed
from srcore.storage.scene import read_header, scene_files
from tests.storage.providers.products import LANDSAT, NAME, make_landsat, make_safe, write
from tests.storage.providers.test_products import whole


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SRCORE_CACHE", str(tmp_path / "cache"))
    return load_settings().cache_folder / "products"


def zipped(folder: Path, archive: Path) -> Path:
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(folder.rglob("*")):
            file.write(path, path.relative_to(folder.parent))
    return archive


def test_a_zip_of_a_safe_folder_is_the_scene_of_the_folder(tmp_path: Path, cache: Path) -> None:
    safe = make_safe(tmp_path)
    archive = zipped(safe, tmp_path / f"{NAME}.zip")
    quality = {"layer": "SCL", "as_": "nodata"}
    wish = {"bands": ["B04", "B11"], "quality": quality, "roots": [tmp_path]}
    plain, header = read_header([safe], **wish), read_header([archive], **wish)
    for ours, theirs in zip(whole(header), whole(plain), strict=True):
        assert ours.tobytes() == theirs.tobytes()
    assert header.paths == scene_files([archive], **wish) == (archive,)
    assert header.taken == plain.taken
    [folder] = cache.iterdir()
    before = [path.stat().st_mtime_ns for path in sorted(folder.rglob("*.jp2"))]
    read_header([archive], **wish)
    assert [path.stat().st_mtime_ns for path in sorted(folder.rglob("*.jp2"))] == before  # unpacked once


def test_what_a_macos_archive_has_beside_the_product_is_left_there(tmp_path: Path, cache: Path) -> None:
    safe = make_safe(tmp_path, {"B02": 10})
    archive = zipped(safe, tmp_path / f"{NAME}.zip")
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr(f"__MACOSX/{safe.name}/._MTD_MSIL2A.xml", b"Mac OS X")
        file.writestr(f"{safe.name}/GRANULE/.DS_Store.tif", b"Mac OS X")
    assert whole(read_header([archive]))[0].tobytes() == whole(read_header([safe]))[0].tobytes()
    assert not [path for path in cache.rglob("*") if "Store" in path.name or path.name == "__MACOSX"]


def test_a_mask_of_the_users_is_a_source_beside_the_archive(tmp_path: Path) -> None:
    archive = zipped(make_safe(tmp_path), tmp_path / f"{NAME}.zip")
    mask = write(tmp_path / "masks" / f"{NAME}.tif", np.eye(60, dtype=np.uint8), 10)
    quality = {"layer": str(tmp_path / "masks" / "{scene}.tif"), "as_": "nodata"}
    header = read_header([archive], bands=["B04"], quality=quality)
    assert header.paths == scene_files([archive], bands=["B04"], quality=quality) == (archive, mask)
    assert (~whole(header)[1]).sum() == 60


def test_a_tar_of_landsat_files_is_the_scene_of_the_folder(tmp_path: Path) -> None:
    folder = make_landsat(tmp_path / "in")
    archive = tmp_path / f"{LANDSAT}.tar"
    with tarfile.open(archive, "w") as file:
        for path in sorted(folder.iterdir()):
            file.add(path, path.name)
    assert whole(read_header([archive]))[0].tobytes() == whole(read_header([folder]))[0].tobytes()


BESIDE = {
    "two products": ("Y.SAFE/MTD_MSIL2A.xml",),
    "a name too long": (f"X.SAFE/{'x' * 300}.tif",),
    "a member twice": ("X.SAFE/./MTD_MSIL2A.xml",),
    "a file that is a folder": ("X.SAFE/a.tif", "X.SAFE/a.tif/MTD_TL.xml"),
}
"""What else lies in an archive."""


def spoiled(tmp_path: Path, how: str) -> Path:
    archive = tmp_path / f"{NAME}.zip"
    if how == "a link":
        archive = tmp_path / f"{LANDSAT}.tar"
        with tarfile.open(archive, "w") as file:
            link = tarfile.TarInfo(f"{LANDSAT}_MTL.json")
            link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
            file.addfile(link)
        return archive
    names = {"dots": "../MTD_MSIL2A.xml", "absolute": "/tmp/MTD_MSIL2A.xml", "backslash": "..\\MTD_MSIL2A.xml"}
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for name in BESIDE.get(how, ()):
            file.writestr(name, b"<x/>")
        file.writestr(names.get(how, "X.SAFE/MTD_MSIL2A.xml"), b"0" * (200 << 20) if how == "a bomb" else b"<x/>")
    if how == "cut":
        archive.write_bytes(archive.read_bytes()[:60])
    if how == "another byte":
        data = bytearray(archive.read_bytes())
        data[data.index(b".xml") + 6] ^= 255
        archive.write_bytes(data)
    return archive


@pytest.mark.parametrize(
    "how",
    [
        "dots",
        "absolute",
        "backslash",
        "a link",
        "a bomb",
        "two products",
        "cut",
        "another byte",
        "a name too long",
        "a member twice",
        "a file that is a folder",
    ],
)
def test_what_a_stranger_may_pack_is_refused_and_leaves_nothing(tmp_path: Path, cache: Path, how: str) -> None:
    archive = spoiled(tmp_path, how)
    with pytest.raises(SourceError) as told:
        read_header([archive])
    assert told.value.code == "DAMAGED"
    assert "\n" not in str(told.value)
    assert not (tmp_path / "MTD_MSIL2A.xml").exists()
    if how != "two products":
        assert not cache.exists() or list(cache.iterdir()) == []


def test_the_oldest_go_when_the_cache_is_full(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archives = []
    for day in range(3):
        safe = make_safe(tmp_path / str(day), {"B02": 10}, name=NAME.replace("20240601T17", f"2024060{day + 1}T17"))
        archives.append(zipped(safe, tmp_path / f"{safe.stem}.zip"))
    size = sum(path.stat().st_size for path in packed.unpacked(archives[0]).rglob("*") if path.is_file())
    monkeypatch.setattr(packed, "KEPT_BYTES", int(2.5 * size))
    for archive in archives[1:]:
        packed.unpacked(archive)
    assert len(list(cache.iterdir())) == 2
    assert whole(read_header([archives[0]]))[1].all()  # and are unpacked again


def test_what_a_killed_run_left_goes_and_what_a_living_one_unpacks_stays(tmp_path: Path, cache: Path) -> None:
    names = ("left", "held", "young")
    left, held, young = (cache / f"{packed.UNPACKING}{name}" for name in names)
    for folder in (left, held, young):
        (folder / "product").mkdir(parents=True)
        if folder is not young:
            os.utime(folder, (0, 0))
    with packed._held(held):
        read_header([zipped(make_safe(tmp_path, {"B02": 10}), tmp_path / f"{NAME}.zip")])
        assert {path.name for path in cache.glob(".*")} == {held.name, young.name}


def test_what_is_called_whole_was_synced_before(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut leaves no folder of empty files that counts as unpacked."""
    synced: list[Path] = []
    for name in ("fsync_file", "fsync_folder"):
        monkeypatch.setattr(packed, name, lambda path: synced.append(Path(*path.parts[path.parts.index("product") :])))
    archive = zipped(make_safe(tmp_path, {"B02": 10}), tmp_path / f"{NAME}.zip")
    read_header([archive])
    [folder] = cache.iterdir()
    assert {one.relative_to("product") for one in synced} == {one.relative_to(folder) for one in folder.rglob("*")} | {
        Path()
    }


def test_an_encrypted_archive_says_so(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("X.SAFE/MTD_MSIL2A.xml", b"<x/>")
    data = bytearray(buffer.getvalue())
    data[6] |= 1  # the flag, in the member's head
    data[data.index(b"PK\x01\x02") + 8] |= 1  # and in the list of members
    (tmp_path / f"{NAME}.zip").write_bytes(data)
    with pytest.raises(SourceError, match="encrypted"):
        read_header([tmp_path / f"{NAME}.zip"])
