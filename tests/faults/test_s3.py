"""The crash sweep on an object store: a night is killed by the system at requests that change the store."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.faults.conftest import Injected
from tests.s3 import environment, s3_server


@pytest.mark.nightly
def test_killed_at_any_request_the_archive_is_the_old_one_or_the_new_one(tmp_path: Path, injected: Injected) -> None:
    with s3_server() as endpoint:
        command = [sys.executable, "-m", "tests.faults.on_s3", str(tmp_path), endpoint]
        variables = {**os.environ, **environment(endpoint), "SRCORE_SCRATCH": str(tmp_path / "stores")}
        done = subprocess.run(
            command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False, timeout=1800
        )
    assert done.returncode == 0, done.stderr[-4000:]
    told = json.loads(done.stdout.splitlines()[-1])
    injected("night on an object store killed", told["injected"], told["wrong"])
    assert set(told["kinds"]) == {"PUT", "DELETE"}
    assert told["injected"] == 2 * told["points"] >= 24
