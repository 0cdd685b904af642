"""What a user says of the files of a scene, and their readers heed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

from srcore.choices import AlphaRule, Modality, MosaicOrder, QualityWish, Range, Resample, Told, ValuesRule


class Wishes(Told, total=False):
    """Fields of a Wish, as the readers of headers take them."""

    bands: Sequence[str] | None
    roots: Sequence[Path] | None
    axes: tuple[int, int, int] | None
    guided: int


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What the user says of the files of a scene."""

    bands: Sequence[str] | None = None
    """Names (descriptions in the file) or 1-based numbers, in the wanted order; None: all data bands."""
    nodata: float | None = None
    """In place of the files' own numbers."""
    alpha: AlphaRule = "auto"
    """What a band means that is called so."""
    values: ValuesRule | dict[str, ValuesRule] = "auto"
    """What the numbers are, of all bands or by their names."""
    valid_range: Range | None = None
    """Ends that the numbers of all bands keep to."""
    roots: Sequence[Path] | None = None
    """Folders that may be read; None: any."""
    axes: tuple[int, int, int] | None = None
    """Which axes of a volume's file are (Z, Y, X); None: slices, known by their spacing, come first."""
    quality: QualityWish | None = None
    """Which layer of clouds to heed, and how; None: none."""
    guided: int = 1
    """Above 1: bands that are so many times coarser than the finest are brought to its grid by a generator, which
    takes the finest as guides; else by interpolation."""
    series: str | None = None
    """Which DICOM series, by its UID or the name that it is listed by; None: the only one."""
    volume: str | None = None
    """Which volume of several: of a DICOM series as EchoTime=30, of a NIfTI as Volume=1; None: the only one."""
    resample: Resample | None = None
    """What is made of a DICOM series that is not even or straight; None: it is refused."""
    modality: Modality | None = None
    """What a volume is of; None: what its file says, or its numbers."""
    mosaic: MosaicOrder | None = None
    """Which file comes first where several of a mosaic have a pixel; None: several files are the bands of a scene."""
    date: str | None = None
    """When the files were taken, or where their names say it."""

    @classmethod
    def of(cls, **wishes: Unpack[Wishes]) -> Wish:
        """Where nothing is said, nothing is wished."""
        return cls(**wishes)
