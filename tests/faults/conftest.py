"""Counts the faults that are injected and the wrong outputs that are seen, and says so at the end of the tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.faults import archive

Injected = Callable[..., None]

Told = Mapping[str, Any]

SWEEPS = {
    "killed": ["kill"],
    "disk full": ["full"],
    "killed while a product is replaced": ["kill", "--replace", "--only", "products"],
    "disk full while a product is replaced": ["full", "--replace", "--only", "products"],
    "control": ["kill", "--replace", "--control", "--only", "products"],
}
"""Arguments of `tests.faults.crash`."""

INJECTED: Counter[str] = Counter()
WRONG: list[str] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The crash sweep's results are asked for last: it takes minutes, and runs beside the other tests."""
    ours = [item for item in items if item.path.parent.name == "faults"]
    places = [place for place, item in enumerate(items) if item in ours]
    for place, item in zip(places, sorted(ours, key=lambda item: item.path.name == "test_crash.py"), strict=True):
        items[place] = item


@pytest.fixture(scope="session", autouse=True)
def sweeps(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[str, Future[Told]]]:
    """Each sweep of the crash test, begun when the first test here begins, on the cores that pytest leaves."""
    wanted = SWEEPS if any(item.path.name == "test_crash.py" for item in request.session.items) else {}
    with ThreadPoolExecutor(max(1, len(os.sched_getaffinity(0)) - 1)) as pool:
        yield {name: pool.submit(_sweep, tmp_path_factory.mktemp("sweep"), options) for name, options in wanted.items()}
        pool.shutdown(wait=False, cancel_futures=True)


def _sweep(folder: Path, options: list[str]) -> Told:
    command = [sys.executable, "-m", "tests.faults.crash", str(folder), *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=1200)
    assert done.returncode == 0, done.stderr[-4000:]
    told: Told = json.loads(done.stdout.splitlines()[-1])
    return told


@pytest.fixture
def injected() -> Injected:
    """Note that `count` faults of a kind were injected, and which wrong outputs were seen; asserts that none was."""

    def note(kind: str, count: int = 1, wrong: Sequence[str] = ()) -> None:
        INJECTED[kind] += count
        WRONG.extend(wrong)
        assert not wrong, "\n".join(wrong)

    return note


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    """The catalog of an archive of one scene of six tiles."""
    archive.write_scene(tmp_path / "in" / "scene.tif", seed=1, shape=(40, 68))
    return archive.write_catalog(tmp_path)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The two numbers that count, and the faults by kind."""
    if INJECTED:
        terminalreporter.section("faults")
        for kind, count in INJECTED.items():
            terminalreporter.line(f"{count:5d}  {kind}")
        terminalreporter.line(f"faults injected: {INJECTED.total()}, wrong outputs: {len(WRONG)}")
