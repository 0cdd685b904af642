"""One round of retraining, laid out before anything is computed: its champion, its pairs, its split, its recipe."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from srcore.catalog import Catalog
from srcore.catalog.dataset import Dataset
from srcore.catalog.learning import Retrain
from srcore.checkpoints import CHALLENGER, read_spec
from srcore.errors import CatalogError
from srcore.layout import DatasetPaths
from srcore.registry.mlflow_store import refuse_unready
from srcore.registry.references import Model, resolve
from srcore.training.config import TrainConfig, parse_config, recipe_document
from srcore.training.data.collect import TRAIN, find_pairs
from srcore.training.pairs.find import Pair
from srcore.training.pairs.stored import stored_pairs

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
KEPT = ("attribution", "degradation", "back_projection", "slice_profile", "edge", "slab", "magnify")
"""Keys of the champion's own recipe that its challenger has, too, unless the dataset's says otherwise: how LR is made,
and what stands behind the generator, made it what it is."""
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
    left_out: Mapping[str, str]
    """Scene to the reason why it takes no part."""
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
    def tries(self) -> Path:
        """Which challengers were judged on the held-out places, in their order."""
        return self.places.retrained / "tries.json"

    @property
    def learned(self) -> Path:
        """Which scenes its champion has learned from."""
        return self.places.retrained / "learned.json"

    @property
    def promoting(self) -> Path:
        """What a promotion on its way will leave: a kill between it and its record loses neither."""
        return self.places.retrained / "promoting.json"

    @property
    def page(self) -> Path:
        """Its evaluation, for people."""
        return self.record.with_suffix(".html")


def lay_out(catalog: Catalog, dataset: str) -> Round:
    """The round of a dataset: its pairs, its split, its recipe. Reads names and headers only; writes the split.

    StoreError for a registry that would not take the challenger; CatalogError for a recipe that is none; the errors of
    `find_pairs`; CheckpointError without a champion.
    """
    entry = catalog.dataset(dataset)
    if entry.retrain is None:
        raise CatalogError(f"dataset {dataset} has no key 'retrain'", "", "add it, perhaps empty: retrain: {}")
    places = DatasetPaths(Path(catalog.store) / dataset)
    refuse_unready()
    champion = resolve(entry.model)
    other = catalog.hr_of(dataset)
    kept = entry.retrain.takes == "pairs"
    scale = read_spec(champion.folder).scale
    stored = stored_pairs(places.pairs, dataset, entry, other, scale) if kept else None
    found = find_pairs(entry, catalog.base, places.retrained / "split.json", other, stored)
    wish = _wish(entry.retrain)
    seen = [[pair.scene, pair.held, *pair.state] for pair in found.pairs]
    judged = {**replace(entry.treatment, nodata=None).changed(), "precision": entry.precision}
    told = [] if judged == {"precision": "auto"} else [judged]  # a default adds nothing: no upgrade decides anew
    told += [entry.pairs.model_dump(exclude={"schedule", "on_arrival"})] if entry.pairs else []
    unsaid = {"place", "replay", "takes"} - entry.retrain.model_fields_set  # a default adds nothing
    settings = entry.retrain.model_dump(exclude={"schedule", "shadow", *unsaid})
    key = _digest([seen, wish, settings, entry.bands, entry.nodata, *told])
    folder = places.retraining / f"{key}-{champion.digest[:8]}"
    recipe = _recipe(wish, entry, champion, folder)
    return Round(dataset, entry, entry.retrain, champion, found.pairs, found.left_out, recipe, key, places)


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
    source = {"files": "*/hr/*", "share": 1}  # FIT says which share is replayed, once COLLECT has said what there is
    given = {
        "name": champion.reference.partition("@")[0],
        "data": str(folder / "pairs" / TRAIN),
        "output": str(folder / CHALLENGER),
        "sources": [source],
        "architecture": spec.architecture.model_dump(),
        "start_from": str(champion.folder),
        "licence": spec.licence,
    }
    told = {key: spec.training[key] for key in KEPT if spec.training.get(key)}
    told |= {"tensorboard": True}  # the loss curve, for the registry
    if told.get("slab") and wish["core_px"] == FINE_TUNING["core_px"]:  # slabs of thick slices have not so many
        wish = {**wish, "core_px": spec.training["core_px"]}
    keys = {**told, **wish, **given}
    keys["attribution"] = released(str(keys.get("attribution", "")), entry)
    return parse_config(keys, (entry.retrain and entry.retrain.recipe) or "the fine-tuning recipe")


def released(attribution: str, entry: Dataset) -> str:
    """What a model says of its data, with the reason why private scenes of the dataset may be learned from."""
    note = f"Learned from private volumes, released for this reason: {entry.release}" if entry.release else ""
    return attribution if note in attribution else f"{attribution.strip()}\n\n{note}".strip()


def _digest(facts: Any) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
