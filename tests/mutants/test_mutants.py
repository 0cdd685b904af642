"""Every mutant is found by the tests that must find it: `make test-mutants`, or nightly. At once only that they fit.

A mutant is a copy of the project with one fault in it. Its tests run with -x, in the copy, so nothing here changes.
"""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.mutants.archive import ARCHIVE
from tests.mutants.mutant import Mutant
from tests.mutants.publication import PUBLICATION

MUTANTS = (*PUBLICATION, *ARCHIVE)

LIMIT_S = 1500
"""Of the tests of a mutant: a fault that makes them hang is found, too."""
PARTS = ("srcore", "flows", "tests", "benchmarks", "pyproject.toml", "README.md", "data_catalog.yaml", "docs", "infra")
TESTS_FAILED = 1
"""How pytest ends then; anything else is a mutant that does not even start."""


def by_name(mutant: Mutant) -> str:
    return mutant.name.replace(" ", "-")


def mutated(mutant: Mutant, root: Path) -> Mapping[Path, str]:
    """The files of a mutant below `root`, as they become."""
    texts: dict[Path, str] = {}
    for change in mutant.changes:
        path = root / "srcore" / change.file
        text = texts.get(path, path.read_text())
        assert text.count(change.old) == 1, f"{mutant.name}: {text.count(change.old)} places in {change.file}"
        texts[path] = text.replace(change.old, change.new)
    return texts


def test_there_are_many_and_each_has_a_name_of_its_own() -> None:
    assert len(MUTANTS) >= 50
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)


@pytest.mark.parametrize("mutant", MUTANTS, ids=by_name)
def test_a_mutant_applies_at_one_place_and_its_tests_are_there(mutant: Mutant) -> None:
    for path, text in mutated(mutant, ROOT).items():
        ast.parse(text, str(path))
    for test in mutant.tests:
        file, _, function = test.partition("::")
        assert (
            f"def {function}(" in (ROOT / "tests" / file).read_text() if function else (ROOT / "tests" / file).is_file()
        )


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project as it stands."""
    folder = tmp_path_factory.mktemp("mutants") / "project"
    folder.mkdir()
    for name in PARTS:
        ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def table(request: pytest.FixtureRequest) -> Iterator[list[str]]:
    """A line a mutant, told at the end."""
    lines: list[str] = []
    yield lines
    reporter = request.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        reporter.section("mutants")
        for line in lines:
            reporter.line(line)


@pytest.mark.nightly
@pytest.mark.parametrize("test", sorted({test for mutant in MUTANTS for test in mutant.tests}))
def test_without_a_mutant_they_pass(test: str, copy: Path) -> None:
    assert killer(test, copy) == ""


@pytest.mark.nightly
@pytest.mark.parametrize("mutant", MUTANTS, ids=by_name)
def test_a_mutant_is_found(mutant: Mutant, copy: Path, table: list[str]) -> None:
    began, found = time.monotonic(), "SURVIVED"
    before = {path: path.read_text() for path in mutated(mutant, copy)}
    try:
        for path, text in mutated(mutant, copy).items():
            path.write_text(text)
        for test in mutant.tests:
            if who := killer(test, copy):
                found = who
                break
    finally:
        for path, text in before.items():
            path.write_text(text)
    table.append(f"{time.monotonic() - began:6.0f} s  {mutant.name}: {found}")
    assert found != "SURVIVED"


def killer(test: str, copy: Path) -> str:
    """The test that fails, of a file or by its own name; empty where all pass."""
    # no cache: a file that changes twice within a second and keeps its size would be taken from it
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", f"tests/{test}"]
    try:
        done = subprocess.run(
            command, cwd=copy, env=environment, capture_output=True, text=True, check=False, timeout=LIMIT_S
        )
    except subprocess.TimeoutExpired:
        return f"{test} hangs"
    if done.returncode == 0:
        return ""
    assert done.returncode == TESTS_FAILED, done.stdout[-3000:] + done.stderr[-1000:]
    return next((line.split(" ")[1] for line in done.stdout.splitlines() if line.startswith("FAILED")), test)
