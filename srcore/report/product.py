"""The page of one product, from what its stages left in the scratch folder."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from pyproj import CRS
from pyproj.exceptions import CRSError

from srcore.catalog.object_stores import on_object_store
from srcore.layout import ProductPaths
from srcore.report.evidence import Evidence
from srcore.report.pictures import Pictures
from srcore.report.place import bounds
from srcore.storage.archive.publish import Receipt
from srcore.storage.disk.files import write_atomic
from srcore.storage.disk.store import store_at
from srcore.storage.header import Header, Taken
from srcore.storage.stac.footprint import Footprint, fitted, footprint
from srcore.storage.work.scene_plan import ScenePlan

if TYPE_CHECKING:
    from srcore.report.page import ReportFacts, Rows

OWN = 0o600
"""Mode of a page that shows somebody."""
CARD_CHARACTERS = 1200
"""Of a part of the model's card, at most: the whole of it is in the checkpoint's folder."""


def write_page(plan: ScenePlan, receipt: Receipt) -> None:
    """Write the page beside the staged product, when the plan has a report; `receipt` is the one to be published."""
    if "report" not in plan.outputs:
        return
    # The figures need matplotlib, which costs half a second to import: only those who get here pay.
    from srcore.report.page import report_page

    staged = ProductPaths(plan.scratch.staged, plan.product.name)
    page = report_page(page_facts(plan, receipt)).encode("utf-8", "backslashreplace")
    write_atomic(staged.page, page, mode=OWN if plan.private else None)


def keep_page(scratch: Path, name: str, place: Path, private: bool = False) -> None:
    """Put the newest staged page of that name at `place`, where there is one: of a product that a gate stopped.

    `scratch` is the parent of the scene's scratch folders. A private one is its owner's alone.
    """
    pages = sorted(scratch.glob(f"*/staged/{name}"), key=lambda path: path.stat().st_mtime_ns)
    if pages and private:  # in a folder always
        write_atomic(place, pages[-1].read_bytes(), mode=OWN)
    elif pages:
        store_at(place.parent).put(place.name, pages[-1].read_bytes())


def page_facts(plan: ScenePlan, receipt: Receipt) -> ReportFacts:
    """What the page of a product tells; pictures where the plan lets them be shown."""
    from srcore.report.page import ReportFacts

    header, shown = plan.header, plan.is_shown
    outline = _outline(header) if shown else None
    return ReportFacts(
        receipt=receipt,
        shapes=(_times(plan.tiles.shape), _times(plan.tiles.shape_hr)),
        bands=tuple(band.name for band in header.bands),
        unit=_unit(header),
        source=_source(header, receipt.flags),
        card=_card(plan.model),
        evidence=Evidence.load(plan.scratch.evidence),
        pictures=Pictures.load(plan.scratch.pictures) if shown else None,
        about=_about(header, plan.tiles.scale, outline),
        outline=outline,
        links=_links(plan, receipt),
        map=_map(plan, receipt),
        is_volume=header.kind == "volume",
    )


def _outline(header: Header) -> Footprint | None:
    """Where a raster lies on the globe."""
    if header.kind != "raster":
        return None
    grid = fitted(header.grid, header.gcps, header.gcps_crs) if header.lies_by_points else header.grid
    return footprint(grid)


def _about(header: Header, scale: Sequence[int], outline: Footprint | None) -> Rows:
    """What a reader asks first: when, where, in which units, how large the pixels are."""
    if header.kind == "volume":
        return _about_volume(header, scale)
    unit = _length_unit(header)
    steps = header.grid.spacing()
    finer = [step / by for step, by in zip(steps, scale, strict=True)]
    part = header.part
    return [
        *([("Taken", _taken(header.taken) if header.taken.source else "not known")] if header.taken else []),
        *([("Where", bounds(outline))] if outline else []),
        *([("Part", f"{_times(header.grid.shape)} of {_times(part.scene.shape)} pixels of the scene")] if part else []),
        ("Pixel of the input", f"{_sizes(steps)} {unit}"),
        ("Pixel of the product", f"{_sizes(finer)} {unit}"),
        ("Values", f"{_unit(header)}; {header.dtype}"),
    ]


def _about_volume(header: Header, scale: Sequence[int]) -> Rows:
    """Of a volume: how far slices, rows and columns lie apart, before and after."""
    before = header.grid.spacing()
    after = [step / by for step, by in zip(before, scale, strict=True)]
    return [
        ("Spacing before", f"{_sizes(before)} mm (slices x rows x columns)"),
        ("Spacing after", f"{_sizes(after)} mm"),
        ("Values", f"{_unit(header)}; {header.dtype}"),
    ]


def _sizes(steps: Sequence[float]) -> str:
    return " x ".join(f"{step:.6g}" for step in steps)


def _unit(header: Header) -> str:
    band = header.bands[0]
    if header.kind == "volume" and band.unit and (band.scale, band.offset) != (1.0, 0.0):
        return f"as stored; {band.unit} = {band.scale:g} x stored {band.offset:+g}"
    plain = "as stored in the file" if header.kind == "volume" else "DN, as stored in the file"
    return next((band.unit for band in header.bands if band.unit), plain)


def _length_unit(header: Header) -> str:
    """Of the grid's steps, in words."""
    crs = header.gcps_crs if header.lies_by_points else header.grid.crs
    if crs is None:
        return "(no CRS: in the file's own units)"
    try:
        name = CRS.from_user_input(crs).axis_info[0].unit_name
    except (CRSError, IndexError):
        return "(unit unknown)"
    return {"metre": "m", "degree": "degrees", "US survey foot": "US survey feet", "foot": "feet"}.get(name, name)


