"""The raster product of a scene whose tiles are encoded: a head, and the chunks of the work store as they are.

    shards of sr, overview --bytes--> tiles        deeper overviews, alpha, mask --encoded here--> tiles

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
from srcore.storage.cog.encoded import Encoded
from srcore.storage.cog.explain import explain
from srcore.storage.cog.layout import FRAME, Image, Places, head, order, plan_images
from srcore.storage.cog.levels import TiledLevel, make_levels
from srcore.storage.cog.product import FULL_BELOW_BYTES, GDAL_FAILURES
from srcore.storage.cog.profile import product_env
from srcore.storage.cog.write import ZSTD, write_tiny
from srcore.storage.disk.files import fsync_folder, hidden_folder, store_error


def assemble_cog(path: Path, encoded: Encoded, progress: Progress | None = None) -> None:
    """Write the product `path` of an encoded scene, and sync it to the disk.

    `progress` gets (tiles written, tiles in all). What stands at `path` is replaced at the end and not looked at.
    Needs, for a while, the bytes of the deeper overviews besides the product's. Raises StoreError (DISK_FULL, or
    TILE_DAMAGED for a shard that cannot be read) and leaves nothing then.
    """
    with hidden_folder(path) as folder, product_env(encoded.pixels):
        try:
            images = model_images(folder, encoded)
            with open(folder / "overviews", "x+b") as spool:
                _write(folder / "product.tif", images, make_levels(spool, encoded), progress)
            os.replace(folder / "product.tif", path)
            fsync_folder(path.parent)
        except StoreError:
            raise
        except GDAL_FAILURES as error:
            raise store_error(path, error, enough_bytes=FULL_BELOW_BYTES) from error


def model_images(folder: Path, encoded: Encoded) -> list[Image]:
    """The directories of the product, with the tags that GDAL gives a tiny one; `folder` takes that, for a while."""
    place = folder / "model"
    place.mkdir()
    return plan_images(encoded.pixels, explain(write_tiny(place, encoded.pixels, encoded.statistics, ZSTD)))


def _write(product: Path, images: Sequence[Image], levels: Sequence[TiledLevel], progress: Progress | None) -> None:
    places, done = Places(images), 0
    total = sum(int(spans[..., 0].size) for spans in places.spans)
    with open(product, "wb") as file:
        file.write(head(images, places))
        position = file.tell()
        for key in order(images):
            held = levels[images[key.image].level].held
            masked = images[key.image].mask
            data = held.mask_tile(key.row, key.col) if masked else held.tile(key.band, key.row, key.col)
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
