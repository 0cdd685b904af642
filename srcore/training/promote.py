"""FIT, EVALUATE and PROMOTE: a challenger out of the champion's weights, both on held-out scenes, and the decision."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from srcore.catalog import Catalog, Dataset, Retrain
from srcore.checkpoints import CHALLENGER, CHAMPION, read_spec
from srcore.errors import CatalogError, StoreError
from srcore.layout import DatasetPaths
from srcore.memory.whole import form_of
from srcore.progress import Progress
from srcore.registry.mlflow_store import open_registry
from srcore.registry.references import Model, resolve
from srcore.report.evaluation import Evaluation, evaluation_page
from srcore.storage.archive.ownership import mark_round
from srcore.storage.disk.files import write_atomic
from srcore.storage.disk.records import read_sealed, write_sealed
from srcore.training.config import TrainConfig, parse_config, recipe_document
from srcore.training.data.collect import Pair, find_pairs
from srcore.training.data.collect import collect as collect_pairs
from srcore.training.fit.state import STATE
from srcore.training.judge.compare import evaluate_candidates, load_candidates

log = logging.getLogger(__name__)

FINE_TUNING: Mapping[str, Any] = {
    "steps": 400,
    "batch": 8,
    "core_px": 32,
    "learning_rate": 1e-4,
    "warmup_steps": 20,
    "ema_decay": 0.99,
    "save_every": 100,
    "log_every": 20,
}
"""Short, and with a rate so low that the champion's weights are bent and not forgotten."""
GIVEN = ("name", "data", "validation", "output", "sources", "architecture", "start_from", "licence", "least_images")
"""Keys of a recipe that the dataset and its champion say."""


@dataclass(frozen=True)
class Round:
    """One retraining of one dataset, laid out before anything is computed."""

    dataset: str
    entry: Dataset
    settings: Retrain
    champion: Model
    pairs: tuple[Pair, ...]
    recipe: TrainConfig
    key: str
    """Of pairs, settings, recipe and form: with the same, nothing new can be learned."""
    places: DatasetPaths

    @property
    def folder(self) -> Path:
        """Where the work lies until it is decided; another champion's is never mixed with it."""
        return self.recipe.output.parent

    @property
    def name(self) -> str:
        """Of the model, in the registry."""
        return self.champion.reference.partition("@")[0]

    @property
    def record(self) -> Path:
        """What became of it."""
        return self.places.retrained / f"{self.key}.json"

    @property
    def page(self) -> Path:
        """Its evaluation, for people."""
        return self.record.with_suffix(".html")


@dataclass(frozen=True)
class Decision:
    """What became of a challenger, and why."""

    dataset: str
    promoted: bool
    reason: str
    champion: str
    """Reference, version and digest of who was champion before."""
    challenger: str
    pairs: int
    held: int
    page: str
    created: str
    repeated: bool = False
    """True when this was decided earlier: nothing is new."""


def lay_out(catalog: Catalog, dataset: str) -> Round:
    """The round of a dataset: its pairs, its split, its recipe. Reads names and headers only; writes the split.

    CatalogError for a recipe that is none; SourceError TOO_FEW_PAIRS; CheckpointError without a champion.
    """
    entry = catalog.dataset(dataset)
    if entry.retrain is None:
        raise CatalogError(f"dataset {dataset} has no key 'retrain'", "", "add it, perhaps empty: retrain: {}")
    places = DatasetPaths(Path(catalog.store) / dataset)
    champion = resolve(entry.model)
    pairs = tuple(find_pairs(entry, catalog.base, places.retrained / "split.json"))
    wish = _wish(entry.retrain)
    seen = [[pair.scene, pair.held, *map(astuple, pair.stamps)] for pair in pairs]
    judged = {**replace(entry.treatment, nodata=None).changed(), "precision": entry.precision}
    told = [] if judged == {"precision": "auto"} else [judged]  # a default adds nothing: no upgrade decides anew
    key = _digest([seen, wish, entry.retrain.model_dump(exclude={"schedule"}), entry.bands, entry.nodata, *told])
    folder = places.retraining / f"{key}-{champion.digest[:8]}"
    return Round(dataset, entry, entry.retrain, champion, pairs, _recipe(wish, entry, champion, folder), key, places)


def _wish(settings: Retrain) -> dict[str, Any]:
    """The keys of a recipe that the dataset asks for."""
    if settings.recipe is None:
        return dict(FINE_TUNING)
    path = Path(settings.recipe)
    found = recipe_document(path).value
    if not isinstance(found, dict):
        raise CatalogError(f"{path} is not a recipe", type(found).__name__, "give keys such as steps and batch")
    given = sorted(set(found) & set(GIVEN))
    if given:
        raise CatalogError(f"{path} says what the dataset says", ", ".join(given), "take that out of the recipe")
    return {**FINE_TUNING, **found}


def _recipe(wish: Mapping[str, Any], entry: Dataset, champion: Model, folder: Path) -> TrainConfig:
    spec = read_spec(champion.folder)
    source = {"files": "hr/*", "share": 1, "lr": "lr" if entry.hr else None}
    given = {
        "name": champion.reference.partition("@")[0],
        "data": str(folder / "pairs/train"),
        "output": str(folder / CHALLENGER),
        "sources": [source],
        "architecture": spec.architecture.model_dump(),
        "start_from": str(champion.folder),
        "licence": spec.licence,
    }
    told = {key: spec.training[key] for key in ("attribution",) if spec.training.get(key)}
    return parse_config({**told, **wish, **given}, (entry.retrain and entry.retrain.recipe) or "the fine-tuning recipe")


