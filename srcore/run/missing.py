"""What is missing: a source that gives no scene, and products whose source is gone. A silent night would hide both."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from srcore.catalog import Catalog
from srcore.errors import CatalogError, SRError, StoreError
from srcore.layout import DatasetPaths, ProductPaths
from srcore.storage.archive.publish import RECEIPT, Receipt, find_receipts
from srcore.storage.archive.sources import find_excluded, find_scenes


@dataclass(frozen=True)
class Gone:
    """A published product that no scene of the catalog stands for."""

    scene: str
    product: ProductPaths
    created: str
    """UTC, ISO 8601; empty where its receipt cannot be read."""
    reason: str


def gone_products(catalog: Catalog, dataset: str, scenes: Collection[str]) -> list[Gone]:
    """Products of a dataset whose scene is not among `scenes`, by their receipts; sorted by scene."""
    places = DatasetPaths(Path(catalog.store) / dataset)
    receipts = find_receipts(places.products)
    return [_gone(path) for path, _ in receipts if path.parent.name not in scenes]


def _gone(path: Path) -> Gone:
    stem = path.name.removesuffix(RECEIPT)
    try:
        receipt = Receipt.load(path)
    except StoreError as error:
        return Gone(path.parent.name, ProductPaths(path.parent, stem), "", str(error))
    if receipt is None or not receipt.outputs:
        return Gone(path.parent.name, ProductPaths(path.parent, stem), "", "its receipt names no file")
    # the data is the output that is published last
    product = ProductPaths(path.parent, receipt.outputs[-1].name)
    told = f"published {receipt.created}; its source is not there: {receipt.sources[0].path}"
    return Gone(path.parent.name, product, receipt.created, told)


def nothing_found(catalog: Catalog, dataset: str) -> SRError:
    """Why a dataset without scenes is worth a word.

    SOURCE_MISSING where products show that there were some, else NO_SCENES.
    """
    entry = catalog.dataset(dataset)
    excluded = len(find_excluded(entry, catalog.base))
    found = f"no file, and {excluded} scenes excluded" if excluded else "no file"
    before = len(gone_products(catalog, dataset, ()))
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
