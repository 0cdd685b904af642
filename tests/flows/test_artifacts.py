from __future__ import annotations

import base64
import io
import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from prefect.logging import disable_run_logger

from flows import artifacts
from flows.artifacts import (
    StageProgress,
    TileFailures,
    artifact_key,
    show_quicklook,
    show_report,
    show_shadows,
    show_table,
)
from srcore import dispatch
from srcore.errors import SourceError, TileError
from srcore.layout import DatasetPaths
from srcore.storage.archive.shadows import Shadowed


@pytest.fixture(autouse=True)
def _server_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever an earlier test saw: this process remembers for ten minutes that a server was away."""
    monkeypatch.setattr(artifacts._Server, "away_at", -artifacts.AWAY_SECONDS)


@pytest.fixture(autouse=True)
def _no_run() -> Iterator[None]:
    with disable_run_logger():
        yield


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What would have gone to the server."""
    calls: list[dict[str, Any]] = []

    def keep(name: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            calls.append({"call": name, "args": args, **kwargs})
            return uuid4()

        return call

    for name in (
        "create_progress_artifact",
        "update_progress_artifact",
        "create_markdown_artifact",
        "create_table_artifact",
        "create_link_artifact",
    ):
        monkeypatch.setattr(artifacts, name, keep(name))
    return calls


@given(st.lists(st.text(max_size=20), min_size=1, max_size=3))
def test_a_key_is_one_that_prefect_takes(parts: list[str]) -> None:
    assert re.fullmatch(r"([a-z0-9]+(-[a-z0-9]+)*)?", artifact_key(*parts))


def test_progress_is_shown_at_most_every_two_seconds_and_at_the_end(shown: list[dict[str, Any]]) -> None:
    now = 0.0
    progress = StageProgress("upscale", "upscale-a-b", clock=lambda: now)
    for done in range(1, 101):
        now += 0.1
        progress(done, 100)
    assert [call["call"] for call in shown] == ["create_progress_artifact"] + ["update_progress_artifact"] * 4
    assert shown[-1]["args"][1] == 100.0
    assert shown[-1]["description"] == "upscale: 100 of 100"


def test_a_stage_of_a_moment_has_no_bar(shown: list[dict[str, Any]]) -> None:
    now = 0.0
    progress = StageProgress("ingest", "ingest-a-b", clock=lambda: now)
    for done in range(1, 11):
        now += 0.1
        progress(done, 10)
    assert shown == []


def test_progress_says_how_long_it_will_take(shown: list[dict[str, Any]]) -> None:
    now = 100.0
    progress = StageProgress("fit", "retrain-fit-a", clock=lambda: now)
    now += 60.0
    for done in (300, 301, 350, 380, 400):  # an earlier run did the first 300 steps
        progress(done, 400)
        now += 3.0 * (350 - 300) if done == 301 else 60.0
    told = [call["description"] for call in shown]
    assert told == [
        "fit: 300 of 400",
        "fit: 301 of 400, 99 min left",
        "fit: 350 of 400, 4 min left",
        "fit: 380 of 400, 68 s left",
        "fit: 400 of 400",
    ]


def test_progress_is_logged_by_tenths(shown: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []

    class Log:
        def info(self, text: str, *args: Any) -> None:
            lines.append(text % args)

    monkeypatch.setattr(artifacts, "get_run_logger", Log)
    progress = StageProgress("plan", None)
    for done in range(1, 1001):
        progress(done, 1000)
    assert len(lines) == 11
    assert lines[-1] == "plan: 1000 of 1000"
    assert shown == []


@pytest.mark.parametrize("fails_at", [1, 2])
def test_a_server_that_is_away_is_asked_once_and_stops_nothing(
    shown: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, fails_at: int
) -> None:
    def away(*args: Any, **kwargs: Any) -> Any:
        shown.append({"call": "away"})
        raise httpx.ConnectError("connection refused")

    name = "create_progress_artifact" if fails_at == 1 else "update_progress_artifact"
    monkeypatch.setattr(artifacts, name, away)
    now = 0.0
    progress = StageProgress("ingest", "ingest-a-b", clock=lambda: now)
    for done in range(1, 11):
        now += 5
        progress(done, 10)
    assert len(shown) == fails_at


def test_tables_carry_no_infinity_and_are_left_out_when_empty(shown: list[dict[str, Any]]) -> None:
    show_table([], "nothing", "key")
    show_table([{"value": float("inf"), "n": 1}], "one row", "Checks", "A", "b_1")
    assert len(shown) == 1
    assert shown[0]["args"] == ([{"value": "inf", "n": 1}],)
    assert shown[0]["key"] == "checks-a-b-1"


@pytest.mark.parametrize("side", [1, 40, 1500])
def test_the_quicklook_goes_as_a_small_jpeg(shown: list[dict[str, Any]], tmp_path: Path, side: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "scene.png")
    show_quicklook(tmp_path / "scene.png", "a", "b", tmp_path / "scene.tif")
    told = shown[0]["args"][0]
    data = base64.b64decode(told.split("data:image/jpeg;base64,")[1].split(")")[0])
    assert len(data) <= 60_000
    picture = Image.open(io.BytesIO(data))
    assert (picture.format, picture.width == picture.height) == ("JPEG", True)
    assert picture.width == min(side, picture.width)
    assert side > 1000 or picture.width == side


def test_the_report_is_linked_by_its_address(shown: list[dict[str, Any]], tmp_path: Path) -> None:
    page = tmp_path / "a <b>.report.html"
    show_report(page, "a", "b")
    assert shown[0]["call"] == "create_link_artifact"
    assert shown[0]["key"] == "report-a-b"
    assert shown[0]["args"] == (page.as_uri(),)
    assert str(page) in shown[0]["link_text"]


def test_a_table_that_is_too_long_says_so(shown: list[dict[str, Any]]) -> None:
    show_table([{"scene": f"s{n}", "n": n} for n in range(1003)], "scenes", "key")
    [rows] = shown[0]["args"]
    assert len(rows) == 1001
    assert rows[-1] == {"scene": "... 3 more rows"}
    assert shown[0]["description"] == "scenes: the first 1000 of 1003 rows"


def test_failed_tiles_become_rows_also_those_that_a_retry_saved() -> None:
    attempts: dict[int, int] = {}

    def work(tile: int) -> int:
        attempts[tile] = attempts.get(tile, 0) + 1
        if tile == 3 and attempts[tile] == 1:
            raise TileError("a tile failed", "a flaky disk")
        if tile == 5:
            raise SourceError("bad pixels", "zeros")
        return tile

    with TileFailures() as failures, pytest.raises(SourceError):
        dispatch.run_tiles(dispatch.each(work), range(8), dispatch.Workers(0), lambda tile: None)
    logging.getLogger("srcore.dispatch").warning("about no tile")
    assert [(row["tile"], row["attempt"]) for row in failures.rows] == [(3, 1), (5, 1)]
    assert failures.rows[0]["error"] == "a tile failed; found a flaky disk"


def test_the_shadow_is_a_table_of_differences(shown: list[dict[str, Any]], tmp_path: Path) -> None:
    places = DatasetPaths(tmp_path / "hills")
    show_shadows(places)
    assert shown == [], "nothing was looked at"
    stopped, when = {"seams.step": "seams.step is 4 x"}, "2026-01-01T00:00:00+00:00"
    figures = ({"seams.step": 4.0, "consistency.ratio": 0.5}, {"consistency.ratio": -0.25})
    Shadowed("east", "tiny", "3", "d" * 64, "2", "e" * 64, when, 1.5, "quarantined", stopped, *figures).save(
        places.shadows
    )
    show_shadows(places)
    [row] = shown[0]["args"][0]
    assert (row["scene"], row["challenger"], row["champion"]) == ("east", "tiny version 3", "2")
    assert (row["would be"], row["stopped by"]) == ("quarantined", "seams.step is 4 x")
    assert row["consistency.ratio, difference"] == -0.25
    assert shown[0]["key"] == "shadow-hills"
