"""GDAL under one configuration, and the only open of an existing raster.

A raster is hostile until its header says otherwise. GDAL by itself follows what a file or its neighbours name
(`.ovr`, `.msk`, `.aux.xml`, OVERVIEW_FILE inside a TIFF, a VRT called .tif): other local files, and the network.
So the driver comes from the file's first bytes, no other driver is registered, no neighbour is looked at, and
sizes are judged before a pixel is decoded.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio import _env as rasterio_env
from rasterio._err import CPLE_BaseError
from rasterio.enums import Interleaving
from rasterio.errors import CRSError, NotGeoreferencedWarning, RasterioError
from rasterio.session import DummySession

from srcore.errors import SourceError, printable
from srcore.storage.disk.real_file import MAX_PIXELS, real_file
from srcore.storage.disk.strangers import HEAD, stranger
from srcore.storage.raster.pieces import check_jp2, check_png
from srcore.storage.raster.tiff import check_tiff

DRIVERS = frozenset({"GTiff", "COG", "MEM", "JP2OpenJPEG", "PNG"})
"""All that GDAL may know: three to read, three to write."""

MAX_BANDS = 1024
MAX_BLOCK_BYTES = 256 * 2**20
"""One block, all bands of it, decoded. GDAL decodes whole blocks, so that this bounds memory."""
TRUSTED_BLOCK_BYTES = 32 * 2**20
BLOCK_EXPANSION = 100
"""Decoded bytes of one block over bytes of the whole file; only a trap passes this with a block that is not small."""
MAX_EXPANSION = 10_000
"""Decoded bytes over file bytes; DEFLATE cannot pass 1,032, sparse files and bombs do."""
EXPANSION_FREE_BYTES = 2**30
"""Below this an expansion is harmless: an empty scene compresses to nothing."""

CACHE_BYTES = 32 * 2**20
"""Decoded blocks that GDAL keeps. In bytes: rasterio takes this number as bytes where GDAL itself means megabytes."""

CONFIG: dict[str, Any] = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_PAM_ENABLED": "NO",
    # PAM is off; but without its name here GDAL hands out uninitialised numbers for a JPEG 2000 without georeference.
    "GDAL_GEOREF_SOURCES": "PAM,INTERNAL",
    "GDAL_CACHEMAX": CACHE_BYTES,
    "GDAL_NUM_THREADS": "1",
    "CPL_VSIL_CURL_ALLOWED_FILENAME": "/nothing/is/allowed",
    "GDAL_HTTP_TIMEOUT": "1",
    "GDAL_HTTP_MAX_RETRY": "0",
}

SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"II*\0", "GTiff"),
    (b"MM\0*", "GTiff"),
    (b"II+\0", "GTiff"),
    (b"MM\0+", "GTiff"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JP2OpenJPEG"),
    (b"\xff\x4f\xff\x51", "JP2OpenJPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
)

CHECKS = {"GTiff": check_tiff, "JP2OpenJPEG": check_jp2, "PNG": check_png}
"""What proves, without decoding, that a file of each driver is whole."""

GDAL_ERRORS = (RasterioError, CRSError, CPLE_BaseError)
"""All that rasterio raises for what GDAL says; some of it by a class that its documentation does not show."""

_lock = threading.Lock()
_limited = threading.Event()


@contextmanager
def gdal_env() -> Iterator[None]:
    """srcore's GDAL configuration for this thread; around every open, read and write. May be nested."""
    _limit_drivers()
    with rasterio.Env(session=DummySession(), **CONFIG):
        yield


def _limit_drivers() -> None:
    """Deregister every GDAL driver that is not in DRIVERS, once a process."""
    with _lock:
        if _limited.is_set():
            return
        with rasterio.Env() as env:
            # Commas, since GDAL splits at spaces otherwise and some names hold one ('ESRI Shapefile').
            skip = ",".join(sorted(set(env.drivers()) - DRIVERS))
        # GDAL reads GDAL_SKIP only while it registers, and rasterio registers once, at its first environment: let
        # it register again, also while the caller has a dataset or an environment of his own open.
        rasterio_env.set_gdal_config("GDAL_SKIP", skip)
        rasterio_env._have_registered_drivers = False
        rasterio_env.GDALEnv().start()
        with rasterio.Env() as env:
            left = set(env.drivers()) - DRIVERS
        if left:
            raise SourceError("GDAL keeps drivers it must not have", ", ".join(sorted(left)), "use the pinned rasterio")
        # The header says it by a flag. Once a process, since warning filters are no thread's own.
        warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)
        _limited.set()


