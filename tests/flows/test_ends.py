"""How a command ends: interrupted, ungated, beside another run; each says what is, and has its exit code."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from flows.cli import EXIT_CODES
from flows.interrupt import Reached, interruptible
from srcore.layout import DatasetPaths, lease_path
from srcore.storage.disk.leases import acquire
from tests.conftest import ROOT

Srcore = Callable[..., tuple[int, str, str]]

SLOW = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests themselves run in the background
from flows.cli import main
from srcore.storage.work.tile_store import TileStore
write = TileStore.write_sr
def slowly(self, *args, **kwargs):
    print("tile", flush=True)
    time.sleep(0.5)
    return write(self, *args, **kwargs)
TileStore.write_sr = slowly
sys.argv = ["srcore", *sys.argv[1:]]
main()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_says_how_to_go_on(
    number: int, srcore: Srcore, tmp_path: Path, write_raster: Callable[..., Path], landscape: Callable[..., np.ndarray]
) -> None:
    source = write_raster(landscape(1, (768, 768)))
    command = ["upscale", str(source), str(tmp_path / "sr.tif"), "--model", "bicubic-x2", "--workers", "0"]
    command += ["--tile", "256"]
    with subprocess.Popen(
        [sys.executable, "-c", SLOW, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert [process.stdout.readline() for _ in range(4)] == ["tile\n"] * 4
        process.send_signal(number)
        said = process.stderr.read().splitlines()[-1]
    assert process.returncode == 130
    tiles, total = [int(word) for word in said.split() if word.isdigit()]
    assert said.startswith(f"interrupted; run again to go on from {tiles} of 9 tiles; they lie in ")
    assert total == 9
    assert not (tmp_path / "sr.tif").exists()
    assert srcore(*command)[0] == 0
    assert not (tmp_path / ".sr.srcore").exists()


def test_before_the_first_tile_nothing_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    cleared: list[int] = []

    def clear(reached: Reached) -> str:
        cleared.append(reached.tiles)
        return ""

    def run() -> None:
        with interruptible(clear) as found:
            found.watch(lambda name, stage: stage(lambda done, total: None))("ingest", lambda progress: progress(1, 2))
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)

    with pytest.raises(SystemExit) as ended:
        run()
    assert ended.value.code == 130
    assert cleared == [0]
    assert capsys.readouterr().err == "interrupted; in stage ingest, before the first tile was done; run again\n"


def test_what_did_not_pass_a_gate_is_not_called_published(
    srcore: Srcore, tmp_path: Path, write_raster: Callable[..., Path], landscape: Callable[..., np.ndarray]
) -> None:
    source = write_raster(landscape(1, (64, 64)))
    command = ("upscale", source, tmp_path / "sr.tif", "--model", "nearest-x2", "--workers", 0, "--sharpen", "3")
    assert srcore(*command)[0] == 3
    code, said, _ = srcore(*command, "--no-validate")
    assert code == 4
    assert "written although gate " in said
    assert "quarantined" not in said


def test_every_exit_code_is_in_the_help_and_in_the_readme(srcore: Srcore) -> None:
    told = " ".join(srcore("--help")[1].split())
    readme = " ".join((ROOT / "README.md").read_text().split())
    for code in (0, 1, 2, 3, 4, 130):
        assert f" {code} " in EXIT_CODES.replace("\n", " ")
        assert f" {code} " in told
        assert f" {code} " in readme.partition("Exit codes:")[2][:400]


def test_a_scene_that_another_run_publishes_is_no_failure(srcore: Srcore, catalog_path: Path) -> None:
    (catalog_path.parent / "in" / "broken.tif").unlink()
    command = [sys.executable, "-m", "flows.cli", "run", "hills", "--catalog", str(catalog_path), "--workers", "0"]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for _ in range(2)]
    said = [run.communicate(timeout=300)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], said
    places = DatasetPaths(catalog_path.parent / "archive" / "hills")
    assert all(places.product(scene, ".tif").receipt.exists() for scene in ("east", "west"))


def test_what_another_run_held_and_left_is_done_here(srcore: Srcore, catalog_path: Path) -> None:
    (catalog_path.parent / "in" / "broken.tif").unlink()
    places = DatasetPaths(catalog_path.parent / "archive" / "hills")
    command = ("run", "hills", "--catalog", catalog_path, "--workers", 0)
    lease = acquire(lease_path(places.scratch("east")))
    code, said, _ = srcore(*command, "--wait", 0)
    assert code == 1
    assert "is in the hands of another run" in said.replace("\n", " ")
    threading.Timer(1.0, lease.release).start()
    assert srcore(*command)[0] == 0
    assert places.product("east", ".tif").receipt.exists()
