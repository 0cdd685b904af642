"""A dataset's entry from its files: the first one is looked at, and what is assumed from it is said."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from srcore.catalog import load_catalog
from srcore.catalog.dataset import Dataset
from srcore.catalog.edit import NEW_CATALOG, entry_lines, with_entry
from srcore.catalog.elsewhere import is_remote
from srcore.errors import CatalogError, SRError
from srcore.layout import SAFE_ID
from srcore.registry.references import resolve
from srcore.storage.archive.sources import Scene, find_scenes, first_file
from srcore.storage.dicom.files import dicom_files, is_dicom
from srcore.storage.disk.card import told_of
from srcore.storage.disk.files import hidden_beside, write_atomic
from srcore.storage.disk.veil import without_names
from srcore.storage.header import Header
from srcore.storage.nifti.door import is_nifti
from srcore.storage.scene import read_header

MAX_NAMED = 12
"""Bands that a note names."""


@dataclass(frozen=True)
class Added:
    """What was written into a catalog."""

    scenes: int
    lines: tuple[str, ...]
    assumed: tuple[str, ...]
    """What nobody said, and was taken from the files or from what is common."""


def write_new(path: Path) -> None:
    """A catalog without an entry at `path`; CatalogError where something stands there."""
    if os.path.lexists(path):
        raise CatalogError(
            f"{path} is there already", "", "add to it: srcore catalog add NAME GLOB", code="OUTPUT_EXISTS"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, NEW_CATALOG.encode())


def add_entry(path: Path, name: str, pattern: str, model: str = "srcore-x2", schedule: str | None = None) -> Added:
    """Put a dataset into the catalog at `path`, in place of which a complete new file stands, or nothing changes.

    `pattern`: a glob or {scene}_{band} source, from the working folder. CatalogError where no file matches, the name is
    taken or the new catalog would not be one; the errors of the first file's header and of the model.
    """
    if not SAFE_ID.fullmatch(name):
        do = "letters, digits, '.', '_' and '-' only, at most 128"
        raise CatalogError("that is no name of a dataset", repr(name[:60]), do)
    path = Path(os.path.realpath(path))
    raw, base = path.read_bytes() if path.exists() else None, path.parent
    if raw is None:
        raise CatalogError(f"{path.name} is not there", "no catalog", "make one: srcore init", code="NOT_READABLE")
    old = _entries(path)
    if name in old:
        raise CatalogError(f"dataset {name} is in the catalog already", "", "give another name, or edit its entry")
    resolve(model)
    source = _from(base, pattern)
    bands = _bands(base, source)
    found, header = _look(base, source, bands, model)
    assumed = _assumed(found, header, model, schedule, bands)
    keys: list[tuple[str, object]] = [("kind", header.kind), ("source", source)]
    keys += [("bands", list(bands))] if bands else []
    keys += [("model", model), *([("schedule", schedule)] if schedule else [])]
    lines = entry_lines(name, keys, assumed[:1])
    text = with_entry(raw.decode("utf-8-sig"), lines)
    encoded = text.encode("utf-8-sig" if raw.startswith(b"\xef\xbb\xbf") else "utf-8")
    _replace(path, raw, encoded, {**old, name: None})
    return Added(len(found), tuple(lines), assumed)


def _from(base: Path, pattern: str) -> str:
    """The source as the catalog's folder sees it: below it './...', else absolute."""
    if is_remote(pattern):
        return pattern
    whole = os.path.abspath(pattern)
    below = os.path.relpath(whole, base)
    return whole if below.startswith("..") else f"./{below}"


def _bands(base: Path, source: str) -> tuple[str, ...] | None:
    """What stands for {band} in the names of the files, in the order of names; None without {band}."""
    if "{band}" not in source:
        return None
    if is_remote(source):
        raise CatalogError("{band} of files elsewhere stands for no names that are known", source, "write the entry")
    start, _, rest = str(base / source).rpartition("{band}")
    if "{band}" in start:
        raise CatalogError("the source has {band} twice", source, "name it once, and write * for the other")
    names = glob.glob(f"{start}*{rest}".replace("{scene}", "*"), recursive=True)
    regex = re.compile(f"{_regex(start)}([^/]+?){_regex(rest)}")
    found = sorted({match[1] for one in names if (match := regex.fullmatch(one))})
    if not found:
        raise CatalogError("no file matches the source", source, "check the pattern; {band} is a part of the name")
    return tuple(found)


