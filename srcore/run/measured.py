"""How long whole runs took on this machine: the last of each model, in srcore's cache folder, for the next forecast.

A view: what cannot be read or written is told in the log, and no run fails by it. No names: sizes and times alone.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from srcore.errors import SRError
from srcore.run.night.pace import Scene, forecast
from srcore.settings import load_settings
from srcore.storage.disk.records import read_sealed, write_sealed
from srcore.storage.work.scene_plan import ScenePlan

if TYPE_CHECKING:
    from srcore.stages.upscale import Upscaled

log = logging.getLogger(__name__)

KEPT = 20
"""Runs of a model that are remembered, the last."""
LEAST_S = 1.0
"""A run that took less is not remembered: it would be written for each of an archive of small scenes, to no use."""


@dataclass(frozen=True)
class Known:
    """What runs of a model took here."""

    seconds: float
    """That one of that size will take."""
    runs: int
    """It is known from so many."""


def note_run(plan: ScenePlan, upscaled: Upscaled, seconds: float, workers: int) -> None:
    """Note how long a run took that computed all of its tiles."""
    if plan.of is not None or upscaled.computed < upscaled.tiles or seconds < LEAST_S:
        return
    try:
        path = _path(plan, workers)
        write_sealed(path, {"runs": [*_read(path), (plan.values, round(seconds, 3))][-KEPT:]})
    except (SRError, OSError) as error:
        log.info("%s: how long it took is not remembered: %s", plan.scene, error)


def known_run(plan: ScenePlan, workers: int) -> Known | None:
    """What such a run took, the nearest in size; None where no run of the model was measured here.

    Of a window nothing is known: what is read of the scene around it is no part of its size.
    """
    done = _read(_path(plan, workers)) if plan.of is None else []
    seconds = forecast(done, plan.values)
    return None if seconds is None else Known(seconds, len(done))


def _path(plan: ScenePlan, workers: int) -> Path:
    """Of a model, a device and a number of workers; a trust map multiplies the work."""
    trust = "-trust" if plan.treatment.trust is not None else ""
    name = f"{plan.model_digest[:16]}-{plan.device}-{plan.backend}-{workers}{trust}.json"
    return load_settings().cache_folder / "runs" / name


def _read(path: Path) -> list[Scene]:
    if not path.exists():
        return []
    try:
        return [(int(pixels), float(seconds)) for pixels, seconds in read_sealed(path)["runs"]]
    except SRError as error:
        log.info("what earlier runs took is not known, and is noted anew: %s", error)
        return []
