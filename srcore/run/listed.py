"""What of a dataset stands in the archive's STAC catalog: rasters with items that anybody may see."""

from __future__ import annotations

import logging
from pathlib import Path

from srcore.catalog import Catalog
from srcore.errors import SRError
from srcore.layout import DatasetPaths

log = logging.getLogger(__name__)


def list_products(catalog: Catalog, dataset: str, *, anew: bool = False) -> None:
    """Bring a dataset's STAC collection up to date with its products: a view, so a run does not fail by it.

    Nothing is opened where the dataset's page is as new as its products, unless `anew`. Of a restricted dataset nothing
    is listed, and what was listed when it was public goes.
    """
    from srcore.report.index import is_stale
    from srcore.storage.stac.catalog import Described, is_listed, withdraw, write_collection

    entry, places = catalog.dataset(dataset), DatasetPaths(Path(catalog.store) / dataset)
    try:
        if entry.privacy != "public" or "stac" not in entry.outputs:
            withdraw(places)
            return
        if is_listed(places) and not (anew or is_stale(places)):
            return
        title = entry.title or dataset
        told = f"{title}, super-resolved by {entry.model}."
        write_collection(places, Described(title, told, entry.licence))
    except (SRError, OSError) as error:
        log.warning("the STAC collection of %s was not written: %s", dataset, error)
