"""From a source in the catalog to scenes: which files there are, and which belong together.

    ./in/*.tif                  one file a scene, named after the file
    ./in/{scene}/image.tif      one file a scene, named after the folder
    ./in/{scene}_{band}.tif     one file a band: the files of a scene differ in {band} only
    ./in/*_{band}.tif           the same; the scene's name is the file's without its band
    mosaic: {group: "{scene}_*.tif"}     several files a scene, each a part of its ground; they have the same {scene}
    ./in/*.SAFE, ./in/LC0*      one folder a scene: a provider's product, known by the metadata in it; or its .zip, .tar
    s3://bucket/in/*.tif         the same in a bucket (gs://, az://): a card stands for each scene (`storage.remote`)
    {stac: ADDRESS, ...}         the items of a search
    ./in/{patient}/{series}/    one folder a scene: a DICOM series, of a dataset of volumes; its id is a keyed hash

Wildcards are * ? [abc] inside a name, and ** for any folders. Upper and lower case of the last suffix do not count:
*.tif takes SCENE1.TIF, and says so. Names that begin with a dot, unfinished downloads, and masks, words and overviews
beside another file are not scenes.
"""

from __future__ import annotations

import logging
import os
import re
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from srcore.catalog.dataset import Dataset
from srcore.catalog.elsewhere import Stac, is_remote
from srcore.catalog.keys import WILD
from srcore.catalog.pattern import regex_of, scene_name, suffix_of
from srcore.errors import CatalogError, printable
from srcore.layout import safe_id
from srcore.storage.archive.mosaics import Parts, mosaic_names
from srcore.storage.dicom.files import is_dicom
from srcore.storage.disk.card import told_of
from srcore.storage.disk.strangers import UNKNOWN_FOLDER, folder_kind
from srcore.storage.disk.veil import veiled
from srcore.storage.providers.find import find_document
from srcore.storage.raster.beside import with_its_neighbours

log = logging.getLogger(__name__)

UNFINISHED = (".part", ".partial", ".tmp", ".temp", ".filepart", ".crdownload", "~")
BESIDE = (".msk", ".aux.xml", ".ovr")
"""Behind the whole name of a raster: GDAL's files beside it."""
_NIFTI = re.compile(r"\.nii(\.gz)?$", re.IGNORECASE)
HIDDEN_ID = re.compile(r"s-[0-9a-f]{16}")
"""How the id of a private scene looks."""


@dataclass(frozen=True)
class Scene:
    """One granule of a dataset."""

    id: str
    """A safe file name, unique in its dataset."""
    paths: tuple[Path, ...]
    """Its file, or one file a band in the order of `bands`. A band's file may be missing: planning refuses it."""
    bands: tuple[str, ...] | None
    """Names of the bands to read, in the order of the product; None: all."""
    roots: tuple[Path, ...]
    """Folders that the files, their links followed, must not leave: pass them on to the reader."""
    private: bool = False
    """True where its files may tell of a patient, and nobody said that it is public: no record names them."""
    name: str = ""
    """What its files call it: the id of one that is not private, and what its true HR is called."""
    place: str = ""
    """Where it lies below the source: what the id of one that is private stands for."""
    box: tuple[float, float, float, float] | None = None
    """Where its item says that it lies (west, south, east, north in degrees): known before a byte of it is fetched."""
    taken: tuple[str, str] = ("", "")
    """When its item says that it was taken: the first and the last second."""

    @property
    def other_id(self) -> str:
        """Its id where it had been private and is public now, or the other way."""
        return self.name if self.private else hidden_id(self.place)


@dataclass(frozen=True)
class _Found:
    path: Path
    name: str
    band: tuple[int, int] | None
    """Where the band stands in the path's text; None for a file with all bands."""
    alike: str
    """The path's text with its suffix in the pattern's case: of two files alike in it, the one of that case counts."""
    is_link: bool

    @property
    def file(self) -> Path:
        """The path to read it by."""
        return with_its_neighbours(self.path) if self.is_link else self.path

    @property
    def without_band(self) -> tuple[str, str]:
        """That text before and after the band: the same for all files of a scene."""
        start, end = self.band or (0, 0)
        return self.alike[:start], self.alike[end:]


