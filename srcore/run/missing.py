"""What is missing: a source that gives no scene, and products whose source is gone. A silent night would hide both."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from srcore.catalog import Catalog
from srcore.errors import CatalogError, SRError, StoreError
from srcore.layout import DatasetPaths, ProductPaths
from srcore.run.renamed import ids_of_volumes, refuse_undecided
from srcore.storage.archive.publish import Receipt, find_receipts
from srcore.storage.archive.sources import HIDDEN_ID, find_excluded, find_scenes
from srcore.storage.product import archive_ending


@dataclass(frozen=True)
class Published:
    """A published product, by its receipt."""

    scene: str
    product: ProductPaths
    created: str
    """UTC, ISO 8601; empty where its receipt cannot be read."""
    reason: str
    """Where it comes from."""
    gone: bool
    """True when no scene of the catalog stands for it."""


def published_products(catalog: Catalog, dataset: str) -> list[Published]:
    """Every product of a dataset, sorted by scene."""
    return [_published(product, gone=gone) for product, gone in _products(catalog, dataset)]


def gone_products(catalog: Catalog, dataset: str) -> list[Published]:
    """Products of a dataset whose source is gone, sorted by scene; not those that are excluded."""
    return [_published(product, gone=True) for product, gone in _products(catalog, dataset) if gone]


def _products(catalog: Catalog, dataset: str) -> list[tuple[ProductPaths, bool]]:
    """Every product that has a receipt, and whether the catalog has no scene for it."""
    entry = catalog.dataset(dataset)
    places = DatasetPaths(Path(catalog.store) / dataset)
    there = (*find_scenes(entry, catalog.base), *find_excluded(entry, catalog.base))
    scenes = dict.fromkeys(path.parent.name for path, _ in find_receipts(places.products))
    known = {scene.id for scene in there}
    if entry.kind == "volume" and (entry.hides_names or any(map(HIDDEN_ID.fullmatch, scenes))):
        # also by the id from before `privacy` changed: the next run brings it to the one of today
        known |= {scene.other_id for scene in there}
    ending = archive_ending(entry.form)
    return [(places.product(scene, ending), scene not in known) for scene in scenes]


def _published(product: ProductPaths, *, gone: bool) -> Published:
    scene = product.folder.name
    try:
        receipt = Receipt.load(product.receipt)
    except StoreError as error:
        return Published(scene, product, "", str(error), gone)
    if receipt is None or not receipt.sources:
        return Published(scene, product, "", "its receipt names no source", gone)
    told = f"published {receipt.created} from {receipt.sources[0].path}"
    return Published(scene, product, receipt.created, told, gone)


def nothing_found(catalog: Catalog, dataset: str) -> SRError:
    """Why a dataset without scenes is worth a word.

    SOURCE_MISSING where products show that there were some, else NO_SCENES.
    """
    entry = catalog.dataset(dataset)
    excluded = len(find_excluded(entry, catalog.base))
    found = f"no file, and {excluded} scenes excluded" if excluded else "no file"
    before = len(gone_products(catalog, dataset))
    if before and not excluded:
        return CatalogError(
            f"source {entry.source!r} gives no scene, and {before} products are published",
            found,
            "mount it, or correct the path",
            code="SOURCE_MISSING",
        )
    return CatalogError(
        f"source {entry.source!r} gives no scene", found, "check the path, or wait for the files", code="NO_SCENES"
    )


def dataset_errors(catalog: Catalog, dataset: str) -> tuple[int, list[SRError]]:
    """How many scenes a dataset has, and all that is wrong with its entry."""
    from srcore.checkpoints import read_spec
    from srcore.registry.references import resolve

    entry, errors, scenes = catalog.dataset(dataset), [], 0
    try:
        refuse_undecided(entry, dataset, ids_of_volumes(DatasetPaths(Path(catalog.store) / dataset)))
        scenes = len(find_scenes(entry, catalog.base))
        if not scenes:
            errors.append(nothing_found(catalog, dataset))
    except SRError as error:
        errors.append(error)
    try:
        spec = read_spec(resolve(entry.model).folder)
        spec.scale_for(2 if entry.kind == "raster" else 3)
    except SRError as error:
        errors.append(error)
    return scenes, errors