def open_raster(path: Path, roots: Sequence[Path] | None = None, overview: int | None = None) -> Any:
    """An existing raster, opened for reading by rasterio inside `gdal_env()`; the caller closes it.

    The only open of a raster that srcore did not just write. `roots`: folders that may be read; None: any.
    `overview`: that level instead of the full resolution. Raises SourceError with code NOT_READABLE, OUTSIDE,
    NOT_SUPPORTED, DAMAGED, TRUNCATED or TOO_LARGE.
    """
    real = real_file(path, roots)
    driver = sniff_driver(real)
    CHECKS[driver](real)
    try:
        dataset = _open(real, driver, overview)
    except GDAL_ERRORS as error:
        raise SourceError(
            f"{path}: not a readable {driver}", gdal_message(error), "fetch the file again", code="DAMAGED"
        ) from error
    try:
        _check_names(path, dataset)
        _check_size(path, dataset, real.stat().st_size)
    except GDAL_ERRORS as error:
        dataset.close()
        raise SourceError(
            f"{path}: not a readable {driver}", gdal_message(error), "fetch the file again", code="DAMAGED"
        ) from error
    except SourceError:
        dataset.close()
        raise
    return dataset


def _open(path: Path, driver: str, overview: int | None) -> Any:
    level = {} if overview is None else {"OVERVIEW_LEVEL": overview}
    # A Path, not a str: rasterio takes a str for a possible URL.
    if printable(str(path)) == str(path):
        return rasterio.open(path, driver=driver, sharing=False, **level)
    # rasterio takes names in UTF-8 only: an open file has such a one, which GDAL needs until it has opened it itself.
    with path.open("rb") as file:
        return rasterio.open(Path(f"/proc/self/fd/{file.fileno()}"), driver=driver, sharing=False, **level)


def sniff_driver(path: Path) -> str:
    """The GDAL driver for the file's first bytes. Raises SourceError when it is no raster that srcore reads."""
    with path.open("rb") as file:
        head = file.read(HEAD)
    for signature, driver in SIGNATURES:
        if head.startswith(signature):
            return driver
    raise stranger(path, head)


def gdal_message(error: BaseException) -> str:
    """What GDAL said, in one line: the innermost cause."""
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(getattr(error, "errmsg", "") or error).split())[:300]


def _check_names(path: Path, dataset: Any) -> None:
    """Refuse a file that sends GDAL elsewhere from its inside: no configuration stops GDAL from following that."""
    named = dataset.tags(ns="OVERVIEWS")
    if named:
        found = ", ".join(f"{name}={value}" for name, value in named.items())[:200]
        raise SourceError(
            f"{path}: names another file as a part of itself",
            found,
            "convert it: gdal_translate IN OUT",
            code="OUTSIDE",
        )


def _check_size(path: Path, dataset: Any, file_bytes: int) -> None:
    """Refuse by the header alone what would take too much memory or time to decode."""
    pixels, count = dataset.width * dataset.height, dataset.count
    if pixels > MAX_PIXELS:
        raise _too_large(path, f"{dataset.height} x {dataset.width} pixels", f"cut it: at most {MAX_PIXELS} pixels")
    # Before anything that asks band by band: a damaged JPEG 2000 has 16,384 of them.
    if count > MAX_BANDS:
        raise _too_large(path, f"{count} bands", f"split it: at most {MAX_BANDS} bands")
    itemsize = max((_itemsize(name) for name in dataset.dtypes), default=1)
    decoded = pixels * count * itemsize
    if decoded > max(file_bytes * MAX_EXPANSION, EXPANSION_FREE_BYTES):
        raise _too_large(path, f"{file_bytes} bytes that declare {decoded}", "it is nearly empty, or a trap: cut it")
    # Only a TIFF is asked: for a JPEG 2000 with a box of length 0 inside its header GDAL never answers.
    apart = dataset.driver == "GTiff" and dataset.interleaving != Interleaving.pixel
    together = 1 if apart else count
    block = max((prod(shape) for shape in dataset.block_shapes), default=1) * itemsize * together
    if block > min(MAX_BLOCK_BYTES, max(TRUSTED_BLOCK_BYTES, file_bytes * BLOCK_EXPANSION)):
        found = f"blocks of {block} bytes in a file of {file_bytes}"
        raise _too_large(path, found, "rewrite it in tiles: gdal_translate -co TILED=YES")


def _too_large(path: Path, found: str, do: str) -> SourceError:
    return SourceError(f"{path}: too large to read", found, do, code="TOO_LARGE")


def _itemsize(dtype: str) -> int:
    # GDAL knows complex integers, numpy does not: 4 and 8 bytes.
    return 8 if dtype.startswith("complex_int") else np.dtype(dtype).itemsize
