"""The bands of a scene: those of one file, or of several files with one band each; all of them, or those asked for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from srcore.errors import GridError, SourceError, printable
from srcore.storage.band import Band
from srcore.storage.header import Header

SAME = 1e-6
"""Fraction of a pixel by which files of one scene may disagree in place."""


def joined(headers: Sequence[Header]) -> Header:
    """One header of several files with one band each. Raises SourceError or GridError for a file that does not fit."""
    first = headers[0]
    for header in headers:
        _refuse_stranger(first, header)
    # A file's own description says which band it is; without one, its name does.
    bands = [
        b if b.name != "band 1" else replace(b, name=printable(Path(b.path).stem)) for h in headers for b in h.bands
    ]
    white = ("0 is white in the files, and dark in the product of several bands",) if first.white_is_zero else ()
    return replace(
        first,
        bands=tuple(bands),
        white_is_zero=False,
        tags={k: v for k, v in first.tags.items() if all(h.tags.get(k) == v for h in headers)},
        domains={k: v for k, v in first.domains.items() if all(h.domains.get(k) == v for h in headers)},
        beside=tuple(dict.fromkeys(path for h in headers for path in h.beside)),
        flags=tuple(dict.fromkeys((*(flag for h in headers for flag in h.flags), *white))),
    )


def _refuse_stranger(first: Header, other: Header) -> None:
    path, where = other.bands[0].path, first.bands[0].path
    if len(other.bands) != 1 or other.alpha is not None:
        raise SourceError(
            f"{path}: files of one scene hold one band each",
            f"{len(other.bands)} bands" + (" and an alpha band" if other.alpha else ""),
            "give it as a scene by itself",
        )
    if other.dtype != first.dtype:
        found = f"{other.dtype} and {first.dtype}"
        raise SourceError(f"{path}: differs in data type from {where}", found, "give bands of one type")
    if other.grid.shape != first.grid.shape:
        found = f"{other.grid.shape} and {first.grid.shape}"
        raise GridError(f"{path}: differs in shape from {where}", found, "give bands of one resolution")
    if other.grid.crs != first.grid.crs or other.gcps != first.gcps:
        raise GridError(f"{path}: differs in CRS from {where}", "another CRS or other control points", "warp it first")
    corners = [(0.0, 0.0), tuple(map(float, first.grid.shape)), (0.0, float(first.grid.shape[1]))]
    apart = max(np.abs(np.subtract(other.grid.to_world(c), first.grid.to_world(c))).max() for c in corners)
    if apart > SAME * min(first.grid.spacing()):
        raise GridError(f"{path}: lies elsewhere than {where}", f"{apart:g} apart", "warp both to one grid first")


def selected(header: Header, wanted: Sequence[str] | None, *, several: bool) -> Header:
    """The header with the bands that are asked for, in their order; `several` files take names in the files' order."""
    if wanted is None:
        return header
    if several and len(wanted) == len(header.bands):
        return replace(header, bands=tuple(replace(b, name=n) for b, n in zip(header.bands, wanted, strict=True)))
    chosen = tuple(_find(header, name) for name in wanted)
    if not chosen or len({(band.path, band.index) for band in chosen}) < len(chosen):
        raise SourceError(
            "bands are named more than once, or none is", ", ".join(wanted), "name each band once", code="BAD_SETTING"
        )
    return replace(header, bands=chosen)


def called_by_path(header: Header, path: Path, wanted: Sequence[str] | None) -> Header:
    """The header of a file of one nameless band, under the one name that is asked for where the path has it as a word:
    what `{band}` stands for is no name in the file."""
    band, [name, *more] = header.bands[0], wanted or [""]
    if more or len(header.bands) > 1 or band.name != f"band {band.index}" or not name or name.isdecimal():
        return header
    word = rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])"
    return replace(header, bands=(replace(band, name=name),)) if re.search(word, str(path)) else header


def _find(header: Header, name: str) -> Band:
    """The band that `name` means: its description, or its number, also as 'band 4'."""
    named = [band for band in header.bands if band.name == name]
    number = name.removeprefix("band ")
    if not named and number.isdecimal():
        named = [band for band in header.bands if band.index == int(number)]
    if len(named) != 1:
        there = ", ".join(f"{band.index} ({band.name})" for band in header.bands)
        what = f"band {name!r} is in the file {len(named)} times" if named else f"band {name!r} is not in the file"
        raise SourceError(
            f"{header.bands[0].path}: {what}", there, "name one of these, or its number", code="BAD_SETTING"
        )
    return named[0]
