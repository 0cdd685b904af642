"""The header of a scene elsewhere: its files fetched and read by the door of any file, with what its item says beside.

The file is right where the two say the same thing; the item says what a file leaves open: date, nodata, scale, names.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

from rasterio.crs import CRS
from rasterio.errors import CRSError

from srcore.errors import SourceError, SRError
from srcore.storage.band import Band
from srcore.storage.disk.real_file import real_file
from srcore.storage.header import Header, Origin, Taken
from srcore.storage.providers.granule import ITEM, BandFile, Granule, chosen, metadata_error
from srcore.storage.providers.header import granule_header
from srcore.storage.remote.cache import Kept, files_folder
from srcore.storage.remote.card import Card, CardBand, CardFile
from srcore.storage.remote.fetch import fetch
from srcore.storage.remote.folder import is_product, read_folder
from srcore.storage.remote.items import safe_folder
from srcore.storage.wish import Wish, Wishes

BY_ITEM = "the item's datetime"
SHOWN = 8

Read = Callable[..., Header]
"""The header of files on this machine."""


def read_card_header(path: Path, read: Read, **wishes: Unpack[Wishes]) -> Header:
    """The header of the scene that a card stands for. SourceError NO_ASSETS, MISSING_BAND, BAD_SETTING, BAD_METADATA
    where the item and its file contradict each other; those of fetching, and of `read`."""
    card = Card.load(path)
    if not card.folder:
        _refuse_unusable(card)
    try:
        return _read_card(card, path, read, wishes)
    except SRError as error:  # people know the file by its address, not by its place in the cache
        for file in card.files:
            place = str(files_folder() / file.digest / file.name)
            error.what, error.found = (text.replace(place, file.href) for text in (error.what, error.found))
        raise


def _read_card(card: Card, path: Path, read: Read, wishes: Wishes) -> Header:
    if card.folder:
        found, parts = read_folder(card, Wish.of(**_inside(wishes)))
        return _told(found, card, path, list(parts), list(parts.values()))
    if card.joined or card.mosaic:
        fetched = [fetch(file) for file in card.files]
        found = read([one.path for one in fetched], **_inside(wishes))
        return _told(found, card, path, card.files, fetched)
    files = _chosen(card, wishes.get("bands"))
    if len(files) == 1:
        if files[0].is_local and is_product(Path(files[0].href)):
            kept = _here(files[0], _inside(wishes)["roots"])
            return _told(read([kept.path], **_inside(wishes)), card, path, files, [kept])
        return _of_one(card, path, files[0], read, wishes)
    return _of_several(card, path, files, Wish.of(**_inside(wishes)))


def _inside(wishes: Wishes) -> dict[str, Any]:
    """The same wishes for files of the cache, too; of this machine's others none is read that nobody named."""
    return {**wishes, "roots": (*(wishes.get("roots") or ()), files_folder())}


def _refuse_unusable(card: Card) -> None:
    inward = [file.key for file in card.files if file.inward]
    if inward:
        what, do = f"{card.address}: links to this machine's own network", "fetch the files, and give their paths"
        raise SourceError(what, ", ".join(inward[:SHOWN]), do, code="OUTSIDE")
    lost = [file.key for file in card.files if not file.href]
    if lost:
        do = "name assets that the items have"
        raise SourceError(f"{card.address}: assets that are not there", ", ".join(lost[:SHOWN]), do, code="NO_ASSETS")
    whole = [file.href for file in card.files if not file.is_local and safe_folder(file.href)]
    if whole:
        what, do = (
            f"{card.address}: links to a whole folder",
            "give the item's address in a bucket, or name assets that are files",
        )
        raise SourceError(what, f"{whole[0]}, and the web has no lists", do, code="NO_ASSETS")
    if not card.files:
        what, do = f"{card.address}: no raster among the assets of the item", "name one: `assets: [KEY]`, or --asset"
        raise SourceError(what, "none that is called one", do, code="NO_ASSETS")


def _chosen(card: Card, names: Sequence[str] | None) -> tuple[CardFile, ...]:
    """The files that hold the bands; of several without names none is the right one."""
    if len(card.files) == 1 or (card.chosen and names is None):
        return card.files
    if names is None:
        keys = ", ".join(file.key for file in card.files[:SHOWN])
        more = f" and {len(card.files) - SHOWN} more" if len(card.files) > SHOWN else ""
        what, do = f"{card.address}: several assets", "name `bands` (--bands), or `assets` (--asset)"
        raise SourceError(what, f"{keys}{more}", do, code="NO_ASSETS")
    single = [_holds_one(card, name) for name in names]
    if all(single):
        return tuple(dict.fromkeys(file for file in single if file is not None))
    for file in card.files:
        if all(any(band.is_called(name) for band in file.bands) for name in names):
            return (file,)
    lost = next(name for name, file in zip(names, single, strict=True) if file is None)
    known = ", ".join(dict.fromkeys(band.name or file.key for file in card.files for band in file.bands))
    what, do = f"{card.address}: no asset holds band {lost!r}", "name some of these"
    raise SourceError(what, known[:200], do, code="BAD_SETTING")


def _holds_one(card: Card, name: str) -> CardFile | None:
    """The asset that is that band, by its key, its name or its common name; a GeoTIFF where there are others, too."""
    alike = [one for one in card.files if len(one.bands) <= 1 and _is_called(one, name)]
    exact = [one for one in alike if one.key.casefold() == name.casefold()]
    return min(exact or alike, key=lambda one: not one.name.lower().endswith((".tif", ".tiff")), default=None)


