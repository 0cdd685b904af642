"""Where each scene of a dataset stands: new, changed, running, published or quarantined, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

from srcore.catalog import Catalog
from srcore.catalog.dataset import Dataset
from srcore.errors import SRError, StoreError
from srcore.job import FORMAT, Job
from srcore.layout import BREAK, DatasetPaths, lease_path
from srcore.registry.references import Model, resolve
from srcore.run.audit import Read, load_reads
from srcore.run.champion import is_made_again, other_champion
from srcore.run.renamed import ids_of_volumes, refuse_undecided
from srcore.settings import load_settings
from srcore.storage.archive.history import History
from srcore.storage.archive.overview import Overview, overview
from srcore.storage.archive.publish import Receipt, is_whole
from srcore.storage.archive.quarantine import Quarantine
from srcore.storage.archive.sources import HIDDEN_ID, Scene, find_hr, find_scenes
from srcore.storage.disk.card import is_card
from srcore.storage.disk.leases import holder, is_alive, leased
from srcore.storage.disk.watch import same_sources
from srcore.storage.header import Origin
from srcore.storage.product import archive_ending
from srcore.storage.remote.card import Card
from srcore.storage.remote.folder import same_as
from srcore.storage.scene import scene_files
from srcore.storage.wish import Wish
from srcore.treatment import Treatment
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
    read: Read | None = None
    """What an audit noted of a product that is damaged."""
    clean: bool = False
    """Nothing in quarantine is held against it: a listing says so."""

    @property
    def due(self) -> bool:
        """True when a run has something to do, or should at least say who does it."""
        return self.state in ("new", "changed", "running") or self.retry


@dataclass(frozen=True)
class Once:
    """What is read once for all scenes of a dataset, however many there are."""

    entry: Dataset
    places: DatasetPaths
    model: Model
    """All scenes of a night get the same."""
    treatment: Treatment
    backend: str
    hr: Mapping[str, Scene]
    reads: Mapping[str, Read]
    """What audits noted."""
    begun: frozenset[str] | None
    """Scenes with a scratch folder, where a lease would lie; None where that cannot be listed."""
    ids: frozenset[str] = frozenset()
    """What a store of volumes has anything of, by its ids: some may be from before it became private, or public."""
    seen: Overview | None = None
    """What an object store listed; None elsewhere, and where one scene is looked at."""
    same: dict[tuple[str, int], bool] = field(default_factory=dict)
    """Whether receipts of a configuration and format are of that of the dataset's jobs, which all have one."""

    def former(self, scene: Scene) -> str:
        """The id under which the store has a scene from before its dataset became private, or public; '' for none."""
        there = self._open if scene.private else self._hidden
        return scene.other_id if there and scene.other_id in there else ""  # asked first: a public dataset makes no key

    @cached_property
    def _hidden(self) -> frozenset[str]:
        """Ids that are hashes; work that a killed run left under one is a trace, too."""
        volumes = self.ids | (self.begun or frozenset()) if self.entry.kind == "volume" else frozenset()
        return frozenset(one for one in volumes if HIDDEN_ID.fullmatch(one))

    @cached_property
    def _open(self) -> frozenset[str]:
        """Ids that are names."""
        return (self.ids | (self.begun or frozenset())) - self._hidden

    def is_whole(self, job: Job, receipt: Receipt) -> bool:
        """Whether all of a product is there, by sizes."""
        return (self.seen is not None and self.seen.shows(job.scene, receipt)) or is_whole(job.product, receipt)

    def is_clean(self, job: Job) -> bool:
        """Whether a listing says that nothing is held against a scene."""
        return self.seen is not None and job.scene not in self.seen.held

    def is_configuration(self, job: Job, receipt: Receipt) -> bool:
        """Whether a receipt has the job's configuration, worked out once for all that have the same."""
        key = (receipt.configuration, receipt.format)
        if key not in self.same:
            self.same[key] = job.is_configuration(*key)
        return self.same[key]


@dataclass(frozen=True)
class Standing:
    """A dataset as a run finds it."""

    states: Iterator[SceneState]
    """Looked at as they are asked for: of a scene that needs nothing, nothing need be kept."""
    history: History
    """Figures of its last products, of those that were looked at."""


def scene_states(catalog: Catalog, dataset: str) -> list[SceneState]:
    """The state of every scene of a dataset; `look` says what is raised."""
    return list(look(catalog, dataset).states)


def look(catalog: Catalog, dataset: str, scene: str | None = None) -> Standing:
    """Where every scene of a dataset stands, or the one named: one file is opened for a scene that needs nothing.

    CatalogError for an unknown dataset or an unusable source, PRIVACY_UNSAID where volumes have open ids from before
    and nobody said what to do with them.
    """
    wanted, once = scene and scene.replace(BREAK, ""), read_once(catalog, dataset)
    refuse_undecided(once.entry, dataset, once.ids)
    if wanted is None:
        once = replace(once, seen=overview(once.places))
    history = History(once.model.digest)
    found = (one for one in find_scenes(once.entry, catalog.base) if wanted is None or one.id == wanted)
    return Standing((_state(once, scene_job(once, one), history) for one in found), history)


