"""Spoiled files end in one line with a code: no traceback, no hang, no flood of memory, nothing half written.

    make test-nightly                                                          300 files
    SRCORE_FUZZ_SEED=7 SRCORE_FUZZ_COUNT=2000 pytest -m nightly tests/fuzz     others, and more

The same seed gives the same files. A case that ends wrong is told with how to run it alone.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.fuzz.mutations import BINARY, TEXT, spoil
from tests.fuzz.seeds import SEEDS

SEED = int(os.environ.get("SRCORE_FUZZ_SEED", "0"))
COUNT = int(os.environ.get("SRCORE_FUZZ_COUNT", "300"))
EVERY_RUN = ("deflate", "packed volume", "beside")
"""Seeds that are met at every run of the tests, a few times each."""


def swept(folder: Path, *options: str) -> dict[str, Any]:
    """What the sweep told."""
    command = [sys.executable, "-m", "tests.fuzz.sweep", str(folder), *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    told: dict[str, Any] = json.loads(done.stdout)
    print(f"{told['cases']} spoiled files, {len(told['wrong'])} ended wrong; {told['ends']}")
    return told


def check(told: dict[str, Any], again: str) -> None:
    assert told["whole"] == {}, "what nothing was done to is published"
    lines = [
        f"{again} --case {case['case']}: {case['seed']}, {case['how']} of {case['file']}: {case['wrong']}"
        for case in told["wrong"]
    ]
    said = told["wrong"][0]["said"] if told["wrong"] else ""
    assert not lines, "\n".join([*lines, said])


@pytest.mark.slow
def test_a_few_spoiled_files_end_in_one_line(tmp_path: Path) -> None:
    only = [part for name in EVERY_RUN for part in ("--only", name)]
    told = swept(tmp_path, "--seed", "1", "--count", "6", *only)
    assert sum(told["ends"].values()) >= 6
    check(told, f"python -m tests.fuzz.sweep FOLDER --seed 1 {' '.join(only)}")


@pytest.mark.nightly
def test_spoiled_files_end_in_one_line(tmp_path: Path) -> None:
    told = swept(tmp_path, "--seed", str(SEED), "--count", str(COUNT))
    assert told["cases"] == COUNT
    check(told, f"python -m tests.fuzz.sweep FOLDER --seed {SEED}")


def test_the_same_seed_spoils_the_same_way_and_always_does() -> None:
    data = bytes(range(256)) * 9, b'{"key": [1, 2.5, "text"]}\n' * 20
    for one, known in zip(data, (BINARY, TEXT), strict=True):
        spoiled = [spoil(one, random.Random(f"0 {number}")) for number in range(200)]
        assert spoiled == [spoil(one, random.Random(f"0 {number}")) for number in range(200)]
        assert all(bytes_ != one for _, bytes_ in spoiled)
        assert {how for how, _ in spoiled} == {mutation.__name__ for mutation in known}
    assert len({seed.name for seed in SEEDS}) == len(SEEDS) >= 20
