"""Whether a path is a provider's product, and which: a folder, or the metadata file in it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from srcore.storage.disk.card import is_card
from srcore.storage.disk.real_file import real_file
from srcore.storage.providers import hls, landsat, sentinel2
from srcore.storage.providers.granule import Granule, metadata_error
from srcore.storage.providers.packed import is_packed, unpacked
from srcore.storage.remote.card import local_files

PROVIDERS = (sentinel2, landsat, hls)


def find_document(path: Path) -> Path | None:
    """What describes the product at `path`: in the folder, or the file itself; None where it is no such product."""
    if path.suffix.lower() in (".tif", ".tiff"):
        return None  # a raster by itself, whatever lies around it
    if is_packed(path):
        return path
    try:
        if path.is_dir():
            return next((found for one in PROVIDERS if (found := one.find_document(path)) is not None), None)
    except OSError:
        return None  # what cannot be listed is told by whoever reads it
    return path if any(one.DOCUMENT.fullmatch(path.name) for one in PROVIDERS) else None


def read_granule(document: Path, roots: Sequence[Path] | None = None) -> Granule:
    """The product that a document found by `find_document` describes; SourceError where it cannot be read."""
    real_file(document, roots)
    if is_packed(document):
        document = _inside(document)
    found: Granule = next(one for one in PROVIDERS if one.DOCUMENT.fullmatch(document.name)).read_granule(document)
    return found


def _inside(archive: Path) -> Path:
    """What describes the product that an archive holds."""
    found = find_document(unpacked(archive))
    if found is None:
        raise metadata_error(archive, "no metadata of a product inside", "give an archive as the provider made it")
    return found


def members(path: Path) -> tuple[Path, ...]:
    """All files of the product at `path`, sorted, links to folders not followed: what a run may read of it."""
    if is_card(path):
        here = [one for file in local_files(path) for one in (members(file) or (file,))]
        return tuple(Path(os.path.realpath(one)) for one in (*here, path))
    document = find_document(path)
    if document is None or is_packed(document):
        return () if document is None else (Path(os.path.realpath(document)),)
    prefix = _prefix(document)
    found = []
    for folder, folders, names in os.walk(document.parent):
        folders[:] = [] if prefix else sorted(folders)
        found += [Path(folder, name) for name in sorted(names) if name.startswith(prefix) and name[0] != "."]
    return tuple(Path(os.path.realpath(one)) for one in found)


def _prefix(document: Path) -> str:
    """What the names of all files of a flat product begin with; '' of one with folders of its own."""
    if (match := hls.DOCUMENT.fullmatch(document.name)) is not None:
        return match["id"]
    return document.name.rpartition("_MTL")[0] if landsat.DOCUMENT.fullmatch(document.name) else ""