def hidden_id(place: str) -> str:
    """The id that stands for where a scene lies; packed or not a NIfTI keeps it."""
    return f"s-{veiled(_NIFTI.sub('', place))}"


def find_scenes(dataset: Dataset, base: Path) -> list[Scene]:
    """The scenes of `dataset`, sorted by id; relative sources start at `base`. Empty when nothing matches.

    What the key `exclude` names is left out. CatalogError when the source is a folder, matches folders alone, or two
    scenes would get the same id.
    """
    return _scenes(dataset, base, excluded=False)


def find_excluded(dataset: Dataset, base: Path) -> list[Scene]:
    """The scenes that the key `exclude` leaves out, sorted by id; not a mosaic that has other files."""
    if not dataset.exclude:
        return []
    there = set() if dataset.mosaic is None else {scene.id for scene in find_scenes(dataset, base)}
    return [scene for scene in _scenes(dataset, base, excluded=True) if scene.id not in there]


def _scenes(dataset: Dataset, base: Path, *, excluded: bool) -> list[Scene]:
    if isinstance(dataset.source, Stac) or is_remote(dataset.source):
        return _elsewhere(dataset, dataset.source, excluded=excluded)
    root, pattern = _split(dataset.source, base)
    found = _found_by(root, pattern, dataset, dataset.bands, dataset.source)
    if dataset.source.endswith("/"):
        found = [one for one in found if os.path.isdir(one.path)]
    if not found:
        _refuse_folders(root, pattern, dataset)
    # a scene of many files is left out as a whole when one of them is
    out = {one.without_band for one in found if _is_excluded(one.path, dataset.exclude, base)}
    kept = [one for one in found if (one.without_band in out) is excluded]
    groups: dict[tuple[str, str], list[_Found]] = {}
    if dataset.mosaic is None:
        named = [(one.without_band, one) for one in kept]
    else:
        names = mosaic_names(dataset.mosaic.group, [one.path for one in kept], tell=not excluded)
        named = [((name, ""), replace(one, name=name)) for name, one in zip(names, kept, strict=True) if name]
    for key, one in named:
        groups.setdefault(key, []).append(one)
    roots = (root, *map(Path, dataset.roots))
    scenes = _told_apart([_scene(group, dataset, root, roots) for group in groups.values()])
    return sorted(_unique(scenes, dataset.source), key=lambda scene: scene.id)


def _elsewhere(dataset: Dataset, source: str | Stac, *, excluded: bool) -> list[Scene]:
    """Scenes that are fetched: a card stands for each. CatalogError for volumes that nobody calls public."""
    if dataset.kind == "volume" and not (dataset.privacy == "public" and "privacy" in dataset.model_fields_set):
        what, do = (
            "an address may tell of a patient, and stands in receipts",
            "say `privacy: public`, or copy the files",
        )
        raise CatalogError(what, f"volumes at {source}", do)
    from srcore.storage.remote.listing import listed

    place = () if isinstance(source, str) or is_remote(source.stac) else (Path(source.stac).parent,)
    roots = (*place, *map(Path, dataset.roots))
    out = [regex_of(pattern if "/" not in pattern else f"**/{pattern.lstrip('./')}", ()) for pattern in dataset.exclude]
    parts = None if dataset.mosaic is None else Parts(dataset.mosaic.group, dataset.exclude, excluded)
    scenes = [
        Scene(one.id, (one.card,), dataset.bands, roots, False, one.id, one.address, one.box, one.taken)
        for one in listed(source, dataset.bands, parts)
        if parts is not None
        or any(regex.fullmatch(one.name) or regex.fullmatch(one.address) for regex in out) is excluded
    ]
    do = "put {scene} where their names differ" if isinstance(source, str) else "narrow the search, as to a collection"
    return sorted(_unique(scenes, str(source), do), key=lambda scene: scene.id)


def _scene(group: Sequence[_Found], dataset: Dataset, root: Path, roots: tuple[Path, ...]) -> Scene:
    """A scene by its files; the id of a volume is a hash of where it lies, unless the catalog calls it public."""
    first, private = group[0], dataset.hides_names
    name, place = safe_id(first.name), first.path.relative_to(root).as_posix()
    own = hidden_id(place) if private else name
    return Scene(own, _paths(group, dataset.bands), dataset.bands, roots, private, name, place)


