"""COLLECT, FIT, EVALUATE and PROMOTE of one round: a challenger out of the champion's weights, both on held-out
places, and the decision. A round that fails keeps a record, too, so that no night repeats it for ever."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from srcore.catalog.object_stores import shown
from srcore.checkpoints import CHALLENGER, CHAMPION, read_spec
from srcore.errors import SRError, StoreError
from srcore.layout import LEASE
from srcore.memory.whole import form_of
from srcore.progress import Progress
from srcore.registry.mlflow_store import Registry, Version, open_registry
from srcore.report.evaluation import Evaluation, evaluation_page
from srcore.storage.archive.ownership import mark_round
from srcore.storage.disk.files import OWNERS_FOLDER
from srcore.storage.disk.leases import held
from srcore.storage.disk.records import read_sealed, write_sealed
from srcore.storage.disk.store import exists, store_at
from srcore.training.config import Source, TrainConfig
from srcore.training.data.batches import Geometry
from srcore.training.data.collect import KNOWN, NEW, refuse_few
from srcore.training.data.collect import collect as collect_pairs
from srcore.training.data.pairs import load_planes
from srcore.training.fit.state import STATE
from srcore.training.judge.compare import evaluate_candidates, load_candidates, refuse_diverged
from srcore.training.judge.evaluate import refuse_small
from srcore.training.judge.gates import stops
from srcore.training.judge.rule import Margins, Verdict, decide
from srcore.training.judge.scores import compared, speed_ratio
from srcore.training.round import Round
from srcore.training.told import told_of

if TYPE_CHECKING:
    from srcore.training.fit.core import State

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Decision:
    """What became of a challenger, and why."""

    dataset: str
    promoted: bool
    reason: str
    champion: str
    """Reference, version and digest of who was champion before."""
    challenger: str
    """Version and digest; '' where there is none."""
    pairs: int
    held: int
    page: str
    """'' where nothing was evaluated."""
    created: str
    places: int = 0
    """Held-out places that decided."""
    attempt: int = 0
    """Which try it was on these places; 0: none was spent."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Scene to the reason why it took no part."""
    stopped: Mapping[str, str] = field(default_factory=dict)
    """Scene to the gate that its product by the challenger does not pass, with the figures."""
    corrected: Mapping[str, str] = field(default_factory=dict)
    """Scene to what was moved, fitted, cropped or assumed of its HR before it was learned from, or judged by."""
    code: str = ""
    """Of the failure, where the round ended by one."""
    repeated: bool = False
    """True when this was decided earlier: nothing is new."""


def decided(work: Round) -> Decision | None:
    """What was decided on the same pairs and recipe; None when nothing was, or its record is damaged."""
    try:
        return Decision(**{**read_sealed(work.record), "repeated": True}) if exists(work.record) else None
    except (StoreError, TypeError) as error:
        log.warning("%s is decided again: %s", work.dataset, error)
        return None


def collect(work: Round, progress: Progress) -> int:
    """Write the pairs, unless an interrupted run did; gives their number.

    SourceError TOO_FEW_PAIRS when those that can be used are too few.
    """
    done = work.folder / "pairs.json"
    _listed(work.tries, "challengers")  # damaged: told before the training
    if not done.exists():
        mark_round(work.folder)
        if work.entry.hides_names:  # what lies there are pictures of somebody
            work.folder.chmod(OWNERS_FOLDER)
        shutil.rmtree(work.folder / "pairs", ignore_errors=True)
        scale, folder = read_spec(work.champion.folder).scale, work.folder / "pairs"
        known = _known(work)
        with _still(work):
            found = collect_pairs(
                work.entry,
                work.pairs,
                scale,
                folder,
                progress,
                learnable=lambda hr: _refuse_unfit(work, hr),
                judgeable=lambda scene, shape: refuse_small(scene, shape, scale),
                known=known,
            )
        write_sealed(done, asdict(found))
    left_out = _left_out(work)
    used = [pair for pair in work.pairs if pair.scene not in left_out]
    refuse_few(used, left_out)
    return len(used)


def _still(work: Round) -> AbstractContextManager[object]:
    """Nobody collects meanwhile, where what was collected is copied; LeaseError when somebody does."""
    return held(work.places.pairs / LEASE) if work.settings.takes == "pairs" else nullcontext()


def _left_out(work: Round) -> dict[str, str]:
    """Scenes of no use, those of this round's COLLECT among them."""
    return {**work.left_out, **read_sealed(work.folder / "pairs.json")["left_out"]}