def _digest(facts: Any) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def decided(work: Round) -> Decision | None:
    """What was decided on the same pairs and recipe; None when nothing was, or its record is damaged."""
    try:
        return Decision(**{**read_sealed(work.record), "repeated": True}) if work.record.exists() else None
    except (StoreError, TypeError) as error:
        log.warning("%s is decided again: %s", work.dataset, error)
        return None


def collect(work: Round, progress: Progress) -> int:
    """Write the pairs, unless an interrupted run did; gives their number."""
    done = work.folder / "pairs.json"
    if not done.exists():
        mark_round(work.folder)
        shutil.rmtree(work.folder / "pairs", ignore_errors=True)
        collect_pairs(work.entry, work.pairs, read_spec(work.champion.folder).scale, work.folder / "pairs", progress)
        write_sealed(done, {"pairs": len(work.pairs)})
    return len(work.pairs)


def fit(work: Round, progress: Progress) -> Path:
    """Train the challenger, from where an interrupted run stood; gives its checkpoint folder."""
    from srcore.training.fit.loop import train  # Lightning takes seconds to import

    folder = train(work.recipe, resume=(work.recipe.output / STATE).exists())
    progress(work.recipe.steps, work.recipe.steps)
    return folder


def assess(work: Round, progress: Progress) -> Evaluation:
    """Champion and challenger on the held-out scenes; CheckpointError when the challenger cannot be run in tiles."""
    from srcore.engine import prove

    held = work.folder / "pairs/held"
    candidates = load_candidates({CHAMPION: work.champion.folder, CHALLENGER: work.recipe.output})
    prove(candidates[1].spec, candidates[1].generator)
    lr = held / "lr" if work.entry.hr else None
    found = evaluate_candidates(candidates, held / "hr", lr, form_of(work.entry), progress)
    return replace(found, data=f"{work.dataset}: those that are held out")


def judge(evaluation: Evaluation, settings: Retrain) -> tuple[bool, str]:
    """Whether the challenger is promoted, and why."""
    plain = evaluation.methods[0].name
    pair = f"{CHALLENGER} over {CHAMPION}"
    gain = evaluation.gains[pair]
    told = f"{gain.mean:+.3f} dB over the champion ({gain.low:+.3f} to {gain.high:+.3f}, {gain.scenes} held-out scenes)"
    sensor, least = min(((name, gains[pair]) for name, gains in evaluation.sensors.items()), key=lambda one: one[1])
    if gain.low < settings.at_least_db or gain.mean <= 0:
        return False, f"{told}: the low end has to be {settings.at_least_db:g} dB or more"
    if least < -settings.at_most_worse_db:
        return False, f"{told}, but {sensor} loses {-least:.3f} dB: at most {settings.at_most_worse_db:g} are allowed"
    if evaluation.gains[f"{CHALLENGER} over {plain}"].mean <= 0:
        return False, f"{told}, but no better than {plain}"
    return True, f"{told}: at least {settings.at_least_db:g} asked, and no sensor worse than {least:+.3f} ({sensor})"


def conclude(work: Round, evaluation: Evaluation) -> Decision:
    """Register the challenger, promote it or not, and write record and page; the work folder goes."""
    promoted, reason = judge(evaluation, work.settings)
    registry = open_registry(create=True)
    champion = registry.find(work.name, CHAMPION) or registry.register(work.champion.folder, work.name)
    if champion.digest != work.champion.digest:
        promoted, reason = False, f"the champion became version {champion.version} during the run: run again"
    challenger = read_spec(work.recipe.output)
    if challenger.digest == champion.digest:
        promoted, reason, version = False, "the challenger is the champion: nothing was learned", champion
    else:
        page = evaluation_page(evaluation, _title(work), _verdict(promoted, reason))
        version = registry.register(
            work.recipe.output, work.name, _metrics(evaluation), _facts(work, reason), {"evaluation.html": page}
        )
        registry.name_challenger(version)
        if promoted:
            registry.promote(work.name)
    decision = Decision(
        work.dataset,
        promoted,
        reason,
        f"{work.name}@{CHAMPION} version {champion.version}, {champion.digest}",
        f"version {version.version}, {version.digest}",
        len(work.pairs),
        sum(pair.held for pair in work.pairs),
        str(work.page),
        datetime.now(UTC).isoformat(timespec="seconds"),
    )
    work.page.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(work.page, evaluation_page(evaluation, _title(work), _verdict(promoted, reason)).encode())
    write_sealed(work.record, asdict(decision))
    shutil.rmtree(work.folder, ignore_errors=True)
    return decision


def _title(work: Round) -> str:
    return f"A challenger for {work.champion.reference} on {work.dataset}"


def _verdict(promoted: bool, reason: str) -> list[str]:
    return [f"{'Promoted' if promoted else 'Kept out'}: {reason}."]


def _metrics(evaluation: Evaluation) -> dict[str, float]:
    means = {f"{figure}": value.mean for figure, value in evaluation.means[CHALLENGER].items()}
    return means | {name.replace(" ", "_"): gain.mean for name, gain in evaluation.gains.items()}


def _facts(work: Round, reason: str) -> dict[str, str]:
    return {
        "dataset": work.dataset,
        "started_from": f"{work.champion.reference} {work.champion.digest}",
        "pairs": str(len(work.pairs)),
        "held_out": ", ".join(p.scene for p in work.pairs if p.held),
        "steps": str(work.recipe.steps),
        "decision": reason,
        "judged": str(form_of(work.entry)),
    }
