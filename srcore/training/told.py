"""What the registry keeps of a round beside the challenger: how it was learned, of which bytes, how it looks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from numpy.typing import NDArray

from srcore.catalog.dataset import Dataset
from srcore.checkpoints import CHALLENGER, read_spec
from srcore.memory.whole import form_of, open_whole
from srcore.registry.told import Told
from srcore.report.evaluation import Evaluation
from srcore.report.quicklook import readme_picture
from srcore.training.config import TrainConfig
from srcore.training.data.sealed import read_split
from srcore.training.judge.evaluate import image_pair, images_in, restored
from srcore.training.round import Round, released
from srcore.weights import load_generator

PICTURES = 3
"""Held-out scenes of which a picture is kept."""
PLACES = frozenset({"data", "output", "start_from"})
"""Keys of a recipe that are folders of this machine; where it started is told by digest."""
MOST_POINTS = 500
"""Of a curve: each costs a call to the registry."""


def told_of(work: Round, evaluation: Evaluation, used: Sequence[str], page: str, reason: str) -> Told:
    """What the challenger's run keeps: figures, where they come from, loss curves, files and pictures.

    `used`: scenes that were learned from or judged by; `page`: the evaluation's; `reason`: the decision in words.
    """
    files = {
        "evaluation.html": page,
        "recipe.yaml": recipe_text(work.recipe),
        "data.json": data_text(work.places.retrained / "split.json", used, named=work.entry.privacy == "public"),
    }
    sample = pictures(work.recipe.output, work.folder / "pairs/held", work.entry)
    curves = loss_curves(work.recipe.output)
    return Told(_metrics(evaluation), _facts(work, reason), curves, files, sample, released("", work.entry))


def _metrics(evaluation: Evaluation) -> dict[str, float]:
    means = {f"{figure}": value.mean for figure, value in evaluation.means[CHALLENGER].items()}
    return means | {name.replace(" ", "_"): gain.mean for name, gain in evaluation.gains.items()}


def _facts(work: Round, reason: str) -> dict[str, str]:
    held = [pair for pair in work.pairs if pair.held]
    judges, places = sorted(pair.scene for pair in held), sorted({pair.place for pair in held})
    if work.entry.privacy != "public":  # names may be those of patients
        judges, places = [f"{len(judges)} scenes"], [str(len(places))]
    return {
        "dataset": work.dataset,
        "started_from": f"{work.champion.reference} {work.champion.digest}",
        "pairs": str(len(work.pairs)),
        "held_out": ", ".join(judges),
        "places": ", ".join(places),
        "steps": str(work.recipe.steps),
        "decision": reason,
        "judged": str(form_of(work.entry).of(read_spec(work.champion.folder))),
    }


def recipe_text(recipe: TrainConfig) -> str:
    """The recipe as YAML, without the folders of this machine."""
    return str(yaml.safe_dump(recipe.model_dump(mode="json", exclude=set(PLACES)), sort_keys=False))


def data_text(split: Path, scenes: Sequence[str], *, named: bool) -> str:
    """JSON of what was learned from and judged by: scene, or unless `named` its digests, to side and sha256."""
    known, _ = read_split(split)
    found: dict[str, Any] = {}
    for scene in scenes:
        one = known[scene]
        key = scene if named else ":".join(digest[:16] for digest in one.digests)
        found[key] = {"held_out": one.held, "sha256": list(one.digests)}
    return json.dumps(found, indent=1, sort_keys=True)


def loss_curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Loss to its values by step, from the log that the fit leaves below `folder`; {} where it left none."""
    logs = folder / "logs"
    if not logs.is_dir():
        return {}
    from tensorboard.backend.event_processing.event_accumulator import SCALARS, EventAccumulator

    log = EventAccumulator(str(logs), size_guidance={SCALARS: MOST_POINTS})
    log.Reload()
    curves = {name: {one.step: float(one.value) for one in log.Scalars(name)} for name in log.Tags()["scalars"]}
    # by step: what a killed run did again after its last state stands there once
    return {f"fit/{name}": sorted(curve.items()) for name, curve in curves.items() if name != "epoch"}


def pictures(model: Path, held: Path, entry: Dataset) -> Mapping[str, bytes]:
    """PNGs of LR | bicubic | SR | true HR of the first held-out scenes; none of a private dataset, released or not.

    `held` has hr/ and, of measured pairs, lr/.
    """
    if entry.privacy != "public":
        return {}
    form, engine = form_of(entry), open_whole(*load_generator(model), entry.precision)
    found = {}
    for path in images_in(held / "hr", engine.generator.axes)[:PICTURES]:
        pair = image_pair(path, engine, form.treatment, held / "lr" if entry.measured else None, held / "hr")
        sr, lr = restored(engine, pair.lr, form.treatment), pair.lr
        colours = [""] * len(lr.values)
        found[f"{path.name.partition('.')[0]}.png"] = readme_picture(
            partial(_window, lr.values), lr.valid, sr, pair.hr, colours, colours
        )
    return found


def _window(values: NDArray[Any], window: tuple[slice, ...]) -> NDArray[Any]:
    return values[(slice(None), *window)]