def _refuse_unfit(work: Round, hr: Path) -> None:
    """SourceError for a pair from which no patch can be drawn."""
    spec, folder = read_spec(work.champion.folder), hr.parent.parent
    geometry = Geometry(work.recipe.core_px, spec.halo[-1], spec.scale, slab=work.recipe.slab is not None)
    source = Source(files=f"hr/{hr.name}", share=1, lr="lr" if work.entry.measured else None)
    load_planes(folder, [source], geometry, 1 if spec.bands == "any" else spec.bands)


def _known(work: Round) -> list[str]:
    """Scenes that the champion has learned from."""
    return _listed(work.learned, "scenes")


def _listed(path: Path, key: str) -> list[str]:
    """What a record of earlier rounds lists; StoreError when it is damaged."""
    try:
        return list(read_sealed(path)[key]) if exists(path) else []
    except StoreError as error:
        do = "restore it; without it, what earlier rounds did counts for nothing"
        raise StoreError(f"{shown(path)} is damaged", error.found, do) from error


def _replayed(work: Round) -> TrainConfig:
    """The recipe, with the share of what is known where there is something new, too."""
    shares = {KNOWN: work.settings.replay, NEW: 1 - work.settings.replay}
    groups = {
        Path(side).name: share for side, share in shares.items() if any((work.folder / "pairs" / side).glob("hr/*"))
    }
    sources = tuple(
        Source(files=f"{group}/hr/*", share=share, lr=f"{group}/lr" if work.entry.measured else None)
        for group, share in groups.items()
    )
    return work.recipe.model_copy(update={"sources": sources})


def fit(work: Round, progress: Progress) -> Path:
    """Train the challenger, from where an interrupted run stood; gives its checkpoint folder."""
    from srcore.training.fit import loop  # Lightning takes seconds to import
    from srcore.training.fit.verify import write_precision

    def shown(state: State) -> bool:
        progress(state.step, work.recipe.steps)
        return False

    loop.fit(_replayed(work), resume=(work.recipe.output / STATE).exists(), watch=shown)
    write_precision(work.recipe.output)  # what `train` does besides is to score, and that is what EVALUATE is for
    progress(work.recipe.steps, work.recipe.steps)
    return work.recipe.output


def assess(work: Round, progress: Progress) -> Evaluation:
    """Champion and challenger on the held-out scenes.

    TrainingError DIVERGED for a challenger that makes no numbers; CheckpointError when it cannot be run in tiles.
    """
    from srcore.engine import prove

    held, form = work.folder / "pairs/held", form_of(work.entry)
    champion, challenger = load_candidates({CHAMPION: work.champion.folder, CHALLENGER: work.recipe.output})
    refuse_diverged(challenger)
    prove(challenger.spec, challenger.generator)
    lr = held / "lr" if work.entry.measured else None
    both, truth = (champion, challenger), held / "hr"
    found = evaluate_candidates(both, truth, lr, form, lambda done, of: progress(done, 2 * of))
    stopped = stops(both, truth, lr, form, work.entry.limits, lambda done, of: progress(of + done, 2 * of))
    return replace(found, data=f"{work.dataset}: those that are held out", stops=stopped)


def judge(work: Round, evaluation: Evaluation, attempt: int) -> Verdict:
    """What the rule says of the challenger in this try."""
    margins = Margins(work.settings.at_least_db, work.settings.at_most_worse_db)
    scenes = compared(evaluation, {pair.scene: pair for pair in work.pairs})
    ratio = speed_ratio(evaluation, read_spec(work.champion.folder), read_spec(work.recipe.output))
    return decide(scenes, attempt, margins, ratio, _stopped(evaluation))


def _stopped(evaluation: Evaluation) -> dict[str, str]:
    """Scene to the gate that stops the challenger's product of it, and not the champion's."""
    return {one.scene: one.told for one in evaluation.stops if not one.before}


