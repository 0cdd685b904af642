"""A search through recipes: short trainings, judged on the same patches, and the recipe of the best.

OUTPUT/search/  study.log    what was tried, flushed line by line: a killed search goes on from it
                trials/003/  the checkpoint of a trial
                search.json, search.html, best.yaml: rewritten after every trial
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import yaml

from srcore.errors import TrainingError
from srcore.report.choosing import SearchFigures, TrialFigures, on_front, search_page
from srcore.report.evaluation import Estimate, Speed
from srcore.storage.disk.files import write_atomic
from srcore.storage.disk.leases import held
from srcore.training.config import TrainConfig
from srcore.training.data.batches import geometry_of
from srcore.training.fit.core import State
from srcore.training.fit.loop import fit
from srcore.training.fit.space import applied, document, generators, searched
from srcore.training.fit.study import Asked, Ended, Study, open_study
from srcore.training.fit.validation import PATCHES, Validation
from srcore.training.judge.compare import Candidate, estimate, speed
from srcore.training.space import Search
from srcore.weights import load_generator

log = logging.getLogger(__name__)

FOLDER = "search"


def search(config: TrainConfig, *, resume: bool = False) -> SearchFigures:
    """Try what the recipe's `search` asks for; with `resume`, what is missing of it.

    CatalogError for a space that no training could take, StoreError when the folder holds another search,
    TrainingError when no trial came to its end.
    """
    settings = searched(config)
    validation = _validation(config, settings)
    folder = config.output / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with held(folder / ".lease"):
        study = open_study(folder, settings, config.seed, _identity(config), resume=resume)
        found = _written(folder, config, study, validation.plain)
        while len(found.trials) < settings.trials:
            _try(study, study.ask(), folder, config, settings, validation)
            found = _written(folder, config, study, validation.plain)
    if found.best is None:
        reason = next((trial.reason for trial in found.trials if trial.reason), "all ended early")
        raise TrainingError("no trial of the search came to its end", reason, "correct `search.space`")
    return found


def _validation(config: TrainConfig, settings: Search) -> Validation:
    """Patches with room for the halo of every architecture of the space: all trials are judged on the same pixels."""
    networks = generators(config, settings)
    geometry = geometry_of(config, max(networks, key=lambda one: one.halo))
    return Validation(config, geometry, networks[0].bands)


def _identity(config: TrainConfig) -> dict[str, Any]:
    """What makes two searches one: all but where it lies and how many trials it has."""
    return config.model_dump(mode="json", exclude={"output": True, "search": {"trials"}})


def _try(
    study: Study, trial: Asked, folder: Path, config: TrainConfig, settings: Search, validation: Validation
) -> None:
    """Train the trial and measure it."""
    number = len(study.ended())
    recipe = _recipe(config, settings, trial, folder / "trials" / f"{number:03d}")
    log.info("trial %d: %s", number, dict(trial.values))
    since, last, stopped = time.perf_counter(), list[float](), False

    def watch(state: State) -> bool:
        nonlocal last, stopped
        if state.step % settings.evaluate_every == 0 or state.step == settings.steps:
            last = validation.gains(state.averaged)
            stopped = trial.report(state.step, estimate(last).mean) and state.step < settings.steps
        return stopped

    try:
        fit(recipe, watch=watch)
    except TrainingError as error:  # it diverged: so do some rates that are worth a try
        study.finish(trial, "failed", {"seconds": time.perf_counter() - since, "reason": str(error)})
        return
    facts = {"seconds": time.perf_counter() - since}
    if stopped:
        study.finish(trial, "pruned", facts)
        return
    gain = estimate(last)
    study.finish(trial, "complete", {**facts, "gain": asdict(gain), **_size(recipe, study)}, gain.mean)


def _recipe(config: TrainConfig, settings: Search, trial: Asked, output: Path) -> TrainConfig:
    """A trial's: shorter, its warm-up as well, and without a validation of its own."""
    recipe = applied(config, trial.values)
    short = {
        "name": f"{config.name}-trial-{output.name}",
        "output": output,
        "steps": settings.steps,
        "warmup_steps": min(recipe.warmup_steps, recipe.warmup_steps * settings.steps // recipe.steps),
        "save_every": settings.steps,
        "validate_every": None,
        "patience": None,
        "tensorboard": False,
    }
    return recipe.model_copy(update=short)


def _size(recipe: TrainConfig, study: Study) -> dict[str, Any]:
    """Parameters and speed; trials of one architecture share a measurement, so that they differ in quality alone."""
    architecture = recipe.architecture.model_dump(mode="json")
    for one in study.ended():
        if one.facts.get("architecture") == architecture:
            return {key: one.facts[key] for key in ("architecture", "parameters", "speed")}
    candidate = Candidate(recipe.name, *load_generator(recipe.output))
    parameters = sum(parameter.numel() for parameter in candidate.generator.parameters())
    return {"architecture": architecture, "parameters": parameters, "speed": asdict(speed(candidate))}


def _written(folder: Path, config: TrainConfig, study: Study, plain: str) -> SearchFigures:
    """The figures of what has ended, as they were put into the folder."""
    settings = searched(config)
    ended = study.ended()
    trials = tuple(_figures(number, one) for number, one in enumerate(ended))
    best = _best(trials)
    found = SearchFigures(
        config.name, plain, PATCHES, config.seed, settings.steps, settings.trials, trials, best, on_front(trials)
    )
    write_atomic(folder / "search.json", (json.dumps(found.to_json(), indent=2) + "\n").encode())
    write_atomic(folder / "search.html", search_page(found).encode())
    if best is not None:
        write_atomic(folder / "best.yaml", _yaml(config, ended[best], trials[best]).encode())
    return found


def _figures(number: int, one: Ended) -> TrialFigures:
    facts = one.facts
    found = TrialFigures(
        number, one.ending, one.values, tuple(one.gains.items()), facts["seconds"], reason=facts.get("reason", "")
    )
    if one.ending != "complete":
        return found
    return replace(found, gain=Estimate(**facts["gain"]), speed=Speed(**facts["speed"]), parameters=facts["parameters"])


def _best(trials: Sequence[TrialFigures]) -> int | None:
    gains = {trial.number: trial.gain.mean for trial in trials if trial.gain is not None}
    return max(gains, key=gains.__getitem__) if gains else None


def _yaml(config: TrainConfig, best: Ended, figures: TrialFigures) -> str:
    """The recipe as it was written, with the best trial's values in place of its `search`."""
    gain = figures.gain.mean if figures.gain else 0.0
    text = yaml.safe_dump(
        document(config, best.values, short=True),
        sort_keys=False,
        allow_unicode=True,
        width=120,
        default_flow_style=None,
    )
    return f"# Trial {figures.number} of a search, {gain:+.3f} dB over plain interpolation when it ended.\n{text}"
