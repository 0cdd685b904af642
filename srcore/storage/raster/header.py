"""The header of a raster scene: one file of many bands, or several files of one band each.

Everything that a header alone can refuse is refused here, before a pixel is read. What lies beside a file is part of
its header; of pixels only a sample of an alpha band is looked at.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Unpack

from srcore.errors import SourceError
from srcore.storage.band import Band
from srcore.storage.disk.real_file import real_file
from srcore.storage.header import Header
from srcore.storage.numbers import DTYPES
from srcore.storage.raster.alpha import alpha_band
from srcore.storage.raster.bands import called_by_path, joined, selected
from srcore.storage.raster.beside import find_beside, sidecar
from srcore.storage.raster.contents import bits_range, find_values, palette, with_told_values
from srcore.storage.raster.gdal import GDAL_ERRORS, gdal_env, gdal_message, open_raster
from srcore.storage.raster.known import with_known_bands
from srcore.storage.raster.mosaic import merged
from srcore.storage.raster.open_file import OpenFile
from srcore.storage.raster.page import heed_page
from srcore.storage.raster.pam import Pam, read_pam
from srcore.storage.raster.place import find_place
from srcore.storage.raster.tiff import check_tiff
from srcore.storage.raster.validity import Rule, find_rules, in_one_form, with_user_number
from srcore.storage.raster.words import OWN_DOMAINS, own_domains, text, true_tags
from srcore.storage.wish import Wish, Wishes


def read_raster_header(
    paths: Sequence[Path],
    **wishes: Unpack[Wishes],
) -> Header:
    """The header of one raster scene, as the fields of a `Wish` ask for it.

    Of several files of one band each, `bands` are their names in the order of the files. Raises SourceError or
    GridError for what srcore cannot carry to another scale.
    """
    if not paths:
        raise SourceError("the scene has no file", "an empty list", "check the pattern of the source")
    wish = Wish.of(**wishes)
    with gdal_env():
        headers = [read_file(Path(path), wish) for path in paths]
    if wish.mosaic is not None:
        files = [_alone(header, Path(path), wish) for header, path in zip(headers, paths, strict=True)]
        return in_one_form(merged(files, wish))
    if len(headers) == 1:
        return in_one_form(_alone(headers[0], Path(paths[0]), wish))
    header = with_told_values(selected(joined(headers), wish.bands, several=True), wish)
    return in_one_form(header if wish.nodata is None else with_user_number(header, wish.nodata))


def _alone(header: Header, path: Path, wish: Wish) -> Header:
    """The header of a file with all bands of a scene: those that were asked for, and what the user says of them."""
    named = called_by_path(with_known_bands(header, path.name), path, wish.bands)
    told = with_told_values(selected(named, wish.bands, several=False), wish)
    return told if wish.nodata is None else with_user_number(told, wish.nodata)


def read_file(path: Path, wish: Wish) -> Header:
    """The header of one file with all of its bands, inside `gdal_env()`; the form of its product is not decided."""
    real = real_file(path, wish.roots)
    beside = find_beside(path)
    with open_raster(real, wish.roots) as dataset:
        words = None if beside.words is None else sidecar(beside.words, wish.roots)
        file = OpenFile(real, dataset, beside, Pam() if words is None else read_pam(words), wish)
        try:
            return _header(file)
        except GDAL_ERRORS as error:
            raise SourceError(
                f"{path}: its header cannot be read", gdal_message(error), "fetch it again", code="DAMAGED"
            ) from error


def _header(file: OpenFile) -> Header:
    dataset = file.dataset
    _refuse_pixels(file)
    place = find_place(file)
    _note_claims(file)
    page = heed_page(file, placed=place.is_known)
    names = text(lambda: dataset.descriptions, [None] * dataset.count, file.flags)
    hides = alpha_band(file, names)
    rules = find_rules(file)
    bands = {i: _band(file, i, names[i - 1], rules[i - 1]) for i in dataset.indexes}
    alpha = bands.pop(hides) if hides else None
    if not bands:
        do = "give a file with data bands"
        raise SourceError(f"{file.path}: the file has no data band", "an alpha band alone", do, code="NOT_SUPPORTED")
    tags = {**text(dataset.tags, {}, file.flags), **file.pam.tags}
    kept = true_tags(tags, file.dropped)
    _note_words(file, kept)
    if dataset.subdatasets:
        file.flag(f"the file holds {len(dataset.subdatasets)} pages: the first is used")
    # The last thing that is asked of it: GDAL would tell of a block that cannot be decoded at the next question, too.
    bands = {i: replace(band, values=find_values(file, band)) for i, band in bands.items()}
    return Header(
        format="raster",
        grid=place.grid,
        dtype=file.dtype,
        bands=tuple(bands.values()),
        nodata="none",  # its product's form is decided when all bands are known
        alpha=alpha,
        gcps=place.points,
        gcps_crs=place.points_crs,
        area_or_point="Point" if tags.get("AREA_OR_POINT") == "Point" else "Area",
        tags=kept,
        domains=own_domains({**_domains(file), **file.pam.domains}, file.dropped),
        white_is_zero=page.white_is_zero,
        beside=tuple(os.path.realpath(path) for path in file.used),
        flags=file.told(),
    )


def _note_claims(file: OpenFile) -> None:
    overstated = check_tiff(file.path) if file.dataset.driver == "GTiff" else 0
    if overstated:
        what = (
            "byte count of 1 strip or tile goes"
            if overstated == 1
            else f"byte counts of {overstated} strips or tiles go"
        )
        file.flag(f"the {what} beyond the file's end; no pixel does")


def _refuse_pixels(file: OpenFile) -> None:
    path, dataset = file.path, file.dataset
    if dataset.count == 0:
        raise SourceError(f"{path}: the file has no band", "0 bands", "give a file with pixels")
    dtypes = sorted(set(dataset.dtypes))
    if len(dtypes) > 1:
        raise SourceError(
            f"{path}: bands differ in data type", ", ".join(dtypes), "give bands of one type", code="NOT_SUPPORTED"
        )
    if dtypes[0].startswith("complex"):
        raise SourceError(
            f"{path}: complex pixels have no super-resolution here",
            dtypes[0],
            "give amplitude, or real and imaginary parts as two float32 bands",
            code="NOT_SUPPORTED",
        )
    if dtypes[0] not in DTYPES:
        raise SourceError(
            f"{path}: unknown data type", dtypes[0], f"convert it to one of {', '.join(DTYPES)}", code="NOT_SUPPORTED"
        )


def _band(file: OpenFile, index: int, name: str | None, rule: Rule) -> Band:
    """A band as the file and the words beside it describe it."""
    dataset, i = file.dataset, index - 1
    units = text(lambda: dataset.units, [None] * dataset.count, file.flags)
    words = file.pam.band(index)
    tags: dict[str, Any] = {**text(lambda: dataset.tags(index), {}, file.flags), **words.tags}
    band = Band(
        str(file.path),
        index,
        name or f"band {index}",
        scale=float(dataset.scales[i]),
        offset=float(dataset.offsets[i]),
        unit=units[i] or None,
        colour=file.colour(index),
        tags=true_tags(tags, file.dropped),
        domains=own_domains({**_domains(file, index), **words.domains}, file.dropped),
        hidden=rule[0],
        mask=rule[1],
    )
    band = words.applied(band)
    band = replace(band, valid_range=bits_range(file, index), palette=palette(file, index))
    # What GDAL calls alpha and is data must not hide others in the product; and indices without colours show nothing.
    lost = band.colour == "alpha" or (band.colour == "palette" and not band.palette)
    return replace(band, colour="undefined") if lost else band


def _domains(file: OpenFile, index: int = 0) -> dict[str, dict[str, str]]:
    """The tags of a band, or of the file (0), in every domain but the common one."""
    dataset, found = file.dataset, {}
    for domain in text(lambda: dataset.tag_namespaces(index), [], file.flags):
        # what else is in them may be no tags at all
        kept = OWN_DOMAINS.fullmatch(domain) is not None
        found[domain] = text(partial(dataset.tags, index, ns=domain), {}, file.flags) if kept else {}
    return found


def _note_words(file: OpenFile, tags: dict[str, str]) -> None:
    """Note what the .aux.xml was read for; nothing where it holds statistics alone, as many do."""
    pam, beside = file.pam, file.beside.words
    said = {word for words in pam.bands.values() for word in words.said}
    known: list[str] = [word for word in ("nodata", "scale", "offset", "unit", "name", "colour") if word in said]
    for word, value in (("CRS", pam.crs), ("place", pam.affine), ("control points", pam.points)):
        known += [word] if value else []
    if set(pam.tags) & set(tags) or any(words.tags for words in pam.bands.values() if _true(words.tags)):
        known.append("tags")
    file.use(beside, *known)
    if any(words.has_classes for words in pam.bands.values()) and beside is not None:
        file.flag(f"{beside.name} names classes or their colours: they are not kept")


def _true(tags: dict[str, str]) -> bool:
    return bool(true_tags(tags, []))