def conclude(work: Round, evaluation: Evaluation) -> Decision:
    """Register the challenger, promote it or not, and write record and page; the work folder goes."""
    registry = open_registry(create=True)
    champion = registry.find(work.name, CHAMPION) or registry.register(work.champion.folder, work.name)
    challenger = read_spec(work.recipe.output)
    verdict = _tried(work, evaluation, challenger.digest)
    promoted, reason = verdict.promoted, verdict.reason
    if champion.digest != work.champion.digest:
        promoted, reason = False, f"the champion became version {champion.version} during the run: run again"
    is_new = challenger.digest != champion.digest
    if not is_new:
        promoted, reason = False, "the challenger is the champion: nothing was learned"
    page = evaluation_page(evaluation, _title(work), _verdict(promoted, reason))
    version = champion
    if is_new:
        used = [pair.scene for pair in work.pairs if pair.scene not in _left_out(work)]
        version = registry.register(work.recipe.output, work.name, told_of(work, evaluation, used, page, reason))
        registry.name_challenger(version)
    decision = replace(
        _decision(work, reason, f"version {champion.version}, {champion.digest}"),
        promoted=promoted,
        challenger=f"version {version.version}, {version.digest}",
        page=shown(work.page),
        places=verdict.places,
        attempt=verdict.attempt if verdict.judged else 0,
        left_out={**_left_out(work), **evaluation.left_out},
        stopped=_stopped(evaluation),
    )
    store_at(work.page.parent).put(work.page.name, page.encode())
    if promoted:
        _promote(registry, work, version, decision)
    else:
        write_sealed(work.record, asdict(decision))
    shutil.rmtree(work.folder, ignore_errors=True)
    return decision


def _promote(registry: Registry, work: Round, version: Version, decision: Decision) -> None:
    """Promote the challenger; what comes of it is written down first, so that a kill in between loses none of it."""
    learned = {pair.scene for pair in work.pairs if not pair.held} - set(decision.left_out)
    which = {"name": version.name, "version": version.version, "digest": version.digest}
    left = {"key": work.key, "decision": asdict(decision), "learned": sorted({*_known(work), *learned})}
    write_sealed(work.promoting, {**which, **left})
    # by its number: of two rounds at once the other may have named its own challenger meanwhile
    registry.promote(version.name, version.version, who="retrain", why=f"{work.dataset}: {decision.reason}")
    settle(work)


def settle(work: Round) -> None:
    """Write down what a promotion leaves that was made and then killed; one that was not made is forgotten, and its
    round goes on. Call it with the lease. StoreError when the registry cannot be asked."""
    if not exists(work.promoting):
        return
    try:
        meant = read_sealed(work.promoting)
    except StoreError as error:
        log.warning("%s: what its champion has learned from is not remembered: %s", work.dataset, error)
    else:
        if _was_promoted(meant["name"], meant["version"], meant["digest"]):
            write_sealed(work.learned, {"scenes": meant["learned"]})
            write_sealed(work.record.with_stem(meant["key"]), meant["decision"])
    store_at(work.promoting.parent).delete(work.promoting.name)


def _was_promoted(name: str, number: str, digest: str) -> bool:
    """Whether the version was ever made champion; one that was rolled back since was, too."""
    registry = open_registry()
    found = registry.find(name, number)
    return found is not None and found.digest == digest and number in {one.after for one in registry.history(name)}


def _tried(work: Round, evaluation: Evaluation, digest: str) -> Verdict:
    """The verdict; a challenger whose scores were looked at has spent a try, and the same one spends no other."""
    tries = _listed(work.tries, "challengers")
    attempt = tries.index(digest) + 1 if digest in tries else len(tries) + 1
    verdict = judge(work, evaluation, attempt)
    if verdict.judged and digest not in tries:
        write_sealed(work.tries, {"challengers": [*tries, digest]})
    return verdict


def failed(work: Round, error: SRError) -> Decision:
    """The record of a round that ended by an error which would come back in every other."""
    log.warning("%s: the round ends: %s", work.dataset, error)
    decision = replace(_decision(work, f"{error.code}: {error}", work.champion.digest), code=error.code)
    write_sealed(work.record, asdict(decision))
    return decision


def _decision(work: Round, reason: str, champion: str) -> Decision:
    done = (work.folder / "pairs.json").exists()
    return Decision(
        work.dataset,
        False,
        reason,
        f"{work.name}@{CHAMPION} {champion}",
        "",
        len(work.pairs),
        sum(pair.held for pair in work.pairs),
        "",
        datetime.now(UTC).isoformat(timespec="seconds"),
        left_out=_left_out(work) if done else work.left_out,
        corrected=read_sealed(work.folder / "pairs.json").get("corrected", {}) if done else {},
    )


def _title(work: Round) -> str:
    return f"A challenger for {work.champion.reference} on {work.dataset}"


def _verdict(promoted: bool, reason: str) -> list[str]:
    return [f"{'Promoted' if promoted else 'Kept out'}: {reason}."]
