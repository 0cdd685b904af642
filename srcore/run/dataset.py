"""A dataset of the catalog: which scenes are due, and every due one in turn. Knows no Prefect."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from srcore.catalog import Catalog, load_catalog
from srcore.errors import CatalogError, GateError, LeaseError, SRError, StoreError
from srcore.job import FORMAT, Job
from srcore.layout import DatasetPaths, lease_path
from srcore.registry.references import Model, resolve
from srcore.run.audit import Audit, Read, audit, load_reads
from srcore.run.champion import is_made_again, other_champion
from srcore.run.missing import nothing_found
from srcore.settings import load_settings
from srcore.storage.archive.publish import Receipt, is_whole
from srcore.storage.archive.quarantine import Quarantine, listening, quarantine
from srcore.storage.archive.sources import Scene, find_hr, find_scenes
from srcore.storage.archive.sweep import sweep_dataset, sweep_done
from srcore.storage.disk.leases import holder, is_alive
from srcore.storage.disk.store import store_at
from srcore.storage.disk.watch import same_sources
from srcore.storage.product import archive_ending
from srcore.storage.scene import read_header
from srcore.version import __version__

if TYPE_CHECKING:
    from srcore.run.scene import Run

log = logging.getLogger(__name__)

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


Result = Literal["published", "degraded", "up to date", "quarantined", "ignored", "failed", "damaged", "note"]
AROUND = frozenset(
    {"DISK_FULL", "NO_MEMORY", "NOT_WRITABLE", "BAD_STORE", "NO_SCHEDULER", "NO_WORKERS", "REGISTRY_AWAY"}
)
"""Reason codes of what is wrong with the machine, not with a scene: old or new, no night is good with it."""


LOOK_SECONDS = 0.5
"""Between two looks at a lease that is waited for."""
WAIT_SECONDS = 3600.0
"""A night waits so long for what another run holds; behind it stands who that is."""


@dataclass(frozen=True)
class Outcome:
    """What became of one scene in a run."""

    scene: str
    """Empty where the whole dataset is meant."""
    result: Result
    """note: nothing went wrong, and something should be known; quarantined: it failed before, and was not tried;
    damaged: an audit found other bytes than were published."""
    code: str = ""
    message: str = ""
    seconds: float = 0.0
    receipt: Receipt | None = None
    old: bool = False
    """It failed so before, and nothing changed about it: said, and no reason to call somebody."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know of the product that this run made."""
        return self.receipt.notes if self.receipt is not None and self.result != "up to date" else ()

    @property
    def fails(self) -> bool:
        """True when the night fails by it."""
        return not (self.ok or self.old)

    @property
    def ok(self) -> bool:
        """False when the scene has no product now."""
        return self.result in ("published", "degraded", "up to date", "note")


Again = Callable[[SceneState], Outcome]


def run_due(catalog: Catalog, state: SceneState, run: Run, *, force: bool = False) -> Outcome:
    """Do one scene if it is due; never raises because of the scene, what went wrong is in the outcome."""
    record = DatasetPaths(Path(catalog.store) / state.job.dataset).quarantine(state.scene)
    if not force and not state.due:
        if state.state == "published":
            sweep_done(state.job.scratch, state.job.product)
            _forget(record)
            return Outcome(state.scene, "up to date")
        code, _, message = state.reason.partition(": ")
        return Outcome(state.scene, "ignored" if state.ignored else "quarantined", code, message, old=True)
    started = time.monotonic()
    with listening() as log:
        try:
            receipt = run(replace(state.job, fresh=force))  # what an earlier run left may be why somebody forces it
        except Exception as error:  # whatever a scene does, the rest of the night goes on
            told, old = _in_words(error), False
            if not isinstance(told, LeaseError):  # the run that holds the scene says how that ends
                old = _quarantine(record, state.job, told, log)
            return Outcome(state.scene, "failed", told.code, str(told), time.monotonic() - started, old=old)
    _forget(record)
    verdict: Result = "degraded" if receipt is not None and receipt.verdict == "degraded" else "published"
    return Outcome(state.scene, verdict, seconds=time.monotonic() - started, receipt=receipt)


def _forget(record: Path) -> None:
    """A scene has a product now: what was held against it goes."""
    store = store_at(record.parent)
    if os.path.lexists(record):  # whatever stands there: a delete costs a sync
        store.delete(record.name, record.with_suffix(".html").name)


def _in_words(error: Exception) -> SRError:
    if isinstance(error, SRError):
        return error
    if isinstance(error, MemoryError):
        told = SRError("the memory is full", str(error), "wait for other work, or use fewer workers", code="NO_MEMORY")
    else:
        what = f"unexpected {type(error).__name__}"
        told = SRError(what, str(error), "see the log; please report it", code="UNEXPECTED")
    told.__cause__ = error
    return told