def read_once(catalog: Catalog, dataset: str, model: Model | None = None) -> Once:
    """What all scenes of a dataset share; its own model unless another is given."""
    entry, places = catalog.dataset(dataset), DatasetPaths(Path(catalog.store) / dataset)
    model = model or resolve(entry.model)
    return Once(
        entry=entry,
        places=places,
        hr=find_hr(entry, catalog.base),
        model=model,
        treatment=entry.treatment.for_model(model.slice_profile, model.usual_steps),
        backend=load_settings().backend,
        reads=load_reads(places),
        begun=leased(places.scratch("scene").parent),
        ids=ids_of_volumes(places) if entry.kind == "volume" else frozenset(),
    )


def look_again(catalog: Catalog, state: SceneState) -> SceneState:
    """The state of a scene that was due when the run began: another run may have published it since."""
    if not state.due:
        return state
    job, entry = state.job, catalog.dataset(state.job.dataset)
    once = Once(
        entry=entry,
        places=DatasetPaths(Path(catalog.store) / job.dataset),
        model=job.model,
        treatment=job.treatment,
        backend=job.backend,
        hr={},
        reads={job.scene: state.read} if state.read is not None else {},
        begun=None,
    )
    return _state(once, job)


def scene_job(once: Once, scene: Scene) -> Job:
    """The job of one scene of the catalog."""
    dataset, places, hr = once.entry, once.places, once.hr.get(scene.name)
    outputs = tuple(one for one in dataset.outputs if not scene.private or one != "quicklook")
    return Job(
        paths=scene.paths,
        product=places.product(scene.id, archive_ending(dataset.form)),
        scratch=places.scratch(scene.id),
        scene=scene.id,
        kind=dataset.kind,
        bands=scene.bands,
        model=once.model,
        treatment=once.treatment,
        tile=None if dataset.tile == "auto" else dataset.tile,
        precision=dataset.precision,
        backend=once.backend,
        limits=dataset.limits,
        overwrite=True,  # a product of the store is replaced when its scene is due
        dataset=places.root.name,
        outputs=outputs,
        private=scene.private,
        pictures=dataset.privacy != "hidden",
        former=once.former(scene),
        roots=scene.roots,
        hr=hr.paths[0] if hr else None,
        hr_roots=hr.roots if hr else None,
    )


def _state(once: Once, job: Job, history: History | None = None) -> SceneState:
    # first: while a run works on it, product and receipt may be in the middle of anything
    if (once.begun is None or job.scene in once.begun) and (owner := _worked_on_by(job)):
        return SceneState(job.scene, "running", job, owner)
    found = _by_receipt(once, job, history)
    if found.state != "published" and once.begun is not None and (owner := _worked_on_by(job)):
        return SceneState(job.scene, "running", job, owner)  # a run that began since the folder was listed
    return found


def _worked_on_by(job: Job) -> str:
    """Who holds the scene's lease; '' for nobody."""
    lease = lease_path(job.scratch)
    owner = holder(lease)
    return str(owner) if owner is not None and is_alive(lease, owner) else ""


def _by_receipt(once: Once, job: Job, history: History | None) -> SceneState:
    try:
        receipt, damaged = Receipt.load(job.product.receipt), ""
    except StoreError as error:
        receipt, damaged = None, str(error)
    if receipt is not None and history is not None:
        history.add(receipt)
    read = once.reads.get(job.scene)
    read = read if read is not None and receipt is not None and read.created == receipt.created else None
    if read is not None and read.damaged:
        damaged = f"PRODUCT_DAMAGED: {read.damaged}"
    elif receipt is not None and once.is_whole(job, receipt):
        reprocess, champion = once.entry.reprocess, other_champion(job, receipt)
        if not (champion or once.is_configuration(job, receipt)):
            reason = "the model or the configuration changed"
        elif not (same_sources(receipt.sources, sources := _sources(job)) or _same_there(receipt, sources, job)):
            reason = "the source changed"
        elif champion and is_made_again(reprocess, receipt):
            reason = f"{champion} (reprocess: {reprocess})"
        else:
            told = f"{receipt.verdict}; {champion}: it stays (reprocess: {reprocess})" if champion else receipt.verdict
            return replace(_published(job, receipt, told, read), clean=once.is_clean(job))
        return _failed_before(once, job) or SceneState(job.scene, "changed", job, reason)
    renamed = "its id is another one: `privacy` changed" if job.former else ""
    reason = damaged or ("product damaged" if receipt else renamed)
    return replace(_failed_before(once, job) or SceneState(job.scene, "new", job, reason), read=read)


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
        return scene_files(job.paths, **job.wishes)
    except SRError:
        return job.files  # due: the run says what is wrong


def _same_there(receipt: Receipt, sources: Sequence[Path], job: Job) -> bool:
    """Whether of a product's folder elsewhere only such files changed as its scene is not made of: a band or a layer
    that nobody asked for."""
    origins = [Origin(**one) for one in receipt.parameters.get("origins", ())]
    if not (origins and sources and is_card(sources[0]) and (card := Card.load(sources[0])).folder):
        return False
    try:
        same = same_as(card, origins, Wish.of(**job.wishes))
    except SRError:
        return False  # due: the run says what is wrong
    return same and same_sources(receipt.sources[1:], sources[1:])


def _failed_before(once: Once, job: Job) -> SceneState | None:
    record = None if once.is_clean(job) else Quarantine.load(once.places.quarantine(job.scene))
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
