"""Shadow mode: the challenger does a share of the night's scenes, too. Its figures are kept, and nothing is published.

    published tonight --share, by its files' digest--> the challenger's stages up to VALIDATE --> record

Which scenes is a matter of their bytes: every challenger gets the same ones. What goes wrong is a note of the night and
never its failure.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean

from srcore.catalog import Catalog
from srcore.checkpoints import CHALLENGER
from srcore.checks import Report
from srcore.errors import SRError, in_words
from srcore.job import Job
from srcore.layout import DatasetPaths, ProductPaths
from srcore.registry.references import Model, resolve
from srcore.run.outcome import Outcome
from srcore.run.states import Once, read_once, scene_job
from srcore.storage.archive.publish import Receipt
from srcore.storage.archive.shadows import Shadowed
from srcore.storage.archive.sources import Scene, find_scenes
from srcore.storage.archive.sweep import sweep_done
from srcore.storage.disk.veil import without_names

log = logging.getLogger(__name__)

Rehearse = Callable[[Job], Report]
NOBODY = ("UNKNOWN_MODEL", "NO_REGISTRY")
"""Codes of a challenger that there is none of."""
TOLD = ("reference.gain", "consistency.ratio", "spectral.angle")
"""Checks whose mean difference the night tells."""


def shadow(catalog: Catalog, dataset: str, outcomes: Sequence[Outcome], rehearse: Rehearse) -> list[Outcome]:
    """Do a share of the scenes that were published by the challenger, too; gives notes for the night's table."""
    entry = catalog.dataset(dataset)
    share = entry.retrain.shadow if entry.retrain else 0.0
    drawn = [one.receipt for one in outcomes if one.receipt is not None and is_drawn(one.receipt, share)]
    if not drawn:
        return []
    name = entry.model.partition("@")[0]
    try:
        model = resolve(f"{name}@{CHALLENGER}")
        scenes = {scene.id: scene for scene in find_scenes(entry, catalog.base)}
    except SRError as error:
        return [] if error.code in NOBODY else [_note(f"no shadow of {name}", error)]
    drawn = [one for one in drawn if one.scene in scenes and one.model_digest != model.digest]
    return _all(catalog, dataset, [(scenes[one.scene], one) for one in drawn], model, rehearse)


def is_drawn(receipt: Receipt, share: float) -> bool:
    """Whether a scene belongs to a share of all, by the digest of its files."""
    files = ":".join(source.sha256 for source in receipt.sources)
    return int(hashlib.sha256(files.encode()).hexdigest()[:8], 16) < share * 2**32


def _all(
    catalog: Catalog, dataset: str, drawn: Sequence[tuple[Scene, Receipt]], model: Model, rehearse: Rehearse
) -> list[Outcome]:
    places = DatasetPaths(Path(catalog.store) / dataset)
    _sweep(places)
    found: list[Shadowed] = []
    notes: list[Outcome] = []
    once = read_once(catalog, dataset, model)
    for scene, receipt in drawn:
        job = _job(once, scene)
        try:
            one = _one(job, receipt, model, rehearse)
            one.save(places.shadows)
            found.append(one)
        except Exception as error:  # whatever a challenger does, the night is over and well
            traced = not isinstance(error, SRError) and not job.private  # a traceback names files
            log.warning("shadow of version %s on %s", model.version, scene.id, exc_info=traced)
            what = f"no shadow of version {model.version} on {scene.id}"
            notes.append(_note(what, without_names(in_words(error), telling) if (telling := job.telling) else error))
    with suppress(OSError):  # another run's shadow is at it
        places.shadowing.rmdir()
    return [*([_summary(found, model)] if found else []), *notes]


def _job(once: Once, scene: Scene) -> Job:
    """The scene's job by the challenger, where nothing is ever published: its data alone, in a folder of its own."""
    job, folder = scene_job(once, scene), once.places.shadowing / scene.id
    product = ProductPaths(folder, job.product.name)
    return replace(job, product=product, scratch=folder, outputs=job.outputs[:1], fresh=True)


def _one(job: Job, receipt: Receipt, model: Model, rehearse: Rehearse) -> Shadowed:
    started = time.monotonic()
    report = rehearse(job)
    before = {one["id"]: one["value"] for one in receipt.checks}
    figures = {one.id: float(one.value) for one in report.checks if isinstance(one.value, int | float)}
    both = {name: value for name, value in figures.items() if isinstance(before.get(name), int | float)}
    return Shadowed(
        scene=job.scene,
        name=model.reference.partition("@")[0],
        challenger=model.version,
        challenger_digest=model.digest,
        champion=str(receipt.parameters.get("model_version", "")),
        champion_digest=receipt.model_digest,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=round(time.monotonic() - started, 3),
        verdict=report.verdict,
        stopped={one.id: one.told for one in report.failed_gates},
        figures=figures,
        differences={name: value - float(before[name]) for name, value in both.items()},
    )


def _summary(found: Sequence[Shadowed], model: Model) -> Outcome:
    stopped = [one.scene for one in found if one.stopped]
    told = f"{len(stopped)} stopped by a gate, {stopped[0]} first" if stopped else "none stopped by a gate"
    means = [
        f"{name} {fmean(values):+.3g}"
        for name in TOLD
        if (values := [one.differences[name] for one in found if name in one.differences])
    ]
    seconds = sum(one.seconds for one in found)
    line = f"shadow of {found[0].name} version {model.version}: {len(found)} scenes in {seconds:.0f} s, {told}"
    return Outcome("", "note", "", f"{line}; against the champion: {', '.join(means) or 'nothing to compare'}")


def _note(what: str, error: Exception) -> Outcome:
    code = error.code if isinstance(error, SRError) else "UNEXPECTED"
    return Outcome("", "note", code, f"{what}: {str(error) or type(error).__name__}")


def _sweep(places: DatasetPaths) -> None:
    """Remove what a shadow left that was killed."""
    for folder in places.shadowing.glob("*/"):
        sweep_done(folder, ProductPaths(folder, f"{folder.name}.tif"))
