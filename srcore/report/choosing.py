"""A search through recipes, and a cross-validation, each as one HTML page that needs nothing else. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from markupsafe import Markup

from srcore.report.evaluation import Estimate, Speed
from srcore.report.figures import Point, curves_figure, dots_figure, front, pareto_figure
from srcore.report.page import policy, render


@dataclass(frozen=True)
class TrialFigures:
    """One trial of a search."""

    number: int
    ending: Literal["complete", "pruned", "failed"]
    values: Mapping[str, Any]
    curve: tuple[tuple[int, float], ...]
    """Steps and dB over plain interpolation."""
    seconds: float
    parameters: int = 0
    gain: Estimate | None = None
    """Of a complete trial, over the validation patches."""
    speed: Speed | None = None
    reason: str = ""
    """Why it failed."""


@dataclass(frozen=True)
class SearchFigures:
    """A search, as far as it got."""

    name: str
    plain: str
    """bicubic, or trilinear for volumes."""
    patches: int
    seed: int
    steps: int
    """Of a trial."""
    wanted: int
    trials: tuple[TrialFigures, ...]
    best: int | None
    """Number of the best trial; None while none is complete."""
    front: tuple[int, ...]
    """Numbers of the trials that no other beats in speed or quality without losing in the other."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True)
class PlaceFigures:
    """A place that was held out, means over its files."""

    place: str
    files: int
    psnr: float
    plain: float
    ssim: float
    ssim_plain: float

    @property
    def gain(self) -> float:
        """dB."""
        return self.psnr - self.plain


@dataclass(frozen=True)
class Fold:
    """One of the trainings, judged on the places that it did not see."""

    number: int
    places: tuple[PlaceFigures, ...]
    gain: Estimate
    """Over its places."""


@dataclass(frozen=True)
class Folds:
    """A cross-validation."""

    name: str
    plain: str
    seed: int
    steps: int
    pattern: str
    """What makes a place of a file's name."""
    form: str
    """What was made of the LR: what a run publishes, with its settings."""
    folds: tuple[Fold, ...]
    mean: float
    deviation: float
    """Of the gains of the folds, dB; of a sample."""
    gain: Estimate
    """Over all places."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def points(trials: tuple[TrialFigures, ...]) -> list[Point]:
    """The trials that have quality and speed."""
    return [Point(str(one.number), one.speed.lr_mpx_s, one.gain.mean) for one in trials if one.gain and one.speed]


def on_front(trials: tuple[TrialFigures, ...]) -> tuple[int, ...]:
    """Numbers of the trials on the Pareto front."""
    return tuple(sorted(int(one.label) for one in front(points(trials))))


def short_keys(keys: Collection[str]) -> dict[str, str]:
    """Keys to their last parts, where that says which is meant."""
    ends = [key.rpartition(".")[2] for key in keys]
    return {key: end if ends.count(end) == 1 else key for key, end in zip(keys, ends, strict=True)}


def search_page(facts: SearchFigures) -> str:
    """The page: the best, the plots, every trial."""
    drawn: list[tuple[str, Markup]] = []
    if measured := points(facts.trials):
        drawn.append(("Quality and speed", pareto_figure("pareto", measured, f"dB over {facts.plain}")))
    if curves := {str(one.number): one.curve for one in facts.trials if one.curve}:
        figure = curves_figure("curves", curves, str(facts.best), f"dB over {facts.plain}")
        drawn.append(("Every trial by its steps", figure))
    return render(
        "search.html",
        facts=facts,
        best=next((one for one in facts.trials if one.number == facts.best), None),
        keys=short_keys(facts.trials[0].values if facts.trials else ()),
        plots=drawn,
        policy=policy((), "data:"),
    )


def folds_page(facts: Folds) -> str:
    """The page: mean and deviation, every fold, every place."""
    places = [(fold.number, place) for fold in facts.folds for place in fold.places]
    gains = {
        f"fold {fold.number}": [place.gain if number == fold.number else float("nan") for number, place in places]
        for fold in facts.folds
    }
    figure = dots_figure("places", [place.place for _, place in places], gains, f"dB over {facts.plain}")
    return render("folds.html", facts=facts, figure=figure, policy=policy((), "data:"))
