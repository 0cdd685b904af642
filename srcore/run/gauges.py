"""What Prometheus reads of a store: counts that a run wrote when it ended, and a listing of folders; no receipt.

totals.json of each dataset          products, tiles, pixels, bytes, failures by code, last success, the last night
names in sources and in products     scenes that wait
.scratch                             scenes that are begun
the disk                             free and in all; an object store has none
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector

from srcore.catalog import Catalog, load_catalog
from srcore.catalog.object_stores import on_object_store
from srcore.errors import SRError
from srcore.layout import DatasetPaths
from srcore.report.totals import Totals, find_totals
from srcore.storage.archive.sources import find_scenes
from srcore.storage.disk.store import store_at
from srcore.version import __version__

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OF_TOTALS = {
    "srcore_products": ("Published products", "products"),
    "srcore_products_degraded": ("Published products with a warning", "degraded"),
    "srcore_tiles": ("Tiles of the published products", "tiles"),
    "srcore_product_pixels": ("Pixels of all bands of the published products", "pixels"),
    "srcore_product_bytes": ("Bytes of all files of the published products", "bytes"),
    "srcore_stage_seconds": ("Wall seconds of the stages of the published products", "seconds"),
    "srcore_speed_megapixels_per_second": ("Megapixels of product a second, of the last products", "mpx_s"),
    "srcore_night_published": ("Published within a day before the newest product or failure", "night_published"),
    "srcore_night_failed": ("Failed within a day before the newest product or failure", "night_failed"),
}
"""Name to help and the field of Totals."""

Family = GaugeMetricFamily | InfoMetricFamily


def exposition(catalog: Path) -> bytes:
    """The text that Prometheus reads, of the catalog's store as it stands. CatalogError for a catalog that is none."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(StoreCollector(catalog))
    return generate_latest(registry)


class StoreCollector(Collector):
    """The catalog's store, looked at afresh whenever it is asked."""

    def __init__(self, catalog: Path) -> None:
        self.catalog = catalog

    def collect(self) -> Iterator[Family]:
        """Every metric; a catalog that cannot be read is the one metric that says so."""
        try:
            catalog = load_catalog(self.catalog)
        except SRError:
            yield GaugeMetricFamily("srcore_catalog_valid", "1 while the catalog can be read", 0)
            return
        yield GaugeMetricFamily("srcore_catalog_valid", "1 while the catalog can be read", 1)
        yield InfoMetricFamily("srcore", "The version that answers", {"version": __version__})
        yield from _counted(catalog)
        yield from _waiting(catalog)
        if not on_object_store(Path(catalog.store)):
            yield from _disk(Path(catalog.store))


def _gauge(name: str, told: str, labels: tuple[str, ...] = ("dataset",)) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, told, labels=labels)


def _counted(catalog: Catalog) -> Iterator[Family]:
    """What runs wrote. A dataset without any product yet has zeros, so that an alert can see it; one
    with a page and no totals, of an older version, is left out until its next run counts it."""
    told, untold = find_totals(Path(catalog.store))
    found = {one.name: one for one in told}
    datasets = [found.get(name, Totals(name)) for name in catalog.datasets if name not in untold]
    for metric, (help_, field) in OF_TOTALS.items():
        gauge = _gauge(metric, help_)
        for one in datasets:
            gauge.add_metric([one.name], getattr(one, field))
        yield gauge
    held = _gauge("srcore_quarantined", "Scenes in quarantine, by reason code", ("dataset", "code"))
    last = _gauge("srcore_last_success_timestamp_seconds", "When the newest product was made; 0: there is none")
    for one in datasets:
        for code, count in one.codes.items():
            held.add_metric([one.name, code], count)
        last.add_metric([one.name], _seconds(one.newest))
    yield held
    yield last


def _seconds(text: str) -> float:
    with suppress(ValueError):
        return datetime.fromisoformat(text).timestamp()
    return 0.0


def _waiting(catalog: Catalog) -> Iterator[Family]:
    scenes = _gauge("srcore_scenes", "Scenes that the source has")
    queue = _gauge("srcore_queue_scenes", "Scenes of the source with neither a product nor a record in quarantine")
    begun = _gauge("srcore_begun_scenes", "Scenes with a scratch folder: running, or interrupted")
    scheduled = _gauge("srcore_dataset_scheduled", "1 where the dataset has a schedule")
    for name, entry in catalog.datasets.items():
        places = DatasetPaths(Path(catalog.store) / name)
        held = {one.name.removesuffix(".json") for one in store_at(places.quarantined).list()}
        done = held | set(store_at(places.products).folders())
        with suppress(SRError):  # a source that is away is told by the run; here it is a metric that is missing
            ids = {one.id for one in find_scenes(entry, catalog.base)}
            scenes.add_metric([name], len(ids))
            queue.add_metric([name], len(ids - done))
        begun.add_metric([name], len(_names(places.scratch("scene").parent)))
        scheduled.add_metric([name], int(entry.schedule is not None))
    yield from (scenes, queue, begun, scheduled)


def _names(folder: Path) -> set[str]:
    try:
        return {name for name in os.listdir(folder) if not name.startswith(".")}
    except OSError:
        return set()


def _disk(store: Path) -> Iterator[Family]:
    place = next(one for one in (store, *store.parents) if one.exists())
    usage = shutil.disk_usage(place)
    yield GaugeMetricFamily("srcore_store_free_bytes", "Bytes free on the disk of the store", usage.free)
    yield GaugeMetricFamily("srcore_store_total_bytes", "Bytes of the disk of the store", usage.total)
