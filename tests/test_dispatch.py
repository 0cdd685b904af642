from __future__ import annotations

import os
import signal
import subprocess
import sys
from functools import partial
from importlib import import_module
from pathlib import Path

import pytest

from srcore.dispatch import Workers, _Ledger, each, run_tiles
from srcore.dispatch.cluster import SMALL_VALUES, close_cluster
from srcore.dispatch.tls import refuse_open_scheduler
from srcore.errors import PlanError, SourceError, TileError

pytestmark = pytest.mark.slow


def square(tile: int) -> int:
    return tile * tile


def fails_twice(folder: Path, tile: int) -> int:
    note = folder / f"{tile}"
    note.write_text(note.read_text() + "x" if note.exists() else "x")
    if tile == 3 and len(note.read_text()) <= 2:
        raise RuntimeError("not yet")
    return tile


def poison(tile: int) -> int:
    if tile == 2:
        raise RuntimeError("always")
    return tile


def wrong_input(tile: int) -> int:
    raise SourceError("the source is gone", "nothing", "bring it back")


def killed_once(folder: Path, tile: int) -> int:
    note = folder / f"killed-{tile}"
    if tile == 1 and not note.exists():
        note.write_text("")
        os.kill(os.getpid(), signal.SIGKILL)
    return tile


@pytest.mark.parametrize("workers", [Workers(0), Workers(2)])
@pytest.mark.parametrize("batch", [1, 4])
def test_every_tile_arrives_once(workers: Workers, batch: int) -> None:
    results: list[int] = []
    run_tiles(each(square), range(23), workers, results.append, lambda left, there: batch)
    assert sorted(results) == [n * n for n in range(23)]


def test_tasks_are_cut_when_they_are_handed_out_for_the_workers_that_are_there_then() -> None:
    """A scheduler's workers are not counted by the cores of this machine."""
    ledger = _Ledger(range(100), lambda left, there: min(4, left // (8 * there)), lambda result: None)
    assert len(ledger.next(2) or ()) == 4
    assert len(ledger.next(200) or ()) == 1
    handed = []
    while (several := ledger.next(2)) is not None:
        handed.append(len(several))
    assert (sum(handed), handed[0], handed[-15:]) == (95, 4, [1] * 15)  # smaller at the end: all end together
    assert sorted(handed, reverse=True) == handed


def test_a_failing_tile_is_tried_again(tmp_path: Path) -> None:
    results: list[int] = []
    run_tiles(each(partial(fails_twice, tmp_path)), range(5), Workers(0), results.append, lambda left, there: 5)
    assert sorted(results) == [0, 1, 2, 3, 4]
    assert (tmp_path / "3").read_text() == "xxx"
    assert (tmp_path / "2").read_text() == "x"


def test_a_tile_that_fails_for_good_is_named_and_its_neighbours_finish() -> None:
    results: list[int] = []
    with pytest.raises(TileError, match=r"tile 2 failed 3 times.*RuntimeError: always"):
        run_tiles(each(poison), range(5), Workers(0), results.append, lambda left, there: 2)
    assert sorted(results) == [0, 1, 3, 4]


def test_an_error_that_no_retry_can_mend_is_itself() -> None:
    with pytest.raises(SourceError, match="bring it back"):
        run_tiles(each(wrong_input), range(2), Workers(0), lambda _: None)


def test_a_killed_worker_costs_nothing(tmp_path: Path) -> None:
    results: list[int] = []
    run_tiles(each(partial(killed_once, tmp_path)), range(6), Workers(2), results.append)
    assert sorted(results) == [0, 1, 2, 3, 4, 5]
    assert (tmp_path / "killed-1").exists()


def test_no_scheduler_at_the_address_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_module("srcore.dispatch.cluster"), "CONNECT", "1s")
    with pytest.raises(PlanError, match="no Dask scheduler answers"):
        run_tiles(each(square), range(3), Workers(scheduler="tcp://127.0.0.1:9"), lambda _: None)


@pytest.mark.parametrize(
    "address",
    [
        "tcp://10.0.0.5:8786",
        "tcp://dask.example.org:8786",
        "ucx://192.168.1.4:1",
        "10.0.0.5:8786",
        "[fd00::5]:8786",
        "dask.example.org:8786",
    ],
)
def test_an_open_scheduler_is_refused(address: str) -> None:
    with pytest.raises(PlanError, match="needs TLS"):
        run_tiles(each(square), range(3), Workers(scheduler=address), lambda _: None)


@pytest.mark.parametrize(
    "address",
    ["tcp://127.0.0.1:8786", "tcp://localhost:1", "tcp://[::1]:1", "tls://10.0.0.5:1", "localhost:1", "127.0.0.1:1"],
)
def test_loopback_and_tls_are_not_open(address: str) -> None:
    refuse_open_scheduler(address)


@pytest.mark.parametrize(
    ("workers", "values", "worth"),
    [
        (Workers(), SMALL_VALUES, Workers(0)),
        (Workers(), SMALL_VALUES + 1, Workers()),
        (Workers(2), 1, Workers(2)),
        (Workers(0), 10**12, Workers(0)),
        (Workers(scheduler="tcp://127.0.0.1:1"), 1, Workers(scheduler="tcp://127.0.0.1:1")),
    ],
)
def test_a_small_scene_starts_no_workers_that_nobody_asked_for(workers: Workers, values: int, worth: Workers) -> None:
    assert workers.worth(values) == worth


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
@pytest.mark.parametrize("keep", [True, False])
def test_a_process_that_computes_tiles_keeps_the_memory_of_the_last(keep: bool) -> None:
    """Counted: pages that are faulted in when an array of 64 MiB is made again and again."""
    code = (
        "import resource, numpy; from srcore.dispatch.cluster import keep_memory; "
        f"{'keep_memory()' if keep else 'pass'}; numpy.ones(2**23); before = resource.getrusage(0).ru_minflt; "
        "[numpy.ones(2**23)[0] for _ in range(8)]; print(resource.getrusage(0).ru_minflt - before)"
    )
    # NumPy asks for huge pages where it may: then there are few faults either way
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    ran = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env=plain | {"NUMPY_MADVISE_HUGEPAGE": "0"},
    )
    assert (int(ran.stdout) < 1000) is keep


def test_workers_that_are_slow_to_end_fail_no_run(caplog: pytest.LogCaptureFixture) -> None:
    def too_slow() -> None:
        raise TimeoutError

    close_cluster(too_slow)
    assert "the workers did not end in time: no answer" in caplog.text
