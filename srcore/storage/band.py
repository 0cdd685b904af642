"""A band of a scene: the file that it lies in, what its numbers mean, and what hides some of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from srcore.choices import Range

Values = Literal["continuous", "categorical", "bits", "circular"]
"""What the numbers of a band are; of all but the first none lies between two others."""


@dataclass(frozen=True)
class Mask:
    """Pixels that hide a band's where they are 0."""

    path: str
    """The band's own file, or the .msk beside it."""
    index: int = 0
    """1-based band that they hide; 0: all bands of the file alike."""


@dataclass(frozen=True)
class Band:
    """One data band (an alpha band is no data band)."""

    path: str
    """File that holds it."""
    index: int
    """1-based band of that file; 1 for a volume."""
    name: str
    """Description in the file, or the catalog's name, or 'band N'."""
    nodata: float | None = None
    """Number for 'nothing here' in the product: the same for all bands of a raster."""
    scale: float = 1.0
    offset: float = 0.0
    unit: str | None = None
    colour: str = "undefined"
    """GDAL's colour interpretation."""
    tags: dict[str, str] = field(default_factory=dict)
    hidden: float | None = None
    """Number that hides pixels in the band's own file; NaN and Inf always do."""
    mask: Mask | None = None
    """What hides pixels besides."""
    values: Values = "continuous"
    """What its numbers are."""
    valid_range: Range = (None, None)
    """Ends that its numbers keep to."""
    palette: tuple[tuple[int, int, int, int], ...] = ()
    """Colour of each number from 0, in red, green, blue and opacity, where the file has a table of them."""
    domains: dict[str, dict[str, str]] = field(default_factory=dict)
    """Tags in domains of their own, that stay true at another scale."""
    common: str = ""
    """What STAC calls it (eo:common_name), where the provider's metadata say which band it is."""
    zoom: int = 1
    """Pixels of the scene along a pixel of the band's file: coarser bands are brought to the grid of the finest."""
    guided: bool = False
    """True of a coarser band that the generator brings there, with the finest as guides: it is read with each pixel
    repeated."""
    injected: bool = False
    """True of a coarser band yet, which is read with the detail of the finest (`srcore.injection`)."""
    between: bool = False
    """True where the file's pixels have their centres on the corners of the scene's: it is read half way between."""

    @property
    def is_fine(self) -> bool:
        """True where the file's pixels are those of the scene."""
        return self.zoom == 1 and not self.between

    @property
    def is_copied(self) -> bool:
        """True where each SR pixel is the LR pixel that it lies in: no number lies between two classes."""
        return self.values != "continuous"

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Band:
        """The band whose fields lie in a header's document."""
        mask, palette = value["mask"], value["palette"]
        return cls(
            **{
                **value,
                "mask": Mask(**mask) if mask else None,
                "valid_range": tuple(value["valid_range"]),
                "palette": tuple(tuple(colour) for colour in palette),
            }
        )


@dataclass(frozen=True)
class Quality:
    """A layer that says which pixels are cloud, shadow and the like, and what is made of it."""

    layer: str
    path: str
    hides: bool
    """True where what is meant is nodata in the product."""
    zoom: int = 1
    """Pixels of the scene along a pixel of the layer."""
    fine: int = 1
    """Pixels of the layer along a pixel of the scene: one that is meant is enough."""
    values: tuple[int, ...] = ()
    """Meant are pixels with one of these numbers in the first band,"""
    bits: int = 0
    """with one of these bits in it,"""
    bands: tuple[int, ...] = ()
    """or that are not 0 in one of these bands, from 1."""
    share: float | None = None
    """Of the pixels that were seen at all, how many are meant."""
    apart: bool = False
    """True of a file that no archive and no card stands for: it is watched itself."""

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Quality:
        """The layer whose fields lie in a header's document."""
        return cls(**{**value, "values": tuple(value["values"]), "bands": tuple(value["bands"])})


@dataclass(frozen=True)
class Member:
    """A file of a mosaic: where it lies in it, and by which rules it is read."""

    start: tuple[int, int]
    """Its first row and column in the scene."""
    shape: tuple[int, ...]
    bands: tuple[Band, ...]
    """As many as the scene has."""
    alpha: Band | None = None
    rank: int = 0
    """0: where several have a pixel, it is this one's."""
    quality: Quality | None = None
    """Its own layer of clouds, where one was asked for."""

    @property
    def path(self) -> str:
        """The file."""
        return self.bands[0].path

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Member:
        """The file whose fields lie in a header's document."""
        alpha = Band.from_json(value["alpha"]) if value["alpha"] else None
        bands = tuple(map(Band.from_json, value["bands"]))
        quality = Quality.from_json(value["quality"]) if value.get("quality") else None
        return cls(tuple(value["start"]), tuple(value["shape"]), bands, alpha, value["rank"], quality)