def _told_apart(scenes: list[Scene]) -> list[Scene]:
    """Private scenes whose names are not those of others; of one name, as series-1 of two patients, none keeps it: it
    finds no HR, and no product from before."""
    count = Counter(scene.name for scene in scenes)
    return [replace(one, name="") if one.private and count[one.name] > 1 else one for one in scenes]


def _found_by(root: Path, pattern: str, dataset: Dataset, bands: Sequence[str] | None, source: str) -> list[_Found]:
    """What a pattern matches, each once; what is left out is told, of private scenes without a name."""
    named = not dataset.hides_names
    return _one_case(list(_matches(root, pattern, bands, named=named)), source, named=named)


def _paths(group: Sequence[_Found], bands: Sequence[str] | None) -> tuple[Path, ...]:
    """The files of a scene, one a band; for a band that has none, the name that it should have."""
    first = group[0]
    if first.band is None:
        return tuple(one.file for one in group)  # several are a mosaic
    if bands is None:
        return (first.file,)
    there = {one.alike: one.file for one in group}
    before, after = first.without_band
    texts = (before + band + after for band in bands)
    return tuple(there.get(text) or with_its_neighbours(Path(text)) for text in texts)


def _one_case(found: list[_Found], source: str, *, named: bool) -> list[_Found]:
    """The files without those that differ from another in the case of their suffix alone; says which cases it took."""
    exact = {one.alike for one in found if one.alike == str(one.path)}
    other = [one for one in found if one.alike != str(one.path)]
    for one in other:
        if one.alike in exact:
            names = (one.path.name, Path(one.alike).name) if named else ("a file", "the same in another case")
            log.warning("%s is left out: %s is there, too", *names)
    taken = [one for one in other if one.alike not in exact]
    if taken:
        _tell_of_cases(source, len(taken), f", as {printable(taken[0].path.name)}" if named else "")
    return [one for one in found if one.alike == str(one.path) or one.alike not in exact]


@lru_cache(maxsize=256)  # a command looks for the scenes of a dataset several times
def _tell_of_cases(source: str, count: int, example: str) -> None:
    log.warning("source %r takes files whose suffix has another case: %d%s", source, count, example)


def _refuse_folders(root: Path, pattern: str, dataset: Dataset) -> None:
    """Raise CatalogError for a source that matches folders and no file, and say what they are."""
    regex, depth = regex_of(pattern, dataset.bands or ()), pattern.count("/")
    for folder in sorted(root.glob("/".join(["*"] * (depth + 1)))):
        inside = folder.relative_to(root).as_posix()
        if os.path.isdir(folder) and not folder.is_symlink() and regex.fullmatch(inside):
            what, do = folder_kind(folder)
            found = what if dataset.hides_names else f"{folder.name}: {what}"
            raise CatalogError(f"source {dataset.source!r} matches folders", found, do)


def _is_excluded(path: Path, patterns: Sequence[str], base: Path) -> bool:
    """True when a pattern is that of the file's name or, where it has folders, of its path."""
    for pattern in patterns:
        root, rest = _split(pattern, base) if "/" in pattern else (path.parent, pattern)
        if path.is_relative_to(root) and regex_of(rest, ()).fullmatch(path.relative_to(root).as_posix()):
            return True
    return False


def first_file(source: str, base: Path) -> Path | None:
    """One of the files that a source without {band} gives, for a look at what they are: nothing is told of any."""
    root, pattern = _split(source, base)
    return next((one.path for one in _matches(root, pattern, None, named=False)), None)


def find_hr(dataset: Dataset, base: Path) -> dict[str, Scene]:
    """The true HR of `dataset`, one file each, by the name of its scene; empty when it has none."""
    if dataset.hr is None:
        return {}
    folder = not WILD.search(dataset.hr) and (base / dataset.hr).is_dir()
    root, pattern = _split(f"{dataset.hr}/*" if folder else dataset.hr, base)
    roots = (root, *map(Path, dataset.roots))
    found = _found_by(root, pattern, dataset, None, dataset.hr)
    scenes = [Scene(safe_id(one.name), (one.file,), None, roots, dataset.hides_names) for one in found]
    return {scene.id: scene for scene in _unique(scenes, dataset.hr)}