def _links(plan: ScenePlan, receipt: Receipt) -> Rows:
    """What lies beside the page. What a gate stops is not published: of it there is the dataset's page alone."""
    stopped = plan.validate and receipt.verdict == "quarantined"
    product, beside = plan.product, []
    if not stopped:
        beside = [("Product", product.data.name), ("Receipt", product.receipt.name)]
        beside += [("STAC item", product.stac.name)] if "stac" in plan.outputs else []
        beside += [("Trust map", product.trust.name)] if plan.treatment.trust else []
        beside += [("Zarr", product.cube.name)] if "zarr" in plan.outputs else []
    deeper = "../" if on_object_store(product.folder) and not stopped else ""  # there a run has a folder
    beside = [(name, deeper + file if name == "Receipt" else file) for name, file in beside]
    above = "../index.html" if stopped else f"{deeper}../../index.html"
    up = [("All products of the dataset", above)] if plan.dataset else []
    return [*((name, quote(file)) for name, file in beside), *up]


def _map(plan: ScenePlan, receipt: Receipt) -> str:
    """Where the service shows it on a map: what is published of a public raster."""
    stopped = plan.validate and receipt.verdict == "quarantined"
    shown = plan.dataset and not stopped and plan.header.kind == "raster" and "quicklook" in plan.outputs
    deeper = "../" if on_object_store(plan.product.folder) else ""
    return f"{deeper}../../map.html?scene={quote(plan.scene)}" if shown else ""


def _source(header: Header, flags: Sequence[str]) -> Rows:
    return [
        ("Size", f"{_times(header.grid.shape)} {'voxels' if header.kind == 'volume' else 'pixels'}"),
        ("Bands", ", ".join(band.name for band in header.bands[:24]) + (" ..." if len(header.bands) > 24 else "")),
        ("Values", f"{header.dtype}; 'nothing here': {header.nodata}"),
        ("Coordinates", "none" if header.grid.crs is None else _first_name(header.grid.crs)),
        *(("To know", flag) for flag in flags),
    ]


def _taken(taken: Taken) -> str:
    day = taken.first.endswith("T00:00:00Z") and taken.last.endswith("T23:59:59Z")
    return f"{taken.first[:10] if day else taken.first}, by {taken.source}"


def _first_name(crs: str) -> str:
    found = re.search(r'"([^"]+)"', crs)
    return found[1] if found else crs[:60]


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _card(model: Path) -> Rows:
    """The card's introduction and its limits, as headings and texts; nothing where there is no card."""
    card = model / "README.md"
    if not card.is_file():
        return []
    text = card.read_text(encoding="utf-8", errors="replace")
    parts = re.split(r"^#{1,2} +", text, flags=re.MULTILINE)[1:]
    rows = [part.partition("\n")[::2] for part in parts]
    kept = [row for index, row in enumerate(rows) if index == 0 or row[0].strip().lower() == "limits"]
    return [(heading.strip(), " ".join(body.split())[:CARD_CHARACTERS]) for heading, body in kept]
