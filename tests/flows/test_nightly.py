from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prefect.client.schemas.objects import StateType
from typer.testing import CliRunner

from flows import nightly
from flows.nightly import MAX_NAMED, night_state, run_night, summary
from flows.upscale import outcome_state, upscale_scene
from srcore.catalog import Catalog
from srcore.dispatch import Workers
from srcore.errors import SourceError
from srcore.run import dataset, scene
from srcore.run.night.book import Book
from srcore.run.outcome import Outcome

FAILED = Outcome("T32", "failed", "BAD_SOURCE", "no raster")


def test_the_summary_counts_every_scene_and_names_those_without_product() -> None:
    night = [("s2", Outcome(f"ok{n}", "published")) for n in range(38)] + [("s2", FAILED)]
    assert summary(night) == "38 published, 1 failed: s2/T32 (BAD_SOURCE)"
    assert summary([]) == "no scenes"
    assert summary([("s2", Outcome("", "failed", "BAD_CATALOG"))]) == "1 failed: s2 (BAD_CATALOG)"


def test_the_summary_stays_one_line_of_bearable_length() -> None:
    night = [("s2", Outcome(f"scene-{n}", "failed", "BAD_SOURCE")) for n in range(1000)]
    assert summary(night).count("scene-") == MAX_NAMED
    assert summary(night).startswith("1000 failed: ")


def test_a_night_fails_when_any_scene_is_without_product() -> None:
    good = [("s2", Outcome("a", "published")), ("s2", Outcome("b", "degraded")), ("s2", Outcome("c", "up to date"))]
    assert night_state(good).type == StateType.COMPLETED
    assert night_state([*good, ("s2", FAILED)]).type == StateType.FAILED
    assert night_state([*good, ("s2", Outcome("d", "quarantined", "BAD_GRID"))]).type == StateType.FAILED


def test_the_state_of_a_scene_says_what_became_of_it() -> None:
    assert outcome_state(Outcome("a", "up to date")).message == "a: up to date"
    state = outcome_state(FAILED)
    assert (state.type, state.message) == (StateType.FAILED, "T32: failed, BAD_SOURCE: no raster")


def test_a_scene_that_is_not_there_is_a_failed_run_of_one_line(catalog_path: Path) -> None:
    state = upscale_scene.fn(str(catalog_path), "hills", "nowhere")
    assert state.type == StateType.FAILED
    assert state.message == ("nowhere: failed, BAD_CATALOG: dataset hills has no scene 'nowhere'; see `srcore status`")


@pytest.mark.parametrize("error", [SourceError("no such folder"), OSError("stale file handle")])
def test_a_dataset_that_cannot_be_looked_at_does_not_stop_the_others(catalog_path: Path, error: Exception) -> None:
    def run(catalog: Catalog, dataset: str, book: Book) -> list[Outcome]:
        if dataset == "hills":
            raise error
        return [Outcome("a", "published")]

    night = run_night(catalog_path, None, run)
    assert [(name, outcome.result) for name, outcome in night] == [("hills", "failed"), ("on-demand", "published")]


def test_workers_are_started_once_and_only_for_a_scene_that_comes_so_far(
    catalog_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Workers] = []

    @contextmanager
    def cluster(workers: Workers) -> Iterator[Workers]:
        started.append(workers)
        yield Workers(0)

    monkeypatch.setattr(scene, "cluster", cluster)
    with scene.scene_runner(Workers(2)) as run:
        assert [one.result for one in dataset.run_dataset(catalog_path, "hills", run, scene="broken")] == ["failed"]
        assert started == []
        assert len(dataset.run_dataset(catalog_path, "hills", run)) == 3
    assert started == [Workers(2)]


def test_python_m_flows_nightly_needs_no_server(catalog_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import typer

    monkeypatch.setenv("SRCORE_WORKERS", "0")
    app = typer.Typer()
    app.command()(nightly.main)
    first = CliRunner().invoke(app, ["--catalog", str(catalog_path), "--dataset", "hills"])
    assert first.exit_code == 1
    assert "1 failed: hills/broken (NOT_SUPPORTED)" in first.output
    (catalog_path.parent / "in" / "broken.tif").unlink()
    second = CliRunner().invoke(app, ["--catalog", str(catalog_path)])
    assert second.exit_code == 0
    assert second.output.startswith("2 up to date; note: on-demand: source './none/*.tif' gives no scene")
    third = CliRunner().invoke(app, ["--catalog", str(catalog_path.parent / "none.yaml")])
    assert third.exit_code == 2
    assert third.output.startswith("error: ")