def _unique(scenes: list[Scene], source: str, do: str = "put {scene} where their names differ") -> list[Scene]:
    seen: dict[str, Scene] = {}
    for scene in scenes:
        # on many a share two names that differ in case are one file
        other = seen.setdefault(scene.id.casefold(), scene)
        if other is not scene:
            what, found = (
                f"source {source!r} gives two scenes the id {scene.id!r}",
                f"{told_of(other.paths[0])} and {told_of(scene.paths[0])}",
            )
            if scene.private:
                what, found = f"source {source!r} gives two scenes one id", "two files of a private dataset"
            raise CatalogError(what, found, do)
    return scenes


def _split(source: str, base: Path) -> tuple[Path, str]:
    """The folder before the first wildcard, and the rest."""
    parts = source.split("/")
    wild = next((i for i, part in enumerate(parts) if WILD.search(part)), len(parts) - 1)
    root = Path(os.path.realpath(base / ("/".join(parts[:wild]) + "/" if wild else ".")))
    if wild == len(parts) - 1 and not WILD.search(parts[-1]) and (root / parts[-1]).is_dir():
        what, do = folder_kind(root / parts[-1])
        known = what if do != UNKNOWN_FOLDER else ""
        raise CatalogError(
            f"source {source!r} is a folder",
            known,
            do if known else f"name its files, as in {source.rstrip('/')}/*.tif",
        )
    return root, "/".join(part for part in parts[wild:] if part not in ("", "."))


def _matches(root: Path, pattern: str, bands: Sequence[str] | None, *, named: bool) -> Iterator[_Found]:
    regex, suffix = regex_of(pattern, bands or ()), suffix_of(pattern)
    start = len(os.path.join(root, ""))
    depth = None if "**/" in pattern else pattern.count("/")
    for text, is_link in (*_files(str(root), depth, named=named), *_products(root, pattern, regex)):
        match = regex.fullmatch(text[start:])
        if match is None:
            continue
        groups, path = match.groupdict(), Path(text)
        band = (start + match.start("band"), start + match.end("band")) if "band" in groups else None
        yield _Found(
            path, groups.get("scene") or scene_name(path, band), band, text[: len(text) - len(suffix)] + suffix, is_link
        )


def _products(root: Path, pattern: str, regex: re.Pattern[str]) -> Iterator[tuple[str, bool]]:
    """Folders that the pattern matches and that are a provider's product; links are not followed."""
    if "{band}" in pattern:
        return
    form = "/".join("**" if part == "**" else "*" for part in pattern.split("/"))
    for folder in sorted(root.glob(form)):
        inside = folder.relative_to(root).as_posix()
        # isdir: Path.is_dir raises, with the folder's name, where one above it may not be looked into
        if os.path.isdir(folder) and not folder.is_symlink() and regex.fullmatch(inside) and _is_scene(folder):
            yield str(folder), False


def _is_scene(folder: Path) -> bool:
    return find_document(folder) is not None or is_dicom(folder)


def _files(folder: str, depth: int | None, *, named: bool) -> Iterator[tuple[str, bool]]:
    """Files at most `depth` folders down, sorted, and whether each is a link; links to folders are not followed.

    So the walk ends.
    """
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:  # one folder stops no dataset
        told = folder if named else "a folder of the source"
        log.warning("%s is left out: it cannot be listed: %s", told, error.strerror)
        return
    for entry in entries:
        if entry.name.startswith(".") or entry.name.lower().endswith(UNFINISHED):
            continue
        if entry.is_dir(follow_symlinks=False):
            if depth is None or depth > 0:
                yield from _files(entry.path, None if depth is None else depth - 1, named=named)
        elif _is_file(entry) and not _is_beside(entry.path):
            yield entry.path, entry.is_symlink()


def _is_file(entry: os.DirEntry[str]) -> bool:
    """A regular file, or a link that leads to one or nowhere: planning says of a broken one that it is missing."""
    try:
        return stat.S_ISREG(entry.stat().st_mode)
    except OSError:  # nothing there, a loop of links, or a folder that may not be looked into
        return entry.is_symlink()


def _is_beside(path: str) -> bool:
    ending = next((ending for ending in BESIDE if path.lower().endswith(ending)), "")
    return bool(ending) and os.path.isfile(path[: -len(ending)])