def _quarantine(record: Path, job: Job, error: SRError, log: Sequence[str]) -> bool:
    """Write why the scene failed; True when that is no news."""
    before = Quarantine.load(record)
    with suppress(SRError, OSError):  # a store that cannot be written is the error already told
        quarantine(record, job.scene, error, job.files, job.configuration, log)
        store_at(record.parent).delete(record.with_suffix(".html").name)
        if isinstance(error, GateError):
            from srcore.report.product import keep_page

            keep_page(job.scratch, job.product.page.name, record.with_suffix(".html"))
    return before is not None and error.code not in AROUND and before.is_old(error, job.files, job.configuration)


def run_dataset(
    catalog_path: Path,
    dataset: str,
    run: Run,
    *,
    scene: str | None = None,
    limit: int | None = None,
    force: bool = False,
    outdated: bool = False,
    wait_s: float = 0.0,
) -> list[Outcome]:
    """Every due scene of a dataset (or the one named), one after the other.

    `outdated`: those that another version of srcore or another champion published count as due, too. What another run
    holds is waited for at the end, so long in all.

    CatalogError for an unknown dataset or scene; a failing scene is an outcome.
    """
    catalog = load_catalog(catalog_path)
    states = scene_states(catalog, dataset)
    if scene is not None:
        states = [state for state in states if state.scene == scene]
        if not states:
            raise CatalogError(f"dataset {dataset} has no scene {scene!r}", "", "see `srcore status`")
    elif not states:
        return [empty(catalog, dataset)]
    else:
        sweep_dataset(DatasetPaths(Path(catalog.store) / dataset), {state.scene for state in states})
    outcomes, done = [], 0
    for state in states:
        again = force or (outdated and state.outdated)
        if (state.due or again) and limit is not None and done >= limit:
            continue
        done += state.due or again
        told = run_due(catalog, state if again else look_again(catalog, state), run, force=again)
        outcomes.append((state, told))
    settled = after_others(catalog, outcomes, lambda state: run_due(catalog, state, run), wait_s)
    show_page(DatasetPaths(Path(catalog.store) / dataset))
    return settled


def look_again(catalog: Catalog, state: SceneState) -> SceneState:
    """The state of a scene that was due when the run began: another run may have published it since."""
    if not state.due:
        return state
    reads = load_reads(DatasetPaths(Path(catalog.store) / state.job.dataset))
    return _state(catalog, state.job.dataset, state.job, reads.get(state.scene))


def after_others(
    catalog: Catalog, outcomes: Sequence[tuple[SceneState, Outcome]], again: Again, wait_s: float
) -> list[Outcome]:
    """The outcomes; of scenes that another run held, what became of them once it let go, `wait_s` later at most.

    What it did not publish is done here, by `again`.
    """
    deadline = time.monotonic() + wait_s
    return [_after_other(catalog, state, outcome, again, deadline) for state, outcome in outcomes]


def _after_other(catalog: Catalog, state: SceneState, outcome: Outcome, again: Again, deadline: float) -> Outcome:
    while outcome.code == "LEASED" and time.monotonic() < deadline:
        log.warning("%s; waiting for it", outcome.message)
        lease = lease_path(state.job.scratch)
        while lease.exists() and is_alive(lease, holder(lease)) and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)
        now = look_again(catalog, state)
        if now.state == "published":
            return Outcome(state.scene, "up to date", message="another run published it meanwhile")
        if not now.due:
            code, _, message = now.reason.partition(": ")
            return Outcome(state.scene, "failed", code, f"in another run: {message}")
        time.sleep(LOOK_SECONDS)
        outcome = again(now)
    return outcome


def audit_share(catalog: Catalog, dataset: str) -> list[Outcome]:
    """A night's share of a dataset's audit, where its entry wants one: what is damaged, and a note of the count."""
    days = catalog.dataset(dataset).audit_days
    return audited(audit(catalog, dataset, days=days)) if days is not None else []


def audited(done: Audit) -> list[Outcome]:
    """What an audit came to, as outcomes of a run."""
    found = [Outcome(scene, "damaged", error.code, str(error)) for scene, error in done.findings]
    return [*found, Outcome("", "note", "", str(done))] if done.read else []


def empty(catalog: Catalog, dataset: str) -> Outcome:
    """What a run of a dataset without scenes comes to: a failure where it had some before, else a note."""
    error = nothing_found(catalog, dataset)
    return Outcome("", "failed" if error.code == "SOURCE_MISSING" else "note", error.code, str(error))


def show_page(places: DatasetPaths) -> None:
    """The dataset's page as things stand now: a view, so a run does not fail by it."""
    from srcore.report.index import is_stale, write_index

    try:
        if is_stale(places):
            write_index(places)
    except SRError as error:
        log.warning("the page of %s was not written: %s", places.root.name, error)
