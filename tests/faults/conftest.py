"""Counts the faults that are injected and the wrong outputs that are seen, and says so at the end of the tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.faults import archive

Injected = Callable[..., None]

INJECTED: Counter[str] = Counter()
WRONG: list[str] = []


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
    archive.write_scene(tmp_path / "in" / "scene.tif", seed=1, shape=(40, 67))
    return archive.write_catalog(tmp_path)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The two numbers that count, and the faults by kind."""
    if INJECTED:
        terminalreporter.section("faults")
        for kind, count in INJECTED.items():
            terminalreporter.line(f"{count:5d}  {kind}")
        terminalreporter.line(f"faults injected: {INJECTED.total()}, wrong outputs: {len(WRONG)}")
