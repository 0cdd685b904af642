"""The markers of finished tiles: the proof that a tile's shards are written, and who made them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from srcore.errors import StoreError
from srcore.storage.cog import Statistics
from srcore.storage.disk.records import read_sealed, write_sealed


@dataclass(frozen=True)
class Maker:
    """Where and how a tile was computed; the same for all tiles of a scene."""

    device: str = ""
    precision: str = ""
    backend: str = ""
    rms_dn: float = 0.0
    max_dn: float = 0.0
    """Of the backend to float32 in eager, in DN of 10,000, as the numerics gate found it."""


@dataclass(frozen=True)
class ImageSums:
    """What is known of a tile's part of an image: of the SR, or of its trust map."""

    crc32: Mapping[str, int]
    """Of each array that the image has: full, and half and quarter where they are stored."""
    statistics: tuple[Statistics, ...] = ()
    """Of every data band of a raster."""

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ImageSums:
        """From plain values."""
        return cls(dict(value["crc32"]), tuple(Statistics(**band) for band in value["statistics"]))


@dataclass(frozen=True)
class Marker:
    """The proof that one tile's shards are written."""

    tile: int
    configuration: str
    images: Mapping[str, ImageSums]
    """Of the SR, and of the trust map where there is one, by their names."""
    maker: Maker = field(default_factory=Maker)


@dataclass(frozen=True)
class Markers:
    """The markers of a scene, a file each; those of another configuration are none."""

    folder: Path
    configuration: str
    scene: str

    def put(self, index: int, images: Mapping[str, ImageSums], maker: Maker) -> None:
        """Mark a tile as done: whole or not at all."""
        write_sealed(self._path(index), asdict(Marker(index, self.configuration, images, maker)))

    def get(self, index: int) -> Marker | None:
        """The marker of a tile; None when there is nothing, or something else."""
        if not self._path(index).exists():
            return None
        try:
            value = read_sealed(self._path(index))
            images = {name: ImageSums.from_json(sums) for name, sums in value["images"].items()}
            marker = Marker(**{**value, "images": images, "maker": Maker(**value["maker"])})
        except (StoreError, TypeError, KeyError, AttributeError):
            return None  # a torn marker is no marker: the tile is done again
        return marker if marker.configuration == self.configuration else None

    def require(self, index: int, image: str) -> ImageSums:
        """What the marker of a tile says of an image; StoreError TILE_MISSING where there is no such marker."""
        marker = self.get(index)
        if marker is None or image not in marker.images:
            what = f"tile {index} of {self.scene} has no marker"
            raise StoreError(what, f"none for {image}", "run upscale again", code="TILE_MISSING")
        return marker.images[image]

    def drop(self, index: int) -> None:
        """The tile is not done."""
        self._path(index).unlink(missing_ok=True)

    def _path(self, index: int) -> Path:
        return self.folder / f"{index}.json"
