"""Who a private id stands for, and its erasure from an archive."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from srcore.catalog import Catalog
from srcore.errors import CatalogError, SRError
from srcore.layout import DatasetPaths, safe_id
from srcore.run.listed import list_products
from srcore.run.renamed import ids_of_volumes
from srcore.storage.archive.erasure import erase_scene, has_traces, remembered
from srcore.storage.archive.sources import HIDDEN_ID, find_scenes
from srcore.storage.disk.store import keeps_versions
from srcore.storage.disk.whose import Whose, forget, whose
from srcore.storage.product import archive_ending


@dataclass(frozen=True)
class Erased:
    """What became of a scene in a dataset."""

    dataset: str
    left: tuple[Path, ...]
    """Files of somebody else in its folders."""
    comes_again: bool
    """True where its source is there: the next run makes it again."""
    learned: tuple[Path, ...] = ()
    """Records of retraining that name it."""
    versions: bool = False
    """True where the bucket keeps what was deleted, and srcore cannot delete that."""


def who(catalog: Catalog | None, scene: str) -> list[Whose]:
    """What an id stands for, by what was noted, and by the sources of the catalog; CatalogError where nothing does."""
    found = whose(scene)
    known = {(one.dataset, one.store) for one in found}
    for name, one in _in_sources(catalog, scene):
        if (name, one.store) not in known:
            found.append(one)
    if not found:
        raise CatalogError(f"no scene is called {scene!r}", "", "see `srcore status`")
    return found


def _in_sources(catalog: Catalog | None, scene: str) -> list[tuple[str, Whose]]:
    if catalog is None:
        return []
    found = []
    for name, entry in catalog.datasets.items():
        try:
            scenes = find_scenes(entry, catalog.base)
        except SRError:  # a source that is not mounted hides no other
            continue
        here = [one for one in scenes if one.id == scene]
        paths = [tuple(map(str, one.paths)) for one in here]
        found += [(name, Whose(scene, name, str(catalog.store), each)) for each in paths]
    return found


def holders(catalog: Catalog, scene: str) -> list[str]:
    """The datasets of a catalog that have something of a scene: products, scratch, records, or its source."""
    if safe_id(scene) != scene:
        raise CatalogError(f"{scene!r} is no scene", "", "see `srcore status`")
    sources = {name for name, _ in _in_sources(catalog, scene)}
    places = {name: DatasetPaths(Path(catalog.store) / name) for name in catalog.datasets}
    return [name for name, place in places.items() if name in sources or has_traces(place, scene)]


def erase(catalog: Catalog, scene: str) -> list[Erased]:
    """Remove a scene from every dataset of a catalog that has it, with the note of what it stands for.

    CatalogError where none has it, LeaseError when a run works on it, StoreError when the store cannot be written.
    """
    from srcore.report.index import write_index

    names = holders(catalog, scene)
    if not names:
        raise CatalogError(f"nothing is there of a scene {scene!r}", "", "see `srcore status`")
    here = {name for name, _ in _in_sources(catalog, scene)}
    done = []
    for name in names:
        places, entry = DatasetPaths(Path(catalog.store) / name), catalog.dataset(name)
        left = []
        for one in _ids(catalog, name, scene):
            left += erase_scene(places, places.product(one, archive_ending(entry.form)))
            forget(one, name, Path(catalog.store))
        write_index(places)
        list_products(catalog, name, anew=True)
        versions = keeps_versions(Path(catalog.store))
        done.append(Erased(name, tuple(left), name in here, tuple(remembered(places, scene)), versions))
    return done


def _ids(catalog: Catalog, dataset: str, scene: str) -> list[str]:
    """The id of a scene, and that under which the store has it from before its dataset became private, or public."""
    entry, places = catalog.dataset(dataset), DatasetPaths(Path(catalog.store) / dataset)
    if entry.kind != "volume" or not (entry.hides_names or any(map(HIDDEN_ID.fullmatch, ids_of_volumes(places)))):
        return [scene]
    try:
        others = {one.other_id for one in find_scenes(entry, catalog.base) if one.id == scene}
    except SRError:  # a source that is not mounted: `status` lists what is left under a name
        return [scene]
    return [scene, *sorted(one for one in others if one and has_traces(places, one))]
