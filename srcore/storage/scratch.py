"""The work store of one scene: plan.json, tiles.zarr, sr.zarr and a marker a finished tile.

One tile = one chunk in `tiles` = one whole shard in `sr`, so every file has one writer, in any order, without
locks. Zarr reads a missing chunk as fill, in silence: therefore each tile's crc32 stands in `ingest.json` and
in its marker, and whoever reads a block compares.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import gcd
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import ZstdCodec
from zarr.errors import BaseZarrError

from srcore.errors import StoreError
from srcore.layout import ProductPaths, Scratch
from srcore.radiometry import Normalisation
from srcore.storage.files import sha256_file, store_error
from srcore.storage.header import Header
from srcore.storage.records import read_sealed, write_sealed
from srcore.storage.watch import Source, Stamp
from srcore.tiling import Tile, TilePlan
from srcore.trust import Trust

CHUNK_HR = 512
"""SR pixels on each side of an inner chunk of `sr`, and of a block of the product."""


@dataclass(frozen=True)
class ScenePlan:
    """All that the stages need to know of one scene; the content of plan.json."""

    dataset: str
    scene: str
    header: Header
    sources: tuple[Stamp, ...]
    """The header's files, as they were when it was read."""
    model: Path
    """Checkpoint folder."""
    model_digest: str
    tiles: TilePlan
    precision: str
    """'auto', 'float32' or 'bfloat16'."""
    device: str
    """'auto', 'cpu' or 'cuda'."""
    product: ProductPaths
    scratch: Scratch
    configuration: str
    """sha256 over model, parameters and bands: with the sources' digests, what makes a product due again."""
    validate: bool
    """False: gates are told, but do not stop the product."""
    outputs: tuple[str, ...]
    """What is made beside the data: stac, report, quicklook."""
    hr: Path | None = None
    """True HR of the scene, where the catalog knows one."""
    limits: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    """The dataset's changes of the checks' limits."""
    back_projection: int = 0
    """Steps after the generator; `tiles.halo` holds their margin."""
    trust: Trust | None = None
    """The model's calibration where a trust map is made."""

    def save(self) -> None:
        """Write plan.json, whole or not at all."""
        value = {
            **asdict(self),
            "header": self.header.to_json(),
            "model": str(self.model),
            "product": [str(self.product.folder), self.product.name],
            "scratch": str(self.scratch.folder),
            "hr": str(self.hr) if self.hr else None,
            "trust": self.trust.model_dump() if self.trust else None,
        }
        write_sealed(self.scratch.plan, value)

    @classmethod
    def load(cls, path: Path) -> ScenePlan:
        """The plan that `save` wrote; StoreError when it is not what was written."""
        value = read_sealed(path)
        folder, name = value["product"]
        return cls(
            **{
                **value,
                "header": Header.from_json(value["header"]),
                "sources": tuple(Stamp(**source) for source in value["sources"]),
                "model": Path(value["model"]),
                "tiles": TilePlan(**{key: tuple(axes) for key, axes in value["tiles"].items()}),
                "product": ProductPaths(Path(folder), name),
                "scratch": Scratch(Path(value["scratch"])),
                "outputs": tuple(value["outputs"]),
                "hr": Path(value["hr"]) if value["hr"] else None,
                "trust": Trust.model_validate(value["trust"]) if value["trust"] else None,
            }
        )


@dataclass(frozen=True)
class TileSums:
    """crc32 of what INGEST stores of one tile."""

    tile: int
    """Its values, halo included."""
    valid: int
    """The validity of its core."""
    alpha: int | None = None
    """The alpha of its core, where there is one."""


@dataclass(frozen=True)
class Ingested:
    """What INGEST learned from the pixels; the content of ingest.json, written when all tiles are cut."""

    sources: tuple[Source, ...]
    normalisation: Normalisation
    """From the valid pixels of the scene, per band: what the model takes."""
    spread: Normalisation
    """Of the values whatever the model takes: their 2nd percentile, and the span up to the 98th, per band."""
    valid_share: tuple[float, ...]
    """Valid pixels over all pixels, per band."""
    sums: tuple[TileSums, ...]
    """Of every tile, in tile order."""
    layout: Mapping[str, str]
    """sha256 of every array's zarr.json: what the chunks mean."""

    def save(self, scratch: Scratch) -> None:
        """Write ingest.json, whole or not at all."""
        write_sealed(scratch.ingested, asdict(self))

    @classmethod
    def load(cls, scratch: Scratch) -> Ingested | None:
        """What `save` wrote; None when INGEST has not finished, or when the file is not what was written."""
        try:
            value = read_sealed(scratch.ingested)
            return cls(
                tuple(Source(**source) for source in value["sources"]),
                _normalisation(value["normalisation"]),
                _normalisation(value["spread"]),
                tuple(value["valid_share"]),
                tuple(TileSums(**sums) for sums in value["sums"]),
                value["layout"],
            )
        except (StoreError, KeyError, TypeError, AttributeError):
            return None


