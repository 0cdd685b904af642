"""Cross-validation by place: as many trainings as folds, each judged on the places that it did not see.

OUTPUT/folds/  1/ ... K/   the checkpoint of a fold and its recipe
               folds.json, folds.html
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, replace
from statistics import fmean, stdev
from typing import Any

import yaml

from srcore.checkpoints import read_spec
from srcore.errors import CatalogError, StoreError
from srcore.memory.whole import PUBLISHED, open_whole
from srcore.report.choosing import Fold, Folds, PlaceFigures, folds_page
from srcore.storage.disk.files import write_atomic
from srcore.storage.disk.leases import held
from srcore.training.config import TrainConfig, data_folder
from srcore.training.data.places import deal, held_files, place_of, places_of
from srcore.training.fit.loop import fit
from srcore.training.fit.space import refuse_devices
from srcore.training.fit.state import STATE
from srcore.training.judge.compare import estimate
from srcore.training.judge.evaluate import Score, scores_of
from srcore.weights import load_generator

log = logging.getLogger(__name__)

FOLDER = "folds"
RECIPE, SCORES = "recipe.yaml", "scores.json"


def cross_validate(config: TrainConfig, folds: int, *, resume: bool = False) -> Folds:
    """Train and judge every fold; with `resume`, what is missing of it.

    The places that judge decide nothing: no best step is kept, and no training ends early. CatalogError for a recipe
    that has `held_out`, SourceError with fewer places than folds, StoreError when the folder holds other folds.
    """
    if folds < 2:
        raise CatalogError("a cross-validation needs two folds or more", str(folds), "give --folds 2 or more")
    if config.held_out:
        raise CatalogError("`held_out` and --folds exclude each other", ", ".join(config.held_out), "take one out")
    refuse_devices(config)
    recipes = fold_recipes(config, folds)
    folder = config.output / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with held(folder / ".lease"):
        _check(recipes, resume)
        scores = [_fitted(recipe) for recipe in recipes]
    found = _figures(config, recipes, scores)
    write_atomic(folder / "folds.json", (json.dumps(found.to_json(), indent=2) + "\n").encode())
    write_atomic(folder / "folds.html", folds_page(found).encode())
    return found


def fold_recipes(config: TrainConfig, folds: int) -> list[TrainConfig]:
    """The recipe of every fold, with the places that it holds out; SourceError with fewer places than folds."""
    places = places_of(config)
    sources = [
        {place: count for place, files in places.items() if (count := sum(one is source for one in files.values()))}
        for source in config.sources
    ]
    plain: dict[str, Any] = {"validation": None, "validate_every": None, "patience": None, "search": None}
    return [
        config.model_copy(
            update={
                **plain,
                "name": f"{config.name}-fold-{number}",
                "held_out": held_out,
                "output": config.output / FOLDER / str(number),
            }
        )
        for number, held_out in enumerate(deal(sources, folds, config.seed), 1)
    ]


def _check(recipes: Sequence[TrainConfig], resume: bool) -> None:
    """Put every recipe into its folder; StoreError where that is another's."""
    parent = recipes[0].output.parent
    if any(parent.glob("*/" + RECIPE)) and not resume:
        raise StoreError(
            f"{parent} holds a cross-validation", "", "go on with --resume, or remove the folder", code="OUTPUT_EXISTS"
        )
    texts = {recipe.output / RECIPE: _yaml(recipe) for recipe in recipes}
    there = {path: path.read_text() for path in parent.glob("*/" + RECIPE)}
    if any(texts.get(path) != text for path, text in there.items()):
        raise StoreError(
            f"{parent} holds the folds of another recipe",
            "",
            "undo the change, or give another `output`",
            code="OUTPUT_EXISTS",
        )
    for path, text in texts.items():
        path.parent.mkdir(exist_ok=True)
        write_atomic(path, text.encode())


def _yaml(recipe: TrainConfig) -> str:
    values = recipe.model_dump(mode="json", exclude_defaults=True)
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None)


def _fitted(recipe: TrainConfig) -> list[Score]:
    """Train the fold, unless that is done, and score its places file by file."""
    path = recipe.output / SCORES
    if path.exists():
        return [Score(**row) for row in json.loads(path.read_bytes())]
    log.info("%s holds out %s", recipe.name, ", ".join(recipe.held_out))
    fit(recipe, resume=(recipe.output / STATE).exists())
    engine = open_whole(*load_generator(recipe.output))
    folder = data_folder(recipe.data)
    found = scores_of(held_files(recipe), engine, root=folder)
    scores = [replace(one, scene=file.relative_to(folder).as_posix()) for file, one in found.items()]
    write_atomic(path, json.dumps([asdict(one) for one in scores], indent=2).encode())
    return scores


def _figures(config: TrainConfig, recipes: Sequence[TrainConfig], scores: Sequence[Sequence[Score]]) -> Folds:
    folder = data_folder(config.data)
    folds = []
    for number, (recipe, rows) in enumerate(zip(recipes, scores, strict=True), 1):
        own = {
            place: [row for row in rows if place_of(folder / row.scene, folder, config.place) == place]
            for place in recipe.held_out
        }
        places = tuple(_mean(place, files) for place, files in own.items() if files)
        folds.append(Fold(number, places, estimate([place.gain for place in places])))
    gains = [fold.gain.mean for fold in folds]
    everything = estimate([place.gain for fold in folds for place in fold.places])
    spec = read_spec(recipes[0].output)
    return Folds(
        config.name,
        "trilinear" if len(spec.scale) == 3 else "bicubic",
        config.seed,
        config.steps,
        config.place,
        str(PUBLISHED.of(spec)),
        tuple(folds),
        fmean(gains),
        stdev(gains),
        everything,
    )


def _mean(place: str, files: Sequence[Score]) -> PlaceFigures:
    names = ("psnr", "psnr_bicubic", "ssim", "ssim_bicubic")
    return PlaceFigures(place, len(files), *(fmean(getattr(one, name) for one in files) for name in names))
