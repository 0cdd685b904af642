"""Where each scene of a dataset stands: new, changed, running, published or quarantined, and why."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from srcore.catalog import Catalog
from srcore.errors import SRError, StoreError
from srcore.job import FORMAT, Job
from srcore.layout import DatasetPaths, lease_path
from srcore.registry.references import Model, resolve
from srcore.run.audit import Read, load_reads
from srcore.run.champion import is_made_again, other_champion
from srcore.settings import load_settings
from srcore.storage.archive.publish import Receipt, is_whole
from srcore.storage.archive.quarantine import Quarantine
from srcore.storage.archive.sources import Scene, find_hr, find_scenes
from srcore.storage.disk.leases import holder, is_alive
from srcore.storage.disk.watch import same_sources
from srcore.storage.product import archive_ending
from srcore.storage.scene import read_header
from srcore.version import __version__

State = Literal["new", "changed", "running", "published", "quarantined"]


@dataclass(frozen=True)
class SceneState:
    """Where a scene of the catalog stands, and the job that would do it."""

    scene: str
    state: State
    job: Job
    reason: str = ""
    """Why it is due, or why it was quarantined."""

    retry: bool = False
    """In quarantine for something that can pass by itself."""
    outdated: bool = False
    """Published by another version of srcore or another champion; up to date, until somebody asks for it."""
    ignored: bool = False
    """In quarantine, and somebody said to leave it there."""
    flags: tuple[str, ...] = ()
    """What a user should know of its product."""

    @property
    def due(self) -> bool:
        """True when a run has something to do, or should at least say who does it."""
        return self.state in ("new", "changed", "running") or self.retry


def scene_states(catalog: Catalog, dataset: str) -> list[SceneState]:
    """The state of every scene of a dataset; CatalogError for an unknown dataset or an unusable source."""
    entry = catalog.dataset(dataset)
    hr = find_hr(entry, catalog.base)
    model = resolve(entry.model)  # once: all scenes of a night get the same
    reads = load_reads(DatasetPaths(Path(catalog.store) / dataset))
    return [
        _state(catalog, dataset, scene_job(catalog, dataset, scene, model, hr.get(scene.id)), reads.get(scene.id))
        for scene in find_scenes(entry, catalog.base)
    ]


def look_again(catalog: Catalog, state: SceneState) -> SceneState:
    """The state of a scene that was due when the run began: another run may have published it since."""
    if not state.due:
        return state
    reads = load_reads(DatasetPaths(Path(catalog.store) / state.job.dataset))
    return _state(catalog, state.job.dataset, state.job, reads.get(state.scene))


def scene_job(catalog: Catalog, name: str, scene: Scene, model: Model, hr: Scene | None = None) -> Job:
    """The job of one scene of the catalog."""
    dataset = catalog.dataset(name)
    places = DatasetPaths(Path(catalog.store) / name)
    return Job(
        paths=scene.paths,
        product=places.product(scene.id, archive_ending(dataset.kind)),
        scratch=places.scratch(scene.id),
        scene=scene.id,
        kind=dataset.kind,
        bands=scene.bands,
        model=model,
        treatment=dataset.treatment,
        tile=None if dataset.tile == "auto" else dataset.tile,
        precision=dataset.precision,
        backend=load_settings().backend,
        limits=dataset.limits,
        overwrite=True,  # a product of the store is replaced when its scene is due
        dataset=name,
        outputs=dataset.outputs,
        roots=scene.roots,
        hr=hr.paths[0] if hr else None,
        hr_roots=hr.roots if hr else None,
    )


def _state(catalog: Catalog, dataset: str, job: Job, read: Read | None) -> SceneState:
    places = DatasetPaths(Path(catalog.store) / dataset)
    lease = lease_path(job.scratch)
    # first: while a run works on it, product and receipt may be in the middle of anything
    if (owner := holder(lease)) is not None and is_alive(lease, owner):
        return SceneState(job.scene, "running", job, str(owner))
    try:
        receipt, damaged = Receipt.load(job.product.receipt), ""
    except StoreError as error:
        receipt, damaged = None, str(error)
    read = read if read is not None and receipt is not None and read.created == receipt.created else None
    if read is not None and read.damaged:
        damaged = f"PRODUCT_DAMAGED: {read.damaged}"
    elif receipt is not None and is_whole(job.product, receipt):
        reprocess, champion = catalog.dataset(dataset).reprocess, other_champion(job, receipt)
        if not (champion or job.is_configuration(receipt.configuration, receipt.format)):
            reason = "the model or the configuration changed"
        elif not same_sources(receipt.sources, _sources(job)):
            reason = "the source changed"
        elif champion and is_made_again(reprocess, receipt):
            reason = f"{champion} (reprocess: {reprocess})"
        else:
            told = f"{receipt.verdict}; {champion}: it stays (reprocess: {reprocess})" if champion else receipt.verdict
            return _published(job, receipt, told, read)
        return _failed_before(places, job) or SceneState(job.scene, "changed", job, reason)
    reason = damaged or ("product damaged" if receipt else "")
    return _failed_before(places, job) or SceneState(job.scene, "new", job, reason)


def _published(job: Job, receipt: Receipt, told: str, read: Read | None) -> SceneState:
    """Of a product that is up to date."""
    by_another = receipt.model_digest != job.model.digest or receipt.code_version != __version__
    told = f"{told}; SOURCE_DAMAGED: {read.source}" if read and read.source else told
    outdated = by_another or receipt.format < FORMAT
    return SceneState(job.scene, "published", job, told, outdated=outdated, flags=receipt.flags)


def _sources(job: Job) -> tuple[Path, ...]:
    """The files that a run would read now: a mask that arrived beside a scene makes it due, statistics do not."""
    if job.files == job.paths:
        return job.paths
    try:
        return read_header(job.paths, job.kind, bands=job.bands, roots=job.roots, **job.treatment.of_files).paths
    except SRError:
        return job.files  # due: the run says what is wrong


def _failed_before(places: DatasetPaths, job: Job) -> SceneState | None:
    record = Quarantine.load(places.quarantine(job.scene))
    if record is None:
        return None
    if not record.applies(job.files, job.configuration):
        return SceneState(job.scene, "changed", job, f"tried before: {record.code}")
    times = f" ({record.attempts} attempts)" if record.attempts > 1 else ""
    decision = record.decision
    if decision is not None and decision.what != "lapsed":
        times += f" ({decision.what}: {decision.why}; {decision.by}, {decision.when})"
    reason = f"{record.code}: {record.message}{times}"
    return SceneState(job.scene, "quarantined", job, reason, record.retryable, ignored=record.ignored)