def _normalisation(value: Mapping[str, Any]) -> Normalisation:
    return Normalisation(tuple(value["offset"]), tuple(value["scale"]))


@dataclass(frozen=True)
class Marker:
    """The proof that one tile's shard is written."""

    tile: int
    crc32: int
    configuration: str
    device: str = ""
    precision: str = ""
    """Where and how it was computed, for the receipt."""
    trust: int | None = None
    """crc32 of its part of the trust map, where there is one."""


class TileStore:
    """The arrays of one scene.

    tiles (n, C, *core + 2 halo), native dtype, nodata filled; valid (C, *scene) bool; sr (C, *scene * scale),
    native dtype, nodata in place; alpha (*scene) where the source has one; trust, float32 half widths on the grid of
    sr, where a trust map is made.
    """

    def __init__(self, plan: ScenePlan) -> None:
        self.plan = plan

    def create(self) -> None:
        """Make the arrays, empty, in place of what may be there."""
        plan, tiles = self.plan, self.plan.tiles
        bands, dtype = len(plan.header.bands), plan.header.dtype
        group = zarr.open_group(plan.scratch.tiles, mode="w", zarr_format=3)
        _array(group, "tiles", (len(tiles), bands, *tiles.tile_shape), (1, bands, *tiles.tile_shape), dtype)
        _array(group, "valid", (bands, *tiles.shape), (bands, *tiles.core), "bool")
        if plan.header.alpha is not None:
            _array(group, "alpha", tiles.shape, tiles.core, dtype)
        shard = (bands, *tiles.core_hr)
        chunk = (1, *(_inner(size) for size in tiles.core_hr))
        made = zarr.open_group(plan.scratch.sr, mode="w", zarr_format=3)
        _array(made, "sr", (bands, *tiles.shape_hr), chunk, dtype, shard)
        if plan.trust is not None:
            _array(made, "trust", (bands, *tiles.shape_hr), chunk, "float32", shard)

    def layout(self) -> dict[str, str]:
        """sha256 of every array's zarr.json; StoreError when one cannot be read."""
        made = [*(["alpha"] if self._has_alpha else []), *(["trust"] if self._has_trust else [])]
        roots = [self._root(name) for name in ("tiles", "valid", "sr", *made)]
        try:
            return {root.name: sha256_file(root / "zarr.json") for root in roots}
        except OSError as error:
            raise self._damaged("the scratch store", str(error)) from error

    def is_intact(self, ingested: Ingested) -> bool:
        """True when all that INGEST stored is there and has its checksum."""
        try:
            if self.layout() != ingested.layout or len(self.plan.tiles) != len(ingested.sums):
                return False
            for tile in self.plan.tiles:
                self.read_tile(tile, ingested.sums[tile.index])
                self.check_masks(tile, ingested.sums[tile.index])
        except StoreError:
            return False
        return True

    def write_tile(
        self, tile: Tile, values: NDArray[Any], valid: NDArray[np.bool_], alpha: NDArray[Any] | None = None
    ) -> TileSums:
        """Store a tile as read, the validity of its core, and its alpha; gives their checksums."""
        self._write("tiles", tile.index, values)
        self._write("valid", (slice(None), *tile.core), valid)
        if alpha is not None:
            self._write("alpha", tile.core, alpha)
        return TileSums(checksum(values), checksum(valid), None if alpha is None else checksum(alpha))

    def read_tile(self, tile: Tile, sums: TileSums) -> NDArray[Any]:
        """The tile (C, *core + 2 halo); StoreError when its bytes are not those that were written."""
        return self._checked(f"tile {tile.index}", self._read("tiles", tile.index), sums.tile)

    def read_valid(self, tile: Tile, sums: TileSums) -> NDArray[np.bool_]:
        """Validity (C, *core) of the pixels that the tile owns; StoreError as `read_tile`."""
        return self._checked(f"valid of tile {tile.index}", self._read("valid", (slice(None), *tile.core)), sums.valid)

    def check_masks(self, tile: Tile, sums: TileSums) -> None:
        """StoreError unless validity and alpha of the tile's core are what was written."""
        self.read_valid(tile, sums)
        if sums.alpha is not None:
            self._checked(f"alpha of tile {tile.index}", self._read("alpha", tile.core), sums.alpha)

    def read_valid_around(self, tile: Tile, margin_px: Sequence[int], sums: Sequence[TileSums]) -> NDArray[np.bool_]:
        """Validity (C, *core + 2 margin) of a tile that nothing clips: beyond the scene's edge it is reflected.

        StoreError as `read_tile`, also for the neighbours that it reaches into.
        """
        tiles = self.plan.tiles
        index = [
            axis[h - m : len(axis) - h + m]
            for axis, h, m in zip(tiles.sources(tile), tiles.halo, margin_px, strict=True)
        ]
        window = tuple(slice(int(i.min()), int(i.max()) + 1) for i in index)
        values = np.empty((len(self.plan.header.bands), *(w.stop - w.start for w in window)), bool)
        for near in tiles.within(window):
            inside = tuple(slice(max(w.start, c.start), min(w.stop, c.stop))
                           for w, c in zip(window, near.core, strict=True))  # fmt: skip
            core = self.read_valid(near, sums[near.index])
            source = (slice(i.start - c.start, i.stop - c.start) for i, c in zip(inside, near.core, strict=True))
            target = (slice(i.start - w.start, i.stop - w.start) for i, w in zip(inside, window, strict=True))
            values[(slice(None), *target)] = core[(slice(None), *source)]
        relative = (i - w.start for i, w in zip(index, window, strict=True))
        return values[np.ix_(np.arange(len(values)), *relative)]

    def write_sr(
        self, tile: Tile, block: NDArray[Any], device: str = "", precision: str = "",
        trust: NDArray[np.float32] | None = None,
    ) -> None:  # fmt: skip
        """Store the SR of a core and its part of the trust map, then its marker."""
        self._write_shard("sr", tile, block)
        if trust is not None:
            self._write_shard("trust", tile, trust)
        known = None if trust is None else checksum(trust)
        marker = Marker(tile.index, checksum(block), self.plan.configuration, device, precision, known)
        write_sealed(self._marker(tile.index), asdict(marker))

    def read_sr(self, tile: Tile) -> NDArray[Any]:
        """The SR (C, *core * scale) of a tile; StoreError unless it is marked and its bytes are the marked ones."""
        return self._checked(f"the SR of tile {tile.index}", self._read_hr("sr", tile), self._done(tile).crc32)

    def check_trust(self, tile: Tile) -> None:
        """StoreError unless the tile's part of the trust map, where one is made, is the marked one."""
        if self._has_trust:
            crc32 = self._done(tile).trust
            self._checked(f"the trust map of tile {tile.index}", self._read_hr("trust", tile), crc32)

    def _read_hr(self, name: str, tile: Tile) -> NDArray[Any]:
        return self._read(name, (slice(None), *self.plan.tiles.window_hr(tile)))

    def _write_shard(self, name: str, tile: Tile, block: NDArray[Any]) -> None:
        # Zarr reads the shard of an edge tile before it writes it, and would fail for ever on a damaged one.
        self._shard(name, tile).unlink(missing_ok=True)
        self._write(name, (slice(None), *self.plan.tiles.window_hr(tile)), block)

    def _done(self, tile: Tile) -> Marker:
        marker = self.marker(tile.index)
        if marker is None:
            raise StoreError(f"tile {tile.index} of {self.plan.scene} has no marker", "", "run upscale again",
                             code="TILE_MISSING")  # fmt: skip
        return marker

    def marker(self, index: int) -> Marker | None:
        """The marker of a tile under this configuration, or None."""
        path = self._marker(index)
        if not path.exists():
            return None
        try:
            marker = Marker(**read_sealed(path))
        except (StoreError, TypeError):
            return None  # a torn marker is no marker: the tile is done again
        return marker if marker.configuration == self.plan.configuration else None

    def makers(self) -> tuple[str, str]:
        """Devices and precisions that computed the tiles: one each, unless a resumed run found another machine."""
        markers = [found for tile in self.plan.tiles if (found := self.marker(tile.index)) is not None]
        devices, precisions = {marker.device for marker in markers}, {marker.precision for marker in markers}
        return "+".join(sorted(devices)), "+".join(sorted(precisions))

    def pending(self) -> list[int]:
        """Tiles that are not done: without a marker, or with a shard that is not the marked one.

        Zarr renames its files but does not sync them: after a power cut a marker can outlive its shard.
        """
        return [tile.index for tile in self.plan.tiles if not self._is_done(tile)]

    def _is_done(self, tile: Tile) -> bool:
        try:
            self.read_sr(tile)
            self.check_trust(tile)
        except StoreError:
            self._marker(tile.index).unlink(missing_ok=True)
            return False
        return True

    @property
    def sr(self) -> zarr.Array[Any]:
        """The stitched scene (C, *scene * scale)."""
        return self._open("sr")

    @property
    def trust(self) -> zarr.Array[Any]:
        """Half widths of the trust map (C, *scene * scale) in DN, NaN where invalid."""
        return self._open("trust")

    @property
    def valid(self) -> zarr.Array[Any]:
        """Validity (C, *scene)."""
        return self._open("valid")

    @property
    def alpha(self) -> zarr.Array[Any] | None:
        """Alpha (*scene), None where the source has none."""
        return self._open("alpha") if self._has_alpha else None

    @property
    def _has_alpha(self) -> bool:
        return self.plan.header.alpha is not None

    @property
    def _has_trust(self) -> bool:
        return self.plan.trust is not None

    def _marker(self, index: int) -> Path:
        return self.plan.scratch.done / f"{index}.json"

    def _shard(self, name: str, tile: Tile) -> Path:
        place = (w.start // size for w, size in zip(tile.core, self.plan.tiles.core, strict=True))
        return self._root(name).joinpath("c", "0", *(str(p) for p in place))

    def _root(self, name: str) -> Path:
        return (self.plan.scratch.sr if name in ("sr", "trust") else self.plan.scratch.tiles) / name

    def _open(self, name: str) -> zarr.Array[Any]:
        try:
            return zarr.open_array(self._root(name), mode="r+", config={"write_empty_chunks": True})
        except (OSError, ValueError, KeyError, TypeError, BaseZarrError) as error:
            raise self._damaged(name, f"{type(error).__name__}: {error}") from error

    def _read(self, name: str, selection: Any) -> NDArray[Any]:
        array = self._open(name)
        try:
            return np.asarray(array[selection])
        except (RuntimeError, ValueError, OSError) as error:  # what the codecs raise on damaged bytes
            raise self._damaged(name, str(error)) from error

    def _write(self, name: str, selection: Any, values: NDArray[Any]) -> None:
        array = self._open(name)
        try:
            array[selection] = values
        except OSError as error:
            raise store_error(self._root(name), error) from error

    def _checked(self, name: str, values: NDArray[Any], crc32: int | None) -> NDArray[Any]:
        # Zarr gives fill for a chunk that is not there: only the checksum tells.
        if checksum(values) != crc32:
            raise self._damaged(name, "another checksum")
        return values

    def _damaged(self, name: str, found: str) -> StoreError:
        return StoreError(f"{name} of {self.plan.scene} is damaged in the scratch store", found,
                          "run again: what is damaged is done again", code="TILE_DAMAGED")  # fmt: skip


def checksum(values: NDArray[Any]) -> int:
    """crc32 of the array's bytes in C order."""
    return zlib.crc32(np.ascontiguousarray(values).view(np.uint8).reshape(-1).data)


def _inner(size_hr: int) -> int:
    return gcd(size_hr, CHUNK_HR) if size_hr > CHUNK_HR and gcd(size_hr, CHUNK_HR) >= CHUNK_HR // 4 else size_hr


def _array(
    group: zarr.Group, name: str, shape: Sequence[int], chunk: Sequence[int], dtype: str,
    shard: Sequence[int] | None = None,
) -> None:  # fmt: skip
    group.create_array(
        name,
        shape=tuple(shape),
        chunks=tuple(chunk),
        shards=tuple(shard) if shard else None,
        dtype=dtype,
        # Without its checksum zstd reads most bit flips as data.
        compressors=ZstdCodec(level=1, checksum=True),
        fill_value=0,
        config={"write_empty_chunks": True},
    )
