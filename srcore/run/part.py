"""A part of a scene of the catalog, done as the catalog says, and put where somebody asks: never into the store."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from srcore.catalog import Catalog
from srcore.catalog.object_stores import refuse_address
from srcore.errors import CatalogError
from srcore.job import Job
from srcore.layout import ProductPaths
from srcore.run.states import read_once, scene_job
from srcore.storage.archive.sources import find_scenes
from srcore.storage.product import archive_ending
from srcore.storage.window import WindowWish


def part_job(catalog: Catalog, dataset: str, scene: str, window: WindowWish, folder: Path) -> Job:
    """The job of a window of a scene with its dataset's model and treatment; its product is FOLDER/SCENE.tif.

    The true HR is left out: it is as large as the whole. CatalogError for an unknown dataset or scene, and for a folder
    in the store.
    """
    refuse_address(folder)
    once = read_once(catalog, dataset)
    found = [one for one in find_scenes(once.entry, catalog.base) if one.id == scene]
    if not found:
        raise CatalogError(f"dataset {dataset} has no scene {scene!r}", "", "see `srcore status`")
    place, store = Path(os.path.realpath(folder)), Path(os.path.realpath(catalog.store))
    if place == store or store in place.parents:
        do = "give a folder outside it: what lies there is whole, verified products"
        raise CatalogError("a window is no product of the archive", f"--to {folder}, in the store", do)
    product = ProductPaths(place, scene + archive_ending(once.entry.form))
    return replace(
        scene_job(once, found[0]),
        product=product,
        scratch=place / f".{product.stem}.srcore",
        window=window,
        dataset="",
        hr=None,
        hr_roots=None,
        overwrite=False,
        before=(),
    )
