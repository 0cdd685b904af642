"""`srcore status`: what needs a person and the exit code, totals as JSON, and a running night that is watched."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.cli.status import _picture
from srcore.catalog import load_catalog
from srcore.layout import DatasetPaths
from srcore.run.attention import nights_of
from srcore.run.dataset import Way, each_due
from srcore.run.night.book import open_book
from srcore.run.outcome import Outcome
from srcore.run.states import SceneState
from srcore.storage.archive.nights import Running

Srcore = Callable[..., tuple[int, str, str]]


def night(catalog: Path, result: Callable[[str], Outcome]) -> None:
    """A night of `hills` whose scenes end as `result` says."""
    loaded = load_catalog(catalog)
    with open_book(loaded, "hills") as book:
        book.end(each_due(loaded, "hills", lambda state, again: result(state.scene), way=Way(book=book)))


def needs(srcore: Srcore, catalog: Path) -> tuple[int, list[str]]:
    code, said, _ = srcore("status", "hills", "--catalog", catalog, "--json")
    return code, [f"{one['scene']}: {one['why']}" for one in json.loads(said)["attention"]]


def test_nothing_needs_a_person_where_scenes_only_wait(srcore: Srcore, catalog_path: Path) -> None:
    code, said, _ = srcore("status", "--catalog", catalog_path, "--json")
    found = json.loads(said)
    assert code == 0
    assert found["totals"] == {"scenes": 3, "attention": 0, "states": {"new": 3}}
    assert found["nights"] == {name: {"last": None, "running": None} for name in ("hills", "on-demand")}
    assert srcore("status", "--catalog", catalog_path)[0] == 0


def test_a_run_by_hand_is_a_night_in_the_book(srcore: Srcore, catalog_path: Path) -> None:
    here = ("--catalog", catalog_path)
    assert srcore("run", "hills", *here, "--workers", 0)[0] == 1
    last = json.loads(srcore("status", "hills", *here, "--json")[1])["nights"]["hills"]["last"]
    assert (last["scenes"], last["published"], last["failed"], last["new_failures"]) == (3, 2, 1, ["broken"])
    assert "2 published, 1 failed" in srcore("status", "hills", *here)[1]
    assert srcore("run", "hills", *here, "--workers", 0, "--scene", "east", "--force")[0] == 0  # no night
    assert json.loads(srcore("status", "hills", *here, "--json")[1])["nights"]["hills"]["last"] == last


def test_a_run_by_hand_beside_a_night_is_in_no_book(
    srcore: Srcore, catalog_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with open_book(load_catalog(catalog_path), "hills") as book:
        assert srcore("run", "hills", "--catalog", catalog_path, "--workers", 0, "--limit", 1)[0] == 1
        assert "another night of hills goes on; this run goes on beside it, and is in no book" in caplog.text
        assert book.nights.nights == ()
    assert nights_of(load_catalog(catalog_path), "hills")[0].nights == ()


def test_quarantine_gone_sources_and_a_failed_night_need_one_and_are_named(srcore: Srcore, catalog_path: Path) -> None:
    here = ("--catalog", catalog_path)
    assert srcore("run", "hills", *here, "--workers", 0)[0] == 1
    code, told = needs(srcore, catalog_path)
    assert code == 1
    [one] = told
    assert one.startswith("broken: quarantined: NOT_SUPPORTED: ")
    told_lines = srcore("status", *here)[1]
    assert "needs a person: hills/broken: quarantined: NOT_SUPPORTED" in told_lines
    assert re.search(r"(?m)last night, \S+ 2 published, 1 failed$", told_lines)
    assert srcore("run", "hills", *here, "--workers", 0)[0] == 0
    assert re.search(r"(?m)last night, \S+ 0 published, 1 without a product as before$", srcore("status", *here)[1])
    assert srcore("run", "hills", *here, "--dry-run")[0] == 0  # it only says what would be done
    srcore("quarantine", "ignore", "hills", "broken", "--by", "ada", "--why", "cut short", *here)
    assert needs(srcore, catalog_path) == (0, [])
    (catalog_path.parent / "in/east.tif").unlink()
    code, told = needs(srcore, catalog_path)
    assert (code, [one.partition(": pub")[0] for one in told]) == (1, ["east: gone"])
    night(catalog_path, lambda scene: Outcome(scene, "failed", "X", "y"))  # nothing is due: all is well
    assert len(needs(srcore, catalog_path)[1]) == 1
    (catalog_path.parent / "in/west.tif").write_bytes(b"another file")
    night(catalog_path, lambda scene: Outcome(scene, "failed", "X", "y"))
    code, told = needs(srcore, catalog_path)
    assert told[1].startswith(": the last night, of 20")
    assert told[1].endswith("failed: west")


def test_damage_that_an_audit_found_needs_one(srcore: Srcore, catalog_path: Path) -> None:
    (catalog_path.parent / "in/broken.tif").unlink()
    here = ("--catalog", catalog_path)
    srcore("run", "hills", *here, "--workers", 0)
    product = catalog_path.parent / "archive/hills/products/west/west.tif"
    product.write_bytes(bytes(product.stat().st_size))
    srcore("audit", "hills", *here)
    code, told = needs(srcore, catalog_path)
    assert code == 1
    [one] = told
    assert one.startswith("west: ")
    assert "PRODUCT_DAMAGED: " in one


def test_a_night_that_was_killed_is_said(srcore: Srcore, catalog_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        night(catalog_path, _kill)
    code, told = needs(srcore, catalog_path)
    assert code == 1
    assert "was interrupted: 0 of 3 scenes" in told[0]
    night(catalog_path, lambda scene: Outcome(scene, "published"))
    assert needs(srcore, catalog_path) == (0, [])


def _kill(scene: str) -> Outcome:
    raise KeyboardInterrupt


@pytest.mark.parametrize("as_json", [False, True])
def test_a_running_night_is_watched_from_another_process_until_it_ends(catalog_path: Path, as_json: bool) -> None:
    loaded = load_catalog(catalog_path)
    watching, command = threading.Event(), [sys.executable, "-m", "flows.cli", "status", "hills", "--watch"]
    lines: list[str] = []

    def watch() -> None:
        options = ["--catalog", str(catalog_path), *(["--json"] if as_json else [])]
        with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                lines.append(line.rstrip("\n"))
                watching.set()

    watcher = threading.Thread(target=watch)

    def do(state: SceneState, again: bool) -> Outcome:
        if state.scene == "broken":
            watcher.start()
        assert watching.wait(60)
        return Outcome(state.scene, "failed" if state.scene == "broken" else "published", code="X")

    with open_book(loaded, "hills") as book:
        outcomes = each_due(loaded, "hills", do, way=Way(book=book))
        assert nights_of(loaded, "hills")[1] is not None
        book.end(outcomes)
    watcher.join(60)
    if as_json:
        first = json.loads(lines[0])
        assert (first["scenes"], first["done"], first["working"]) == (3, 0, ["broken: plan"])
    else:
        assert lines[0] == "hills: 0 of 3 scenes, 0 published, 0 failed, 0 of 0.153 MP (broken: plan)"
        assert lines[-1] == "hills: the night ended: 2 published, 1 failed, 0 left"
    assert not DatasetPaths(catalog_path.parent / "archive/hills").night.exists()


def test_watching_where_no_night_runs_says_so(srcore: Srcore, catalog_path: Path) -> None:
    assert srcore("status", "--watch", "--catalog", catalog_path)[:2] == (0, "no night runs\n")
    assert srcore("status", "nowhere", "--watch", "--catalog", catalog_path)[0] == 2


def test_a_terminal_shows_the_night_its_bar_and_what_is_worked_on() -> None:
    began = "2026-01-01T00:00:00+00:00"
    night = Running("hills", began, began, 3, 1, 1, 0, 4_000_000, 1_000_000, ("west: upscale 3 of 6",))
    words, bar, doing = str(_picture([night])).splitlines()
    assert words == "hills: 1 of 3 scenes, 1 published, 0 failed, 1.0 of 4.0 MP"
    assert bar == "#" * 10 + "." * 30
    assert doing == "  west: upscale 3 of 6"
