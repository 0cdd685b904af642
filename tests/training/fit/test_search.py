"""The search: what a space must not say, what a kill costs (one trial), and that the best recipe trains."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.cli import main
from srcore.errors import CatalogError, StoreError, TrainingError
from srcore.report.evaluation import Speed
from srcore.training.config import TrainConfig, read_config
from srcore.training.fit import search as module
from srcore.training.fit.loop import train
from srcore.training.fit.search import search
from srcore.training.fit.space import applied, generators, searched
from srcore.training.fit.study import JOURNAL

Recipe = Callable[..., TrainConfig]

SPACE: dict[str, Any] = {
    "architecture.params.blocks": [1, 2],
    "learning_rate": {"low": 1e-3, "high": 1e-2, "log": True},
    "losses": ["l1", {"l1": 1.0, "fft": 0.1}],
}


@pytest.fixture
def make(recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    """A recipe with a search of four short trials; the engine is not waited for."""
    monkeypatch.setattr(module, "speed", lambda candidate: Speed(1.0, "eager", "float32"))
    sources = [{"files": "scene_*.tif", "share": 1}]

    def made(space: dict[str, Any] = SPACE, output: str = "run", **changes: Any) -> TrainConfig:
        wanted: dict[str, Any] = {"trials": 4, "steps": 4, "evaluate_every": 2, "random": 2, "space": space}
        return recipe(
            validation=str(tmp_path / "data"), output=str(tmp_path / output), sources=sources, search=wanted | changes
        )

    return made


@pytest.mark.parametrize(
    ("space", "told"),
    [
        ({}, r"search.space: .*at least 1 item"),
        ({"learning_rate": 1e-3}, r"learning_rate: give a list of values, or \{low: , high: \}"),
        ({"learning_rate": []}, r"learning_rate.values: .*at least 1 item"),
        ({"learning_rate": {"low": 1, "hihg": 2}}, r"learning_rate.range.high: Field required"),
        ({"learning_rate": {"low": 2, "high": 1}}, "low must be less than high"),
        ({"learning_rate": {"low": 0, "high": 1, "log": True}}, "log needs low above 0"),
        ({"learning_rate": {"low": -1.0, "high": 1.0}}, r"learning_rate = -1.0 .*greater than 0"),
        ({"lerning_rate": [1, 2]}, r"search.space.lerning_rate cannot be searched"),
        ({"steps": [1, 2]}, r"search.space.steps cannot be searched"),
        ({"losses": ["l1", "l3"]}, r"losses = l3 .*losses\.l3"),
        ({"losses": ["l1", "l1"]}, "a value twice"),
        ({"adversarial.weight": [0.1, 0.2]}, "no `adversarial` with keys of its own"),
        ({"architecture.params.widht": [8, 16]}, "edsr of .* has no param widht; known are scale, width"),
        ({"architecture.params.blocks": {"low": 0, "high": 2000}}, "too many architectures"),
        ({"architecture.params.scale": [2, 3]}, "mixes scales"),
        ({"architecture.name": ["edsr", "nope"]}, "unknown architecture"),
    ],
)
def test_a_space_that_no_training_could_take_is_named(make: Recipe, space: dict[str, Any], told: str) -> None:
    def check() -> None:
        config = make(space)
        generators(config, searched(config))

    with pytest.raises(CatalogError, match=told) as caught:
        check()
    assert "\n" not in str(caught.value)


def test_values_are_put_into_the_recipe(make: Recipe) -> None:
    found = applied(make(), {"architecture.params.blocks": 3, "losses": "mse", "learning_rate": 0.5})
    assert found.architecture.params == {"scale": 2, "width": 8, "blocks": 3, "bias": False}
    assert (found.losses, found.learning_rate, found.search) == ({"mse": 1.0}, 0.5, None)


KILLED = """
import json, os, signal, sys
from srcore.training.fit import search as module
from srcore.training.config import parse_config
from srcore.report.evaluation import Speed

module.speed = lambda candidate: Speed(1.0, "eager", "float32")
fit = module.fit

def fit_or_die(recipe, **how):
    if recipe.output.name == "002":
        watch = how["watch"]
        how["watch"] = lambda state: watch(state) if state.step < 3 else os.kill(os.getpid(), signal.SIGKILL)
    return fit(recipe, **how)

