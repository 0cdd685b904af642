"""ingest.json: what INGEST learned from the pixels, and the checksums of what it stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from srcore.errors import StoreError
from srcore.layout import Scratch
from srcore.radiometry import Normalisation
from srcore.storage.bounds import bounds
from srcore.storage.disk.records import read_sealed, write_sealed
from srcore.storage.disk.watch import Source
from srcore.storage.header import Header

Ends = tuple[float, float]


@dataclass(frozen=True)
class TileSums:
    """crc32 of what INGEST stores of one tile."""

    tile: int
    """Its values, halo included."""
    valid: int
    """The validity of its core."""
    alpha: int | None = None
    """The alpha of its core, where there is one."""
    seen: int | None = None
    """The validity of all that is read, where the plan is of a window: what lies around it is in no other tile."""


@dataclass(frozen=True)
class Ingested:
    """What INGEST learned from the pixels; the content of ingest.json, written when all tiles are cut."""

    sources: tuple[Source, ...]
    normalisation: Normalisation
    """From the valid pixels of the scene, per band: what the model takes."""
    percentiles: Normalisation
    """From the same pixels, whatever the model takes: their 2nd percentile, and the span up to the 98th, per band."""
    valid_share: tuple[float, ...]
    """Valid pixels over all pixels of the scene, per band."""
    sums: tuple[TileSums, ...]
    """Of every tile, in tile order."""
    layout: Mapping[str, str]
    """sha256 of every array's zarr.json: what the chunks mean."""
    noise: tuple[float, ...] = ()
    """Standard deviation of the noise that was found in each band, in DN, where the scene was denoised."""
    removed: tuple[float, ...] = ()
    """Root mean square of what denoising took out of the valid pixels of each band, in DN."""
    flags: tuple[str, ...] = ()
    """What the pixels showed that a user should know, beside the header's flags."""
    ends: tuple[tuple[float, float] | None, ...] = ()
    """Least and greatest valid number of each band; None where nothing is valid."""

    def ranges(self, header: Header) -> tuple[Ends | None, ...]:
        """Per band the ends that the SR keeps to: the header's, and those that the pixels show."""
        found = zip(header.ranges, bounds(header, self.ends), strict=True)
        return tuple(said if said is not None else shown for said, shown in found)

    def save(self, scratch: Scratch) -> None:
        """Write ingest.json, whole or not at all."""
        write_sealed(scratch.ingested, {**asdict(replace(self, sums=())), "sums": _columns(self.sums)})

    @classmethod
    def load(cls, scratch: Scratch) -> Ingested | None:
        """What `save` wrote; None when INGEST has not finished, or when the file is not what was written."""
        try:
            value = read_sealed(scratch.ingested)
            return cls(
                tuple(Source(**source) for source in value["sources"]),
                _normalisation(value["normalisation"]),
                _normalisation(value["percentiles"]),
                tuple(value["valid_share"]),
                _rows(value["sums"]),
                value["layout"],
                tuple(value["noise"]),
                tuple(value["removed"]),
                tuple(value["flags"]),
                tuple(None if ends is None else (ends[0], ends[1]) for ends in value["ends"]),
            )
        except (StoreError, KeyError, TypeError, AttributeError, ValueError):
            return None  # damaged, or written by a version with other fields: the scene is ingested again

    @classmethod
    def require(cls, scratch: Scratch, scene: str) -> Ingested:
        """What `load` gives; StoreError where that is None."""
        found = cls.load(scratch)
        if found is None:
            raise StoreError(f"{scene} is not ingested", "no ingest.json", "run ingest first")
        return found


def _columns(sums: Sequence[TileSums]) -> dict[str, list[int] | None]:
    """A list a field, None where no tile has it: a third of the bytes of an object a tile, for a record is limited."""
    columns = {field.name: [getattr(one, field.name) for one in sums] for field in fields(TileSums)}
    return {name: None if None in column else column for name, column in columns.items()}


def _rows(columns: Mapping[str, list[int] | None]) -> tuple[TileSums, ...]:
    there = {name: column for name, column in columns.items() if column is not None}
    return tuple(TileSums(**dict(zip(there, row, strict=True))) for row in zip(*there.values(), strict=True))


def _normalisation(value: Mapping[str, Any]) -> Normalisation:
    return Normalisation(tuple(value["offset"]), tuple(value["scale"]))
