"""VALIDATE: read the staged product as a stranger would, and say whether it may be published."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from srcore.checks import Check
from srcore.checks.consistency import ConsistencyCheck, average_down
from srcore.checks.geometry import check_grid
from srcore.checks.radiometry import RadiometryCheck
from srcore.checks.reference import ReferenceCheck
from srcore.errors import GridError, StoreError
from srcore.layout import ProductPaths
from srcore.models.blocks import CubicUpsample
from srcore.report.evidence import EvidenceCollector
from srcore.storage.header import Header
from srcore.storage.records import write_json
from srcore.storage.scene import open_scene, read_header
from srcore.storage.scratch import Ingested, ScenePlan, TileStore
from srcore.tiling import Tile, Window

Progress = Callable[[int, int], None]
Verdict = Literal["published", "degraded", "quarantined"]


@dataclass(frozen=True)
class Report:
    """All findings on one product."""

    checks: tuple[Check, ...]

    @property
    def verdict(self) -> Verdict:
        """published when all pass, degraded when only warnings do not, quarantined when a gate does not."""
        failed = {check.kind for check in self.checks if not check.passed}
        return "quarantined" if "GATE" in failed else "degraded" if "WARN" in failed else "published"

    @property
    def failed_gates(self) -> list[Check]:
        """Gates that were not passed."""
        return [check for check in self.checks if check.kind == "GATE" and not check.passed]


@dataclass(frozen=True)
class Block:
    """One core of the scene as the checks see it."""

    tile: Tile
    lr: NDArray[Any]
    """(C, *core)"""
    valid: NDArray[np.bool_]
    """(C, *core)"""
    sr: NDArray[Any]
    """(C, *core * scale), from the product."""
    sr_valid: NDArray[np.bool_]
    bicubic: NDArray[np.float64]
    """(C, *core * scale), from the LR."""


def validate(plan: ScenePlan, progress: Progress = lambda done, total: None) -> Report:
    """Check the staged product against the scene's LR, and write the report beside it."""
    staged = ProductPaths(plan.scratch.staged, plan.product.name)
    ingested = Ingested.load(plan.scratch)
    if ingested is None:
        raise StoreError(f"{plan.scene} is not ingested", "no ingest.json", "run ingest first")
    found = read_header([staged.data], plan.header.kind)
    step = 1.0 if np.issubdtype(np.dtype(plan.header.dtype), np.integer) else 0.0
    radiometry = RadiometryCheck(len(plan.header.bands))
    consistency = ConsistencyCheck(len(plan.header.bands), step)
    reference = ReferenceCheck(ingested.spread.scale)
    evidence = EvidenceCollector(
        ingested.spread, np.dtype(plan.header.dtype), plan.tiles.shape, "quicklook" in plan.outputs
    )
    with ExitStack() as stack:
        hr = stack.enter_context(open_scene(_hr_header(plan, found))) if plan.hr is not None else None
        for block in _blocks(plan, found, ingested, progress):
            _add(plan, block, radiometry, consistency, evidence)
            if hr is not None:
                values, valid = hr.read(plan.tiles.window_hr(block.tile))
                reference.add(values, block.sr, block.bicubic, valid & block.sr_valid)
    checks = [
        *check_grid(plan.header.grid.scaled(plan.tiles.scale), found.grid, plan.header.kind),
        *radiometry.checks(plan.header.dtype, found.dtype),
        *consistency.checks(),
        *reference.checks(),
    ]
    report = Report(tuple(checks))
    if "report" in plan.outputs:
        write_json(staged.report, {"verdict": report.verdict, "checks": [asdict(check) for check in report.checks]})
        evidence.evidence().save(plan.scratch.evidence)
    return report


def _add(
    plan: ScenePlan, block: Block, radiometry: RadiometryCheck, consistency: ConsistencyCheck,
    evidence: EvidenceCollector,
) -> None:  # fmt: skip
    scale = plan.tiles.scale
    radiometry.add(block.lr, block.valid, block.sr, block.sr_valid, scale)
    averaged = average_down(np.where(block.sr_valid, block.sr, 0), scale)
    consistency.add(block.lr, block.valid, averaged, average_down(block.bicubic, scale))
    evidence.add(block.tile.core, block.lr, block.valid, block.sr, block.sr_valid, averaged)


def _blocks(plan: ScenePlan, found: Header, ingested: Ingested, progress: Progress) -> Iterator[Block]:
    store = TileStore(plan)
    with open_scene(found) as product:
        for tile in plan.tiles:
            stored = store.read_tile(tile, ingested.sums[tile.index])
            lr = stored[(slice(None), *_inside(plan, tile, 0))]
            sr, sr_valid = product.read(plan.tiles.window_hr(tile))
            yield Block(
                tile, lr, store.read_valid(tile, ingested.sums[tile.index]), sr, sr_valid, _bicubic(plan, tile, stored)
            )
            progress(tile.index + 1, len(plan.tiles))


def _inside(plan: ScenePlan, tile: Tile, margin_px: int) -> Window:
    """The tile's core inside the tile as it is stored, with a margin on the axes that are scaled."""
    return tuple(
        slice(h - margin_px * (s > 1), h + w.stop - w.start + margin_px * (s > 1))
        for h, w, s in zip(plan.tiles.halo, tile.core, plan.tiles.scale, strict=True)
    )


def _bicubic(plan: ScenePlan, tile: Tile, stored: NDArray[Any]) -> NDArray[np.float64]:
    """Bicubic SR (C, *core * scale) of a tile; a generator without halo leaves no margin, then edges repeat."""
    upsample = CubicUpsample(plan.tiles.scale[-1]).double()
    margin = CubicUpsample.margin_px
    if min(plan.tiles.halo[-2:]) < margin:
        edges = [(0, 0)] * (stored.ndim - 2) + [(margin, margin)] * 2
        core = np.pad(stored[(slice(None), *_inside(plan, tile, 0))], edges, mode="edge")
    else:
        core = stored[(slice(None), *_inside(plan, tile, margin))]
    slices = torch.from_numpy(core.astype(np.float64)).reshape(-1, 1, *core.shape[-2:])
    with torch.inference_mode():
        up = upsample(slices)
    return up.reshape(*core.shape[:-2], *up.shape[-2:]).numpy()  # type: ignore[no-any-return]


def _hr_header(plan: ScenePlan, found: Header) -> Header:
    assert plan.hr is not None
    header = read_header([plan.hr], plan.header.kind, [band.name for band in plan.header.bands])
    if header.grid.shape != found.grid.shape:
        raise GridError(f"the HR of {plan.scene} does not fit its SR", f"{header.grid.shape}",
                        f"give an HR of {found.grid.shape} pixels", code="BAD_HR")  # fmt: skip
    return header