module.fit = fit_or_die
module.search(parse_config(json.loads(sys.argv[1]), "argument"))
"""


def told(folder: Path) -> dict[str, Any]:
    """The figures of a search, without what a clock says."""
    found: dict[str, Any] = json.loads((folder / "search/search.json").read_text())
    for trial in found["trials"]:
        del trial["seconds"]
    return found


@pytest.mark.nightly
def test_after_kill_9_a_resumed_search_equals_an_unbroken_one(make: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, broken = make(output="whole"), make(output="broken")
    expected = search(whole)
    assert len(expected.trials) == 4
    assert {trial.ending for trial in expected.trials} <= {"complete", "pruned"}
    ended = subprocess.run([sys.executable, "-c", KILLED, broken.model_dump_json()], capture_output=True, timeout=120)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    assert len(told(broken.output)["trials"]) == 2
    with open(broken.output / "search" / JOURNAL, "ab") as file:
        file.write(b'{"op_code":6,"half wri')
    with pytest.raises(StoreError, match=r"holds a search; found study\.log; go on with --resume"):
        search(broken)
    with pytest.raises(StoreError, match="search of another recipe; found another seed"):
        search(broken.model_copy(update={"seed": 9}), resume=True)
    done: list[str] = []
    fit = module.fit
    monkeypatch.setattr(module, "fit", lambda recipe, **how: done.append(recipe.output.name) or fit(recipe, **how))
    search(broken, resume=True)
    assert done == ["002", "003"]
    assert told(broken.output) == told(whole.output)
    search(broken, resume=True)
    assert done == ["002", "003"]
    assert len(search(make(output="broken", trials=5), resume=True).trials) == 5


def test_the_best_recipe_is_one_that_trains(make: Recipe, tmp_path: Path) -> None:
    found = search(make(trials=2))
    assert found.best is not None
    best = next(trial for trial in found.trials if trial.number == found.best)
    assert best.gain is not None
    assert best.gain.mean == max(trial.gain.mean for trial in found.trials if trial.gain)
    assert found.best in found.front
    config = read_config(tmp_path / "run/search/best.yaml")
    assert config.learning_rate == best.values["learning_rate"]
    assert config.architecture.params["blocks"] == best.values["architecture.params.blocks"]
    assert (config.steps, config.search) == (8, None)
    assert train(config) == tmp_path / "run"
    page = (tmp_path / "run/search/search.html").read_text()
    assert "validation patches of the network alone (no back-projection: not what is published)" in page
    assert page.count("<svg") == 2
    assert "http" not in page.replace("http-equiv", "")


def test_a_trial_that_diverges_does_not_end_the_search(make: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    fit = module.fit

    def diverges(recipe: TrainConfig, **how: Any) -> Any:
        if recipe.output.name == "000":
            raise TrainingError("training stopped at step 3", "loss nan", "lower learning_rate")
        return fit(recipe, **how)

    monkeypatch.setattr(module, "fit", diverges)
    found = search(make(trials=2))
    assert [trial.ending for trial in found.trials] == ["failed", "complete"]
    assert "loss nan" in found.trials[0].reason
    monkeypatch.setattr(
        module,
        "fit",
        lambda recipe, **how: diverges(recipe.model_copy(update={"output": recipe.output.with_name("000")}), **how),
    )
    with pytest.raises(TrainingError, match="no trial of the search came to its end; found training stopped"):
        search(make(output="none", trials=1))


def test_a_trial_worse_than_the_median_ends_early(make: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = iter(range(99, 0, -1))
    monkeypatch.setattr(
        "srcore.training.fit.validation.Validation.gains", lambda self, generator: [float(next(numbers))]
    )
    found = search(make(random=1, trials=2))
    assert [trial.ending for trial in found.trials] == ["complete", "pruned"]
    assert [step for step, _ in found.trials[1].curve] == [2]


@pytest.mark.parametrize(
    ("change", "arguments", "told"),
    [
        ({"search": None}, ["--search"], "there is nothing to search"),
        ({"validation": None}, ["--search"], "nothing to judge by"),
        ({}, ["--search", "--folds", "3"], "exclude each other"),
        ({"devices": 2}, ["--search"], "run on one device"),
        ({"devices": 2}, ["--folds", "2"], "run on one device"),
        ({"search": {"trials": 1, "steps": 5, "evaluate_every": 9, "space": SPACE}}, ["--search"], "is more than"),
        ({"search": {"trials": 1, "steps": 5, "evaluate_evry": 9, "space": SPACE}}, ["--search"], "evaluate_every"),
        ({"search": {"trials": 1, "steps": 5, "evaluate_every": 5, "space": {"x": [1]}}}, ["--search"], "space.x"),
    ],
)
def test_a_bad_search_ends_with_status_2(
    change: dict[str, Any],
    arguments: list[str],
    told: str,
    make: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    document = make().model_dump(mode="json") | change
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(document))
    monkeypatch.setattr("sys.argv", ["srcore", "train", str(tmp_path / "recipe.yaml"), *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert told in error
    assert "Traceback" not in error
