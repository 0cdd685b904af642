"""The raster product of a scene: a head, and the chunks of the work store as they are.

    shards of full, half --bytes--> tiles        deeper overviews, alpha, mask --encoded here--> tiles

Nothing is decoded but what the deeper overviews are averaged from (1/4 of the pixels, or all where the first overview
could not be made tile by tile), so that the time is that of copying, and memory does not grow with the scene.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from pathlib import Path

from srcore.errors import StoreError
from srcore.progress import Progress
from srcore.storage.cog.blocks import Encoded
from srcore.storage.cog.layout import FRAME, Image, Places, head, order
from srcore.storage.cog.levels import MASK, TiledLevel, make_levels
from srcore.storage.disk.files import fsync_folder, hidden_folder, store_error
from srcore.storage.raster.gdal import GDAL_ERRORS

FAILURES = (*GDAL_ERRORS, OSError, ValueError, SystemError)
"""What a failed write or read ends in: rasterio gives a SystemError where GDAL fails without a word."""


def write_cog(path: Path, encoded: Encoded, progress: Progress | None = None) -> None:
    """Write the product `path` of an image in the work store, and sync it to the disk.

    `progress` gets (tiles written, tiles in all). What stands at `path` is replaced at the end and not looked at.
    Needs, for a while, the bytes of the deeper overviews besides the product's. Raises StoreError (DISK_FULL, or
    TILE_DAMAGED for a shard that cannot be read) and leaves nothing then.
    """
    with hidden_folder(path) as folder:
        try:
            with open(folder / "overviews", "x+b") as spool:
                _write(folder / "product.tif", encoded.images, make_levels(spool, encoded), progress)
            os.replace(folder / "product.tif", path)
            fsync_folder(path.parent)
        except StoreError:
            raise
        except FAILURES as error:
            raise store_error(path, error) from error


def _write(path: Path, images: Sequence[Image], levels: Sequence[TiledLevel], progress: Progress | None) -> None:
    places, done = Places(images), 0
    total = sum(int(spans[..., 0].size) for spans in places.spans)
    with open(path, "wb") as file:
        file.write(head(images, places))
        position = file.tell()
        for key in order(images):
            image = images[key.image]
            data = levels[image.level].held.tile(MASK if image.mask else key.band, key.row, key.col)
            for part in (struct.pack("<I", len(data)), data, data[-FRAME:]):
                file.write(part)
            places.put(key, position + FRAME, len(data))
            position, done = position + len(data) + 2 * FRAME, done + 1
            if progress is not None:
                progress(done, total)
        file.seek(0)
        file.write(head(images, places))
        file.flush()
        os.fsync(file.fileno())
