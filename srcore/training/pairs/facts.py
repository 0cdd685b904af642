"""What a split asks of a scene, whichever way it comes: where it lies, what its file is called, in which season it was
taken."""

from __future__ import annotations

from pathlib import Path

from srcore.catalog.dataset import Dataset
from srcore.storage.dates.taken import dated
from srcore.storage.disk.veil import veiled
from srcore.storage.header import Header
from srcore.storage.stac.footprint import fitted, footprint
from srcore.training.data.places import named_place
from srcore.training.pairs.find import Facts, Pair

SEASONS = ("Dec to Feb", "Mar to May", "Jun to Aug", "Sep to Nov")


def facts_of(header: Header, pair: Pair, entry: Dataset) -> Facts:
    """Of the LR (of a scene without a measured one: of the scene itself). `entry` is the LR's dataset."""
    grid = fitted(header.grid, header.gcps, header.gcps_crs) if header.lies_by_points else header.grid
    outline = footprint(grid) if header.kind == "raster" else None
    path = pair.paths[0]
    folder = next((root for root in pair.roots if path.is_relative_to(root)), path.parent)
    below = path.relative_to(folder).as_posix()
    if pair.private:  # a path may name the patient: what tells patients apart is kept as a hash
        pattern = entry.retrain and entry.retrain.place
        place = named_place(Path(below), Path(), pattern) if pattern else None
        return Facts(None, "", "", f"p-{veiled(place)}" if place else "")
    return Facts(None if outline is None else tuple(outline.bbox), below, _season(header, entry.date))


def _season(header: Header, date: str | None) -> str:
    taken = dated(header, date).taken
    if taken is None or not taken.source:
        return ""
    return SEASONS[int(taken.first[5:7]) % 12 // 3]
