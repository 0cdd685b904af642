"""The items of a dataset as one stac-geoparquet file, by rustac: written whole or not at all, in bounded memory.

rustac knows the fields of the items that it gets first, and drops or cuts down in silence what later ones have besides.
So all items are read twice: once for their fields, and then written, those first that show all fields between them.
"""

from __future__ import annotations

import asyncio
import errno
import os
import posixpath
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from srcore.catalog import Catalog
from srcore.catalog.elsewhere import Stac
from srcore.catalog.object_stores import object_store_of, refuse_address, shown
from srcore.errors import PlanError, SourceError, StoreError, printable, shortened
from srcore.layout import DatasetPaths
from srcore.storage.disk.files import fsync_file, fsync_folder, hidden_folder, store_error
from srcore.storage.disk.records import parse_json
from srcore.storage.disk.store import store_at
from srcore.storage.remote.address import joined
from srcore.storage.stac.catalog import item_files

SUFFIXES = (".parquet", ".geoparquet")
MAGIC = b"PAR1"
BATCH = 200
"""Items in memory at a time, besides those that show the fields."""
Item = dict[str, Any]


@dataclass(frozen=True)
class Exported:
    """What a file of items holds."""

    items: int
    placeless: tuple[str, ...]
    """Scenes that are left out: without a place on the globe they can be no row."""


def export_items(
    catalog: Catalog, dataset: str, out: Path, *, overwrite: bool = False, restricted: bool = False
) -> Exported:
    """Write the items of a dataset's published products to `out`; their links lead there from the folder of `out`.

    PlanError BAD_OUTPUT, OUTPUT_EXISTS, LINK; SourceError RESTRICTED, NO_SCENES, NOT_INSTALLED; StoreError BAD_STAC for
    items that make no table or change meanwhile.
    """
    _refuse_output(catalog, out, overwrite=overwrite)
    if catalog.dataset(dataset).privacy != "public" and not restricted:
        do = "say --restricted where its items may leave the archive"
        raise SourceError(f"the items of {dataset} are not exported", "privacy: restricted", do, code="RESTRICTED")
    rustac = _rustac()
    places = DatasetPaths(Path(catalog.store) / dataset)
    table, placeless = _Table(places, out.absolute().parent), []
    for scene, item in table.items():
        if item.get("geometry") is None:
            placeless.append(scene)
        else:
            table.see(scene, item)
    if not table.first:
        found = f"{len(placeless)} without a place on the globe" if placeless else "no item"
        raise SourceError(f"nothing of {dataset} can be exported", found, "see `srcore status`", code="NO_SCENES")
    with hidden_folder(out) as folder:
        try:
            count = asyncio.run(_write(rustac, table, folder))
            fsync_file(folder / PLAIN)
            _name(folder / PLAIN, out, overwrite=overwrite)
            fsync_folder(out.parent)
        except FileExistsError as error:
            raise _exists(out) from error
        except (OSError, rustac.RustacError) as error:
            raise _told(out, error) from error
    return Exported(count, tuple(placeless))


def _name(made: Path, out: Path, *, overwrite: bool) -> None:
    """Give a file its name; FileExistsError where somebody was first, unless `overwrite`."""
    try:
        (os.replace if overwrite else os.link)(made, out)  # a link fails where a file is
    except OSError as error:
        if error.errno not in NO_LINKS or out.exists():
            raise
        os.replace(made, out)


NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS)
"""What a file system without hard links says, as of a memory stick or a share of Windows."""
PLAIN = "items.parquet"
"""In a folder of its own: rustac writes letters of a name that it does not like as %XX."""


class _Table:
    """Items, and the fields that they have between them."""

    def __init__(self, places: DatasetPaths, folder: Path) -> None:
        self.places, self.folder = places, folder
        self.known: set[tuple[str, ...]] = set()
        self.first: dict[str, Item] = {}

    def items(self) -> Iterator[tuple[str, Item]]:
        """Every scene and its item, as it is told from the folder of the output."""
        store = store_at(self.places.products)
        for stored in item_files(self.places.products):
            scene, content = stored.name.partition("/")[0], store.get(stored.name)
            item = {} if content is None else parse_json(content, stored.name)
            if item.get("type") == "Feature":
                yield scene, _moved(item, self.places.products / stored.name, self.folder)

    def see(self, scene: str, item: Item) -> None:
        """Keep an item that shows a field, or a kind of value, that no other one did."""
        if new := set(_fields(item)) - self.known:
            self.known |= new
            self.first[scene] = item

    def rest(self) -> Iterator[Item]:
        """The items that show nothing new."""
        for scene, item in self.items():
            if scene in self.first or item.get("geometry") is None:
                continue
            if not set(_fields(item)) <= self.known:
                raise StoreError(f"the item of {scene} changed while it was read", "", "run again", code="BAD_STAC")
            yield item


