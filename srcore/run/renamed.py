"""Volumes whose ids changed, since their dataset became private or public: never two products of one scene.

nobody says it   a store with open ids: the dataset stops, with a line that says which of the two to write
restricted       each is made again under a hash; as that is published, what its open id has is erased
public           the same the other way
"""

from __future__ import annotations

import logging
import os
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from srcore.catalog.dataset import Dataset
from srcore.errors import CatalogError, SRError
from srcore.job import Job
from srcore.layout import DatasetPaths
from srcore.storage.archive.sources import HIDDEN_ID
from srcore.storage.disk.whose import forget

log = logging.getLogger(__name__)


def ids_of_volumes(places: DatasetPaths) -> frozenset[str]:
    """The scenes that a dataset has a product or a record in quarantine of; not what others put there."""
    made = {name for name in _names(places.products) if HIDDEN_ID.fullmatch(name) or _is_product(places, name)}
    failed = {name.removesuffix(".json") for name in _names(places.quarantined) if name.endswith(".json")}
    return frozenset(made | failed)


def _names(folder: Path) -> list[str]:
    with suppress(FileNotFoundError, NotADirectoryError):
        return [name for name in os.listdir(folder) if not name.startswith(".")]
    return []


def _is_product(places: DatasetPaths, scene: str) -> bool:
    """Whether a folder has a product, or what an erasure that was killed left of one: the receipt went first."""
    product = places.product(scene, "")
    return product.receipt.exists() or not product.names.isdisjoint(_names(product.folder))


def refuse_undecided(entry: Dataset, dataset: str, ids: Collection[str]) -> None:
    """CatalogError PRIVACY_UNSAID for volumes that the store has under the names of their files, where no `privacy`
    stands in the catalog: under hashes each would be there twice, and open products would be hidden unasked."""
    if entry.kind != "volume" or entry.says_privacy:
        return
    count = sum(HIDDEN_ID.fullmatch(one) is None for one in ids)
    if count:
        raise CatalogError(
            f"volumes are private where nothing is said, and the store has {count} of {dataset} by the names of files",
            "no `privacy` in its entry",
            "write `privacy: public` to leave them as they are, or `privacy: restricted`: each is made again under a "
            "hash, and the old one erased",
            code="PRIVACY_UNSAID",
        )


def erase_former(job: Job) -> None:
    """Erase what the store has of a scene under its former id, now that it has a product under the one of today.

    What another run holds, or the disk refuses, stays until the next run, and is logged.
    """
    if not job.former:
        return
    from srcore.storage.archive.erasure import erase_scene  # brings Zarr, which a look at a dataset needs not

    store = job.home
    places = DatasetPaths(store / job.dataset)
    try:
        left = erase_scene(places, places.product(job.former, _ending(job)))
        forget(job.former, job.dataset, Path(store))
    except (SRError, OSError) as error:
        log.warning("%s: its product under its former id stays until the next run: %s", job.scene, _why(error))
        return
    log.info("%s: its product under its former id was erased", job.scene)
    if left:
        log.warning("%s: %d files beside its former product are not srcore's, and stay", job.scene, len(left))


def _ending(job: Job) -> str:
    return job.product.name.removeprefix(job.scene)


def _why(error: SRError | OSError) -> str:
    """Without a path: the id from before may be a name."""
    return error.code if isinstance(error, SRError) else error.strerror or type(error).__name__
