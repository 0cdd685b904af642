"""The marker of a finished tile: the proof that its shards are written, and who made them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path

from srcore.errors import StoreError
from srcore.storage.cog.statistics import Statistics
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
class Marker:
    """The proof that one tile's shard is written."""

    tile: int
    crc32: int
    """Of its SR."""
    configuration: str
    maker: Maker = field(default_factory=Maker)
    overview: int | None = None
    """crc32 of its first overview, where it is stored."""
    again: int | None = None
    """crc32 of its second one."""
    statistics: tuple[Statistics, ...] = ()
    """Of every data band of a raster."""
    trust: int | None = None
    """crc32 of its part of the trust map, where there is one."""

    def save(self, path: Path) -> None:
        """Write it, whole or not at all."""
        write_sealed(path, asdict(self))

    @classmethod
    def load(cls, path: Path, configuration: str) -> Marker | None:
        """What `save` wrote; None when there is nothing, or the marker of another configuration."""
        if not path.exists():
            return None
        try:
            value = read_sealed(path)
            statistics = tuple(Statistics(**band) for band in value["statistics"])
            marker = cls(**{**value, "statistics": statistics, "maker": Maker(**value["maker"])})
        except (StoreError, TypeError, KeyError):
            return None  # a torn marker is no marker: the tile is done again
        return marker if marker.configuration == configuration else None