async def _write(rustac: Any, table: _Table, folder: Path) -> int:
    first = list(table.first.values())
    writer = await rustac.GeoparquetWriter.open(first, PLAIN, True, rustac.store.LocalStore(prefix=str(folder)))
    count, rest = len(first), table.rest()
    while some := list(islice(rest, BATCH)):
        await writer.write(some)
        count += len(some)
    await writer.finish()
    return count


def _fields(value: Any, at: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every field of an item, and of what kind its value is; the geometry is one column whatever it is."""
    if isinstance(value, Mapping):
        for name, one in value.items():
            if (*at, name) != ("geometry",):
                yield from _fields(one, (*at, name))
    elif isinstance(value, list):
        for one in value:
            yield from _fields(one, (*at, ""))
    elif value is not None:
        yield (*at, type(value).__name__)


def _moved(item: Item, path: Path, folder: Path) -> Item:
    """The item with links as they lead from `folder`: relative ones, as all of the archive; of a bucket its address."""
    try:
        links = [{**link, "href": _href(link["href"], path, folder)} for link in item["links"]]
        assets = {key: {**one, "href": _href(one["href"], path, folder)} for key, one in item["assets"].items()}
    except (KeyError, TypeError, AttributeError) as error:
        what, do = f"{shown(path)}: no item of STAC", "run `srcore audit`"
        raise StoreError(what, f"links or assets: {error!r}", do, code="BAD_STAC") from error
    return {**item, "links": links, "assets": assets}


def _href(href: str, path: Path, folder: Path) -> str:
    if object_store_of(path) is not None:
        return joined(shown(path), href)
    place = joined(str(path), href)
    return place if "://" in place else posixpath.relpath(os.path.realpath(place), os.path.realpath(folder))


def _refuse_output(catalog: Catalog, out: Path, *, overwrite: bool) -> None:
    refuse_address(out)
    if out.suffix.lower() not in SUFFIXES:
        do = f"name it {out.stem}.parquet"
        raise PlanError(f"{out.name} is no name of a GeoParquet file", "", do, code="BAD_OUTPUT")
    if out.is_symlink():
        raise PlanError(f"{out} is a link", "", "give the file that it leads to", code="LINK")
    if not out.absolute().parent.is_dir():
        raise PlanError(f"{out} has no folder", str(out.parent), "make it first", code="BAD_OUTPUT")
    if not out.exists():
        return
    real = os.path.realpath(out)
    if any(os.path.realpath(one) == real for one in _read_by(catalog)):
        raise PlanError(f"{out} is a source of the catalog", "", "choose another name", code="BAD_OUTPUT")
    if not overwrite or not _is_parquet(out):
        raise _exists(out)


def _exists(out: Path) -> PlanError:
    do = "choose another name, or say --overwrite where it is an older export"
    return PlanError(f"{out} is there already", "", do, code="OUTPUT_EXISTS")


def _read_by(catalog: Catalog) -> Iterable[Path]:
    sources = (entry.source for entry in catalog.datasets.values())
    return [catalog.base / one.stac for one in sources if isinstance(one, Stac)]


def _is_parquet(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return path.is_file() and file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def _told(out: Path, error: Exception) -> StoreError:
    if isinstance(error, OSError) or "os error" in str(error):
        return store_error(out, error)
    found, do = (
        shortened(printable(str(error)).partition("\n")[0], 200),
        "make the products of one kind, or export less",
    )
    return StoreError(f"{out.name}: these items make no one table", found, do, code="BAD_STAC")


def _rustac() -> Any:
    try:
        import rustac
        import rustac.store
    except ImportError as error:
        what, do = "stac-geoparquet needs rustac", "pip install 'srcore[parquet]'"
        raise SourceError(what, "it is not installed", do, code="NOT_INSTALLED") from error
    return rustac
