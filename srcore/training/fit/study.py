"""The memory of a search, and what it tries next. The only code that knows Optuna.

A journal of lines, each flushed to the disk: what a killed search had finished is there, and the trial that it was in
counts as not begun. Each draw has a seed of its own, so a resumed search goes on as an unbroken one would have.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from srcore.errors import StoreError, TrainingError
from srcore.storage.disk.files import store_error
from srcore.training.fit.space import label
from srcore.training.space import Range, Search

try:
    import optuna
    from optuna.storages.journal import JournalFileBackend, JournalStorage
    from optuna.trial import TrialState
except ImportError as missing:
    raise TrainingError(
        "a search needs Optuna", str(missing), "pip install 'srcore[train]'", code="NOT_INSTALLED"
    ) from missing

JOURNAL = "study.log"
RECIPE, FACTS = "recipe", "facts"
"""What the study and each of its finished trials remember."""

Ending = Literal["complete", "pruned", "failed"]
STATES: dict[Ending, TrialState] = {
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}


@dataclass(frozen=True)
class Ended:
    """A finished trial."""

    ending: Ending
    values: Mapping[str, Any]
    gains: Mapping[int, float]
    """Step to dB over bicubic, in order."""
    facts: Mapping[str, Any]
    """What `finish` was told."""


class Asked:
    """A trial to do."""

    def __init__(self, trial: optuna.Trial, search: Search) -> None:
        self.optuna, self._prune = trial, search.prune
        self.values = {key: _drawn(trial, key, dimension) for key, dimension in search.space.items()}

    def report(self, step: int, gain: float) -> bool:
        """Tell how good it is after `step`; True when going on does not pay."""
        self.optuna.report(gain, step)
        return self._prune and self.optuna.should_prune()


class Study:
    """The search of one recipe in one folder; one process at a time."""

    def __init__(self, study: optuna.Study, search: Search, seed: int) -> None:
        self.optuna, self._search, self._seed = study, search, seed

    def ended(self) -> list[Ended]:
        """Finished trials in their order."""
        return [
            Ended(
                trial.user_attrs[FACTS]["ending"],
                {key: _meant(trial.params[key], dimension) for key, dimension in self._search.space.items()},
                dict(sorted(trial.intermediate_values.items())),
                trial.user_attrs[FACTS],
            )
            for trial in self.optuna.get_trials(deepcopy=False)
            if trial.state.is_finished() and FACTS in trial.user_attrs
        ]

    def ask(self) -> Asked:
        """The next trial: a function of the recipe's seed and of what has ended."""
        self.optuna.sampler = optuna.samplers.TPESampler(
            n_startup_trials=self._search.random, seed=self._seed + len(self.ended())
        )
        return Asked(self.optuna.ask(), self._search)

    def finish(self, trial: Asked, ending: Ending, facts: Mapping[str, Any], gain: float | None = None) -> None:
        """Close the trial, with the gain that it is judged by where it is complete."""
        trial.optuna.set_user_attr(FACTS, {"ending": ending, **facts})
        self.optuna.tell(trial.optuna, gain, state=STATES[ending])


def open_study(folder: Path, search: Search, seed: int, recipe: Mapping[str, Any], *, resume: bool) -> Study:
    """The study in `folder`, a new one unless `resume`.

    StoreError when there is one and it is not to be resumed, or is of another recipe, or cannot be read.
    """
    path = folder / JOURNAL
    if path.exists() and not resume:
        raise StoreError(
            f"{folder} holds a search", path.name, "go on with --resume, or remove the folder", code="OUTPUT_EXISTS"
        )
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        _mend(path)
        study = optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(path))),
            study_name="search",
            direction="maximize",
            pruner=optuna.pruners.MedianPruner(search.random),
            load_if_exists=True,
        )
    except OSError as error:
        raise store_error(path, error) from error
    except (ValueError, KeyError) as error:
        raise StoreError(f"{path} cannot be read", str(error), "remove the folder and search anew") from error
    if study.user_attrs.get(RECIPE, recipe) != recipe:
        raise StoreError(
            f"{folder} holds the search of another recipe",
            _first_difference(study.user_attrs[RECIPE], recipe),
            "undo the change, or give another `output`",
            code="OUTPUT_EXISTS",
        )
    study.set_user_attr(RECIPE, recipe)
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)  # its process is gone
    return Study(study, search, seed)


def _mend(path: Path) -> None:
    """Cut a line that was only half written, which would spoil the next one, and free the dead process's lock."""
    path.with_name(path.name + ".lock").unlink(missing_ok=True)
    if path.exists():
        content = path.read_bytes()
        if not content.endswith(b"\n"):
            with open(path, "r+b") as file:
                file.truncate(content.rfind(b"\n") + 1)


def _drawn(trial: optuna.Trial, key: str, dimension: Range | tuple[Any, ...]) -> Any:
    if not isinstance(dimension, Range):
        return _meant(trial.suggest_categorical(key, [label(value) for value in dimension]), dimension)
    if dimension.whole:
        step = int(dimension.step or 1)
        return trial.suggest_int(key, int(dimension.low), int(dimension.high), step=step, log=dimension.log)
    return _meant(
        trial.suggest_float(key, dimension.low, dimension.high, step=dimension.step, log=dimension.log), dimension
    )


def _meant(stored: Any, dimension: Range | tuple[Any, ...]) -> Any:
    """The recipe's value for what the study stores: lists by their labels, numbers with four digits."""
    if not isinstance(dimension, Range):
        return {label(value): value for value in dimension}[stored]
    if dimension.whole:
        return stored
    return min(max(float(f"{stored:.4g}"), dimension.low), dimension.high)


def _first_difference(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    keys = sorted(key for key in {*ours, *theirs} if ours.get(key) != theirs.get(key))
    return f"another {keys[0]}"
