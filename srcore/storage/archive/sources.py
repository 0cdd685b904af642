"""From a source in the catalog to scenes: which files there are, and which belong together.

    ./in/*.tif                  one file a scene, named after the file
    ./in/{scene}/image.tif      one file a scene, named after the folder
    ./in/{scene}_{band}.tif     one file a band: the files of a scene differ in {band} only
    ./in/*_{band}.tif           the same; the scene's name is the file's without its band

Wildcards are * ? [abc] inside a name, and ** for any folders. Names that begin with a dot and unfinished downloads
are not scenes.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from srcore.catalog import WILD, Dataset
from srcore.errors import CatalogError
from srcore.layout import safe_id

UNFINISHED = (".part", ".partial", ".tmp", ".temp", ".filepart", ".crdownload", "~")
_TOKEN = re.compile(r"\{scene\}|\{band\}|\*\*/|\*+|\?|\[!?[^\]]+\]")
_SUFFIX = re.compile(r"(\.nii\.gz|\.[A-Za-z0-9]{1,5})$")
_EDGES = "-_. "


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


@dataclass(frozen=True)
class _Found:
    path: Path
    name: str
    band: tuple[int, int] | None
    """Where the band stands in the path's text; None for a file with all bands."""

    def without_band(self) -> tuple[str, str]:
        """The path's text before and after the band: the same for all files of a scene."""
        text, (start, end) = str(self.path), self.band or (0, 0)
        return text[:start], text[end:]

    def paths(self, bands: Sequence[str] | None) -> tuple[Path, ...]:
        """The files of the scene, one a band."""
        texts = [str(self.path)]
        if self.band is not None and bands is not None:
            before, after = self.without_band()
            texts = [before + band + after for band in bands]
        return tuple(Path(os.path.realpath(text)) for text in texts)


def find_scenes(dataset: Dataset, base: Path) -> list[Scene]:
    """The scenes of `dataset`, sorted by id; relative sources start at `base`. Empty when nothing matches.

    CatalogError when the source is a folder or two scenes would get the same id.
    """
    root, pattern = _split(dataset.source, base)
    groups = {one.without_band(): one for one in _matches(root, pattern, dataset.bands)}
    roots = (root, *map(Path, dataset.roots))
    scenes = [Scene(safe_id(one.name), one.paths(dataset.bands), dataset.bands, roots) for one in groups.values()]
    return sorted(_unique(scenes, dataset.source), key=lambda scene: scene.id)


def find_hr(dataset: Dataset, base: Path) -> dict[str, Scene]:
    """The true HR of `dataset`, one file each, by scene id; empty when it has none."""
    if dataset.hr is None:
        return {}
    folder = not WILD.search(dataset.hr) and (base / dataset.hr).is_dir()
    root, pattern = _split(f"{dataset.hr}/*" if folder else dataset.hr, base)
    roots = (root, *map(Path, dataset.roots))
    scenes = [Scene(safe_id(one.name), one.paths(None), None, roots) for one in _matches(root, pattern, None)]
    return {scene.id: scene for scene in _unique(scenes, dataset.hr)}


def _unique(scenes: list[Scene], source: str) -> list[Scene]:
    seen: dict[str, Scene] = {}
    for scene in scenes:
        # on many a share two names that differ in case are one file
        other = seen.setdefault(scene.id.casefold(), scene)
        if other is not scene:
            raise CatalogError(
                f"source {source!r} gives two scenes the id {scene.id!r}",
                f"{other.paths[0]} and {scene.paths[0]}",
                "put {scene} where their names differ",
            )
    return scenes


def _split(source: str, base: Path) -> tuple[Path, str]:
    """The folder before the first wildcard, and the rest."""
    parts = source.split("/")
    wild = next((i for i, part in enumerate(parts) if WILD.search(part)), len(parts) - 1)
    root = Path(os.path.realpath(base / ("/".join(parts[:wild]) + "/" if wild else ".")))
    if wild == len(parts) - 1 and not WILD.search(parts[-1]) and (root / parts[-1]).is_dir():
        raise CatalogError(f"source {source!r} is a folder", do=f"name its files, as in {source.rstrip('/')}/*.tif")
    return root, "/".join(part for part in parts[wild:] if part not in ("", "."))


def _matches(root: Path, pattern: str, bands: Sequence[str] | None) -> Iterator[_Found]:
    regex = _regex(pattern, bands or ())
    for path in _files(root, None if "**/" in pattern else pattern.count("/")):
        relative = path.relative_to(root).as_posix()
        match = regex.fullmatch(relative)
        if match is None:
            continue
        groups, start = match.groupdict(), len(str(path)) - len(relative)
        band = (start + match.start("band"), start + match.end("band")) if "band" in groups else None
        yield _Found(path, groups.get("scene") or _name(path, band), band)


def _name(path: Path, band: tuple[int, int] | None) -> str:
    """The file's name without its suffix and its band; the folder's when nothing is left."""
    start = len(str(path)) - len(path.name)
    if band is None or band[0] < start:
        return _SUFFIX.sub("", path.name) or path.name
    before, after = path.name[: band[0] - start], _SUFFIX.sub("", path.name[band[1] - start :])
    if after[:1] in _EDGES:
        before = before.rstrip(_EDGES)
    return (before + after).strip(_EDGES) or path.parent.name


def _files(folder: Path, depth: int | None) -> Iterator[Path]:
    """Files at most `depth` folders down, sorted; links to folders are not followed, so that the walk ends."""
    if not folder.is_dir():
        return
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.name.startswith(".") or entry.name.lower().endswith(UNFINISHED):
            continue
        if entry.is_dir(follow_symlinks=False):
            if depth is None or depth > 0:
                yield from _files(Path(entry.path), None if depth is None else depth - 1)
        elif _is_file(entry):
            yield Path(entry.path)


def _is_file(entry: os.DirEntry[str]) -> bool:
    """A regular file, or a link that leads to one or nowhere: planning says of a broken one that it is missing."""
    try:
        return stat.S_ISREG(entry.stat().st_mode)
    except OSError:  # nothing there, a loop of links, or a folder that may not be looked into
        return entry.is_symlink()


def _regex(pattern: str, bands: Sequence[str]) -> re.Pattern[str]:
    text, position = "", 0
    for token in _TOKEN.finditer(pattern):
        text += re.escape(pattern[position : token.start()])
        # a second {scene} is the same text as the first
        text += "(?P=scene)" if token[0] == "{scene}" and "(?P<scene>" in text else _part(token[0], bands)
        position = token.end()
    try:
        return re.compile(text + re.escape(pattern[position:]), re.DOTALL)
    except re.error as error:
        raise CatalogError(f"source {pattern!r} is not a glob", str(error), "write [abc] or [a-c]") from error


def _part(token: str, bands: Sequence[str]) -> str:
    if token == "{scene}":
        return "(?P<scene>[^/]+)"
    if token == "{band}":
        # the longest first: before a wildcard B1 would match the beginning of B12
        return f"(?P<band>{'|'.join(re.escape(band) for band in sorted(bands, key=len, reverse=True))})"
    if token.startswith("["):
        inside = re.escape(token[1:-1].removeprefix("!")).replace(r"\-", "-")
        return f"[^/{inside}]" if token.startswith("[!") else f"[{inside}]"
    return {"**/": "(?:[^/]+/)*", "?": "[^/]"}.get(token, "[^/]*")