def _regex(pattern: str) -> str:
    """A glob with {scene} as a regular expression."""
    parts = re.split(r"(\{scene\}|\*\*/|\*|\?)", pattern)
    wild = {"{scene}": "[^/]+", "*": "[^/]*", "?": "[^/]", "**/": "(?:[^/]+/)*"}
    return "".join(wild.get(part, re.escape(part)) for part in parts)


def _look(base: Path, source: str, bands: tuple[str, ...] | None, model: str) -> tuple[list[Scene], Header]:
    """The scenes of a source, and the header of the first; of volumes no error says what it is called."""
    keys = {"kind": _kind(base, source, bands), "source": source, "model": model, "bands": bands}
    try:
        entry = Dataset.model_validate(keys, context={"base": base})
    except ValidationError as error:  # its text repeats the source, with all that is secret in it
        first_of = error.errors()[0]
        text = str(first_of.get("ctx", {}).get("error") or first_of["msg"])
        raise CatalogError(f"no entry can be made of this: {text}", "", "give another source") from None
    found = find_scenes(entry, base)
    if not found:
        raise CatalogError("no file matches the source", source, "give a glob in quotes, as './incoming/*.tif'")
    first = found[0]
    try:
        return found, read_header(first.paths, bands=first.bands, roots=first.roots)
    except SRError as error:
        if not first.private:
            raise
        told = without_names(error, (*first.paths, *dicom_files(first.paths)))
    raise told


def _kind(base: Path, source: str, bands: tuple[str, ...] | None) -> str:
    """What the files of a source are, by one of them: volumes are looked at as private from the start."""
    if bands is not None or is_remote(source):
        return "raster"
    first = first_file(source, base)
    if first is None:
        return "raster"
    return "volume" if is_dicom(first) or (first.is_file() and is_nifti(first)) else "raster"


def _assumed(
    found: list[Scene], header: Header, model: str, schedule: str | None, bands: tuple[str, ...] | None
) -> tuple[str, ...]:
    """What a user should check: the first is what the file is."""
    size = " x ".join(map(str, reversed(header.grid.shape)))
    names = ", ".join(band.name for band in header.bands[:MAX_NAMED])
    more = f" and {len(header.bands) - MAX_NAMED} more" if len(header.bands) > MAX_NAMED else ""
    # of a volume no name: it may be a patient's, and the line stands in the catalog
    name = f", {Path(told_of(found[0].paths[0])).name}" if header.kind == "raster" else ""
    told = f"by the first of {len(found)} scenes{name}: a {header.kind} of {size}"
    said = [f"{told}, {header.dtype}, bands {names}{more}"]
    if bands is None and header.kind == "raster":
        said.append("all bands of each file are done, in their order; name some with `bands: [...]`")
    if bands is not None:
        said.append("bands in the order of their names; another order: `bands: [...]`")
    if header.kind == "volume":
        said.append(
            "private: ids are hashes, pictures are in its own report alone; `privacy: public` for what is nobody's"
        )
    if not schedule:
        said.append('no schedule: it runs when asked; every night: `schedule: "0 2 * * *"`')
    said.append(f"model {model}; others: srcore models list")
    return (*said, *header.flags)


def _replace(path: Path, before: bytes, after: bytes, expected: Mapping[str, Dataset | None]) -> None:
    """Put the new text in place of the old, once it is a catalog of the expected entries; None: the new one."""
    trial = hidden_beside(path)
    try:
        trial.write_bytes(after)
        new = load_catalog(trial)
    except CatalogError as error:
        raise _in_place_of(error, trial, path) from error
    finally:
        trial.unlink(missing_ok=True)
    kept = all(one is None or new.datasets.get(name) == one for name, one in expected.items())
    if new.datasets.keys() != expected.keys() or not kept:
        raise CatalogError(f"{path.name} cannot be added to by itself", "its other entries would change", "edit it")
    if path.read_bytes() != before:
        raise CatalogError(f"{path.name} changed meanwhile", "another edit", "run it again")
    mode = path.stat().st_mode
    write_atomic(path, after)
    path.chmod(mode & 0o7777)


def _in_place_of(error: CatalogError, trial: Path, path: Path) -> CatalogError:
    """The error as if the text stood at its place already."""
    told = (part.replace(str(trial), f"{path.name}, as it would be") for part in (error.what, error.found, error.do))
    return CatalogError(*told, code=error.code)


def _entries(path: Path) -> dict[str, Dataset]:
    """The datasets of a catalog, of which there may be none yet."""
    try:
        return dict(load_catalog(path).datasets)
    except CatalogError as error:
        if "no dataset yet" not in str(error):
            raise
        return {}
