"""The page of one product, from what its stages left in the scratch folder."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from srcore.layout import ProductPaths
from srcore.report.evidence import Evidence
from srcore.report.pictures import Pictures
from srcore.storage.archive.publish import Receipt
from srcore.storage.disk.files import write_atomic
from srcore.storage.header import Header, Taken
from srcore.storage.work.scene_plan import ScenePlan

if TYPE_CHECKING:
    from srcore.report.page import ReportFacts, Rows

CARD_CHARACTERS = 1200
"""Of a part of the model's card, at most: the whole of it is in the checkpoint's folder."""


def write_page(plan: ScenePlan, receipt: Receipt) -> None:
    """Write the page beside the staged product, when the plan has a report; `receipt` is the one to be published."""
    if "report" not in plan.outputs:
        return
    # The figures need matplotlib, which costs half a second to import: only those who get here pay.
    from srcore.report.page import report_page

    staged = ProductPaths(plan.scratch.staged, plan.product.name)
    write_atomic(staged.page, report_page(page_facts(plan, receipt)).encode("utf-8", "backslashreplace"))


def keep_page(scratch: Path, name: str, place: Path) -> None:
    """Put the newest staged page of that name at `place`, where there is one: of a product that a gate stopped.

    `scratch` is the parent of the scene's scratch folders.
    """
    pages = sorted(scratch.glob(f"*/staged/{name}"), key=lambda path: path.stat().st_mtime_ns)
    if pages:
        write_atomic(place, pages[-1].read_bytes())


def page_facts(plan: ScenePlan, receipt: Receipt) -> ReportFacts:
    """What the page of a product tells; pictures only where the plan has a quicklook: a restricted one never has."""
    from srcore.report.page import ReportFacts

    header = plan.header
    return ReportFacts(
        receipt=receipt,
        shapes=(_times(plan.tiles.shape), _times(plan.tiles.shape_hr)),
        bands=tuple(band.name for band in header.bands),
        unit=next((band.unit for band in header.bands if band.unit), "DN, as stored in the file"),
        source=_source(header, receipt.flags),
        card=_card(plan.model),
        evidence=Evidence.load(plan.scratch.evidence),
        pictures=Pictures.load(plan.scratch.pictures) if "quicklook" in plan.outputs else None,
    )


def _source(header: Header, flags: Sequence[str]) -> Rows:
    steps = np.linalg.norm(header.grid.matrix[:, :-1], axis=0)
    return [
        ("Size", f"{_times(header.grid.shape)} {'voxels' if header.kind == 'volume' else 'pixels'}"),
        ("Bands", ", ".join(band.name for band in header.bands[:24]) + (" ..." if len(header.bands) > 24 else "")),
        ("Values", f"{header.dtype}; 'nothing here': {header.nodata}"),
        ("Coordinates", "none" if header.grid.crs is None else _first_name(header.grid.crs)),
        ("Pixel spacing", " x ".join(f"{step:.6g}" for step in steps)),
        *([("Taken", _taken(header.taken))] if header.taken else []),
        *(("To know", flag) for flag in flags),
    ]


def _taken(taken: Taken) -> str:
    if not taken.source:
        return f"unknown: between {taken.first} and {taken.last}"
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