def _is_called(file: CardFile, name: str) -> bool:
    return file.key.casefold() == name.casefold() or any(band.is_called(name) for band in file.bands)


def _of_one(card: Card, path: Path, file: CardFile, read: Read, wishes: Wishes) -> Header:
    """One file with all bands; names that the item alone knows become their numbers."""
    wished = _inside(wishes)
    kept = _here(file, wished["roots"])
    plain = read([kept.path], **{**wished, "bands": None})
    names, order = wishes.get("bands"), list(range(len(file.bands)))
    if names is not None and plain.kind == "raster":
        own = {band.name for band in plain.bands}
        by_item = [_place(file, name) for name in names]
        if not set(names) <= own and None not in by_item:
            order = [place for place in by_item if place is not None]
            wished["bands"] = [str(place + 1) for place in order]
        plain = read([kept.path], **wished)
    said = [file.bands[place] for place in order] if len(order) == len(plain.bands) else []
    nodata = _lacking(plain, said) if wishes.get("nodata") is None else None
    if nodata is not None:
        plain = read([kept.path], **{**wished, "nodata": nodata})
    bands = tuple(map(_with_words, plain.bands, said)) if said else plain.bands
    return _told(replace(plain, bands=bands), card, path, (file,), [kept])


def _lacking(plain: Header, said: Sequence[CardBand]) -> float | None:
    """The number for 'nothing here' that the item knows and the file does not."""
    hidden = any(band.hidden is not None or band.mask is not None for band in plain.bands) or plain.alpha is not None
    told = next((band.nodata for band in said if band.nodata is not None), None)
    fits = told is None or not math.isnan(told) or plain.dtype.startswith("float")
    return told if fits and not hidden else None


def _place(file: CardFile, name: str) -> int | None:
    return next((i for i, band in enumerate(file.bands) if band.is_called(name)), None)


def _with_words(own: Band, said: CardBand) -> Band:
    """A band with what its file leaves open."""
    name = said.name if said.name and own.name == f"band {own.index}" else own.name
    plain = own.scale == 1.0 and own.offset == 0.0
    scale = said.scale if plain and said.scale else own.scale
    offset = said.offset if plain and said.offset is not None else own.offset
    unit, common = own.unit or said.unit, own.common or said.common
    return replace(own, name=name, scale=scale, offset=offset, unit=unit, common=common)


def _of_several(card: Card, path: Path, files: Sequence[CardFile], wish: Wish) -> Header:
    """A file a band, of one resolution or nested ones, as a provider's product."""
    kept = {file: _here(file, wish.roots) for file in files}
    granule = Granule(
        product=ITEM,
        id=card.id,
        bands=tuple(_band_file(file, kept[file].path) for file in files),
        missing=(),
        layers={},
        documents=(),
        hidden=_one_nodata(files),
        crs=card.crs or None,
    )
    names = wish.bands if wish.bands is not None else [band.name for band in granule.bands]
    header = granule_header(granule, chosen(granule, names, path), wish)
    return _told(header, card, path, files, [kept[file] for file in files])


def _band_file(file: CardFile, path: Path) -> BandFile:
    band = file.bands[0] if file.bands else CardBand(file.key)
    gsd = file.gsd_m or 0.0
    scale, offset = 1.0 if not band.scale else band.scale, band.offset or 0.0
    return BandFile(band.name or file.key, band.common, path, gsd, gsd, scale, offset, band.unit)


def _one_nodata(files: Sequence[CardFile]) -> float | None:
    told = {band.nodata for file in files for band in file.bands}
    return told.pop() if len(told) == 1 else None


def _here(file: CardFile, roots: Sequence[Path] | None) -> Kept:
    if not file.is_local:
        return fetch(file)
    real_file(Path(file.href), roots)
    return Kept(Path(file.href), "", file.size or 0)


def _told(header: Header, card: Card, path: Path, files: Sequence[CardFile], kept: Sequence[Kept]) -> Header:
    """The header with what the card says of the whole scene, which stands for its files from now on."""
    if header.format == "dicom":  # its address would stand where no name of a patient may
        what, do = f"{card.address}: DICOM is read from disks alone", "copy it to a folder of this machine"
        raise SourceError(what, "a series elsewhere", do, code="NOT_SUPPORTED")
    origins = tuple(Origin(file.href, one.sha256, one.size, one.etag) for file, one in zip(files, kept, strict=True))
    real = os.path.realpath(path)
    here = all(file.is_local for file in files)  # then they are watched themselves
    told = replace(header, origins=origins, **({"beside": (*header.beside, real)} if here else {"packed": real}))
    if header.kind != "raster":
        return told
    if len(files) == 1 and card.crs:
        _refuse_other_place(card, header)
    taken = Taken(card.first, card.last, BY_ITEM) if card.first and header.taken is None else header.taken
    return replace(told, taken=taken, properties={**header.properties, **card.properties})


def _refuse_other_place(card: Card, header: Header) -> None:
    """SourceError where file and item name different CRSs."""
    try:
        told, own = CRS.from_user_input(card.crs), CRS.from_user_input(header.grid.crs) if header.grid.crs else None
    except CRSError:
        return
    if own is not None and own != told:
        found = f"another CRS than its item says: {own.to_string()[:60]}, {card.crs}"
        raise metadata_error(Path(card.id), found, "ask who publishes it")
