"""Workers that somebody else started: they show what they run before they get a tile."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import typer

import srcore
from flows.cli.worker import VISIBLE, chosen_gpu
from srcore import dispatch
from srcore.dispatch import Workers, each, greeting, patience, questions, run_tiles
from srcore.dispatch.crew import Crew
from srcore.errors import PlanError, TileError

pytestmark = pytest.mark.slow

Start = Callable[..., subprocess.Popen[bytes]]
PATHS = os.pathsep.join([str(Path(srcore.__file__).parents[1]), *(path for path in sys.path if path)])


@contextmanager
def started(*arguments: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "dask", *arguments]
    # Elsewhere: what lies where Python starts would be imported first.
    with subprocess.Popen(command, env={**os.environ, **environment}, stderr=subprocess.DEVNULL, cwd="/") as process:
        try:
            yield process
        finally:
            process.kill()


SCHEDULER = ("scheduler", "--host", "127.0.0.1", "--no-dashboard", "--port")


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    port = free_port()
    with started(*SCHEDULER, str(port), PYTHONPATH=PATHS):
        yield f"tcp://127.0.0.1:{port}"


@pytest.fixture
def start(address: str) -> Iterator[Start]:
    """Starts a worker of a name, with another environment; gives its process."""
    with ExitStack() as workers:

        def start(name: str, *more: str, **environment: str) -> subprocess.Popen[bytes]:
            alone = ("--nworkers", "1", "--nthreads", "1", "--memory-limit", "0", "--no-nanny", "--no-dashboard")
            return workers.enter_context(started("worker", address, "--name", name, *alone, *more, **environment))

        yield start


@pytest.fixture(scope="module")
def other_code(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with srcore in which one line differs."""
    folder = tmp_path_factory.mktemp("other")
    code = Path(srcore.__file__).parent
    shutil.copytree(code, folder / "srcore", ignore=shutil.ignore_patterns("__pycache__", "pretrained", "samples"))
    with (folder / "srcore" / "tiling.py").open("a") as file:
        file.write("\n# a mend\n")
    return str(folder)


def who(tile: int) -> tuple[int, str]:
    return tile, os.environ.get("SRCORE_TEST_NAME", "")


def nothing(result: tuple[int, str]) -> None:
    pytest.fail(f"tile {result[0]} was done by {result[1]}")


def there(address: str, count: int) -> None:
    from distributed import Client

    with Client(address, timeout="60s", set_as_default=False) as client:
        if count:
            client.wait_for_workers(count, timeout=60)


def test_only_workers_of_this_code_that_see_the_plan_get_tiles(
    address: str, start: Start, other_code: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text("{}")
    start("other", PYTHONPATH=os.pathsep.join([other_code, PATHS]), SRCORE_TEST_NAME="other")
    there(address, 1)
    where = Workers(scheduler=address)
    with pytest.raises(TileError, match=r"none of the 1 workers .* runs other code of srcore") as refused:
        run_tiles(each(who), range(4), where, nothing, shared=plan)
    assert refused.value.code == "WORKERS_REFUSED"

    start("right", PYTHONPATH=PATHS, SRCORE_TEST_NAME="right")
    there(address, 2)
    done: list[tuple[int, str]] = []
    caplog.clear()
    with caplog.at_level(logging.WARNING, "srcore.dispatch"):
        run_tiles(each(who), range(40), where, done.append, shared=plan)
    assert sorted(done) == [(tile, "right") for tile in range(40)]
    told = [record.getMessage() for record in caplog.records if "is not used" in record.getMessage()]
    assert len(told) == 1
    assert "runs other code of srcore" in told[0]

    gone = tmp_path / "gone.json"
    with pytest.raises(FileNotFoundError):
        gone.read_bytes()
    expected = greeting.greet(str(plan))
    found = greeting.greet(str(gone))
    assert "FileNotFoundError: No such file or directory" in greeting.differs(found, expected)


def test_workers_that_come_while_tiles_run_are_asked_too(address: str, start: Start, other_code: str) -> None:
    start("right", PYTHONPATH=PATHS, SRCORE_TEST_NAME="right")
    there(address, 1)
    done: list[tuple[int, str]] = []

    def arrived(result: tuple[int, str]) -> None:
        if not done:
            start("late other", PYTHONPATH=os.pathsep.join([other_code, PATHS]), SRCORE_TEST_NAME="other")
            start("late right", PYTHONPATH=PATHS, SRCORE_TEST_NAME="late")
            there(address, 3)
        done.append(result)

    run_tiles(each(slowly), range(160), Workers(scheduler=address), arrived)
    assert sorted(tile for tile, _ in done) == list(range(160))
    assert {name for _, name in done} == {"right", "late"}


@pytest.mark.nightly
def test_when_all_that_may_are_gone_those_that_come_do_the_rest(
    address: str, start: Start, other_code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lay on the worker that ended, done and not done, is done by the next."""
    monkeypatch.setattr(dispatch, "ANSWER_SECONDS", 1.0)
    first = start("first", PYTHONPATH=PATHS, SRCORE_TEST_NAME="first")
    there(address, 1)
    done: list[tuple[int, str]] = []

    def arrived(result: tuple[int, str]) -> None:
        if not done:
            start("other", PYTHONPATH=os.pathsep.join([other_code, PATHS]), SRCORE_TEST_NAME="other")
            there(address, 2)
            first.kill()
            start("second", PYTHONPATH=PATHS, SRCORE_TEST_NAME="second")
        done.append(result)

    run_tiles(each(slowly), range(40), Workers(scheduler=address), arrived)
    assert sorted(tile for tile, _ in done) == list(range(40))
    assert {name for _, name in done} == {"first", "second"}


def test_another_version_at_the_address_of_a_worker_that_ended_gets_nothing(
    address: str,
    start: Start,
    other_code: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As where workers have a fixed port: tasks lie there for the one that was asked."""
    monkeypatch.setattr(dispatch, "ANSWER_SECONDS", 1.0)
    fixed = ("--worker-port", str(free_port()))
    first = start("first", *fixed, PYTHONPATH=PATHS, SRCORE_TEST_NAME="first")
    there(address, 1)
    done: list[tuple[int, str]] = []

    def arrived(result: tuple[int, str]) -> None:
        if not done:
            first.kill()
            first.wait()
            start("other", *fixed, PYTHONPATH=os.pathsep.join([other_code, PATHS]), SRCORE_TEST_NAME="other")
            there(address, 1)
            start("right", PYTHONPATH=PATHS, SRCORE_TEST_NAME="right")
        done.append(result)

    with caplog.at_level(logging.WARNING, "srcore.dispatch"):
        run_tiles(each(slowly), range(40), Workers(scheduler=address), arrived)
    assert sorted(tile for tile, _ in done) == list(range(40))
    assert {name for _, name in done} == {"first", "right"}
    told = [record.getMessage() for record in caplog.records]
    assert [line for line in told if "is not used" in line and "runs other code" in line]
    assert not [line for line in told if "attempt" in line]


def slowly(tile: int) -> tuple[int, str]:
    time.sleep(0.05)
    return who(tile)


def test_a_worker_that_stands_still_is_named_and_keeps_nobody(
    address: str, start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(questions, "WORKER_SECONDS", 2.0)
    still = start("still", PYTHONPATH=PATHS, SRCORE_TEST_NAME="still")
    start("right", PYTHONPATH=PATHS, SRCORE_TEST_NAME="right")
    there(address, 2)
    still.send_signal(signal.SIGSTOP)
    done: list[tuple[int, str]] = []
    with caplog.at_level(logging.WARNING, "srcore.dispatch"):
        run_tiles(each(who), range(20), Workers(scheduler=address), done.append)
    assert sorted(done) == [(tile, "right") for tile in range(20)]
    [told] = [record.getMessage() for record in caplog.records]
    assert "gave no answer in 2 s: it is asked again in 30 s" in told


def test_what_lies_with_a_worker_that_falls_silent_goes_to_others_until_it_is_back(
    address: str, start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("srcore.dispatch.crew.SILENT_SECONDS", 3.0)
    still = start("still", PYTHONPATH=PATHS, SRCORE_TEST_NAME="still")
    start("right", PYTHONPATH=PATHS, SRCORE_TEST_NAME="right")
    there(address, 2)
    done: list[tuple[int, str]] = []

    def arrived(result: tuple[int, str]) -> None:
        if not done:
            still.send_signal(signal.SIGSTOP)
        done.append(result)

    with caplog.at_level(logging.WARNING, "srcore.dispatch"):
        run_tiles(each(slowly), range(40), Workers(scheduler=address), arrived)
        assert sorted(tile for tile, _ in done) == list(range(40))
        still.send_signal(signal.SIGCONT)
        run_tiles(each(slowly), range(200), Workers(scheduler=address), lambda result: done.append(result))
    assert {name for _, name in done[40:]} == {"still", "right"}
    told = [record.getMessage() for record in caplog.records]
    assert any("was not heard of for" in line and "its tiles go to others" in line for line in told)


def test_a_scheduler_that_stands_still_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    from distributed import Client

    monkeypatch.setattr(questions, "SCHEDULER_SECONDS", 1.0)
    monkeypatch.setattr(patience, "LOST_SECONDS", 3.0)
    port = free_port()
    with (
        started(*SCHEDULER, str(port), PYTHONPATH=PATHS) as scheduler,
        Client(f"tcp://127.0.0.1:{port}", timeout="60s", set_as_default=False) as client,
    ):
        scheduler.send_signal(signal.SIGSTOP)
        with pytest.raises(TileError) as error:
            patience.wait_for_one(Crew(client, ours=False, shared=None, most=1))
        scheduler.send_signal(signal.SIGCONT)
    assert (error.value.code, error.value.found) == ("NO_SCHEDULER", "it does not answer")


def test_a_scheduler_without_workers_is_told_of_before_the_patience_ends(
    address: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(patience, "WORD_SECONDS", 0.5)
    monkeypatch.setattr(patience, "IDLE_SECONDS", 4.0)
    with caplog.at_level(logging.WARNING, "srcore.dispatch"), pytest.raises(TileError) as error:
        run_tiles(each(who), range(4), Workers(scheduler=address), nothing)
    assert error.value.code == "NO_WORKERS"
    told = [record.getMessage() for record in caplog.records]
    assert told == [f"no worker at {address} that may do tiles: waiting for one, 4 s at most"]


def test_a_worker_says_what_it_ran_when_it_was_asked_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An upgrade under it changes its files, and not what it has loaded."""
    monkeypatch.delattr(sys, greeting.REMEMBERED, raising=False)
    before = greeting.greet(None)["code"]
    monkeypatch.setattr(Path, "read_bytes", lambda path: b"another version")
    assert greeting.greet(None)["code"] == before
    monkeypatch.delattr(sys, greeting.REMEMBERED)
    assert greeting.greet(None)["code"] != before
    monkeypatch.delattr(sys, greeting.REMEMBERED)


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("code", greeting.NONE, "has no srcore"),
        ("code", "0123456789ab", "runs other code of srcore (0123456789ab, here"),
        ("distributed", "2020.1.0", "has distributed 2020.1.0, here"),
        ("torch", greeting.NONE, "has torch none, here"),
        ("shared", "PermissionError: Permission denied", "cannot read the plan (PermissionError: Permission denied)"),
        ("shared", "0" * 64, "another file lies there"),
    ],
)
def test_each_difference_is_one_line(tmp_path: Path, key: str, value: str, told: str) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text("{}")
    expected = greeting.greet(str(plan))
    assert greeting.differs(greeting.greet(str(plan)), expected) == ""
    why = greeting.differs({**expected, key: value}, expected)
    assert told in why
    assert "\n" not in why


def test_a_scheduler_without_srcore_ends_the_scene(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that was started again while tiles were done."""
    ids = iter(["Scheduler-1", "Scheduler-2"])

    def ask(client: object, question: Callable[..., object], *told: object) -> object:
        if question.__name__ == "roll":
            return next(ids), {"tcp://a": ("Worker-1", 0.0, False, 0, [])}
        return {"code": "0123456789ab" if crew._scheduler == "Scheduler-1" else greeting.NONE, "host": "here"}

    monkeypatch.setattr("srcore.dispatch.crew.ask_scheduler", ask)
    monkeypatch.setattr("srcore.dispatch.crew.ask_workers", lambda client, question, told, new: {})
    crew = Crew(None, ours=False, shared=None, most=2)  # type: ignore[arg-type]  # nobody is asked
    assert crew.look() == []
    crew.look_at_once()
    with pytest.raises(TileError, match="has no srcore") as error:
        crew.look()
    assert error.value.code == "WORKERS_REFUSED"


@contextmanager
def without_srcore(program: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Dask's scheduler or worker, in an environment that has Dask and no srcore."""
    code = f"import sys; sys.modules['srcore'] = None; from distributed.cli.dask_{program} import main; main()"
    command = [sys.executable, "-c", code, *arguments]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, cwd="/") as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_scheduler_that_cannot_import_srcore_is_told_before_any_worker_comes() -> None:
    address = f"tcp://127.0.0.1:{free_port()}"
    with without_srcore(*SCHEDULER, address.rpartition(":")[2]):
        there(address, 0)
        with pytest.raises(
            TileError, match=r"^the Dask scheduler on \S+ has no srcore; .*install this version"
        ) as error:
            run_tiles(each(who), range(4), Workers(scheduler=address), nothing)
    assert (error.value.code, "\n" in str(error.value)) == ("WORKERS_REFUSED", False)


def test_a_worker_that_cannot_import_srcore_gets_nothing(address: str) -> None:
    alone = ("--nworkers", "1", "--nthreads", "1", "--no-nanny", "--no-dashboard", "--name", "bare")
    with without_srcore("worker", address, *alone):
        there(address, 1)
        with pytest.raises(TileError, match=r"none of the 1 workers .* has no srcore: install this version") as error:
            run_tiles(each(who), range(4), Workers(scheduler=address), nothing)
    assert (error.value.code, "\n" in str(error.value)) == ("WORKERS_REFUSED", False)


@pytest.mark.parametrize("authority", [None, "/nowhere/ca.pem"])
def test_tls_without_a_certificate_is_told_before_anything_waits(authority: str | None) -> None:
    import dask
    import distributed  # noqa: F401  # its defaults are read with it

    names = {f"distributed.comm.tls.{key}": authority for key in ("ca-file", "client.cert", "client.key")}
    with dask.config.set(names), pytest.raises(PlanError) as error:
        run_tiles(each(who), range(4), Workers(scheduler="tls://127.0.0.1:1"), nothing)
    assert error.value.code == "NO_TLS"
    assert ("No such file" if authority else "no certificate") in str(error.value)


def test_workers_with_a_gpu_of_their_own_do_a_scene_alone(address: str, start: Start, tmp_path: Path) -> None:
    """A GPU is what the worker was started with: no machine of the tests has one."""
    start("cores", PYTHONPATH=PATHS, SRCORE_TEST_NAME="cores")
    start("gpu", "--resources", "GPU=1", PYTHONPATH=PATHS, SRCORE_TEST_NAME="gpu")
    there(address, 2)
    done: list[tuple[int, str]] = []
    run_tiles(each(who), range(20), Workers(scheduler=address), done.append)
    assert sorted(done) == [(tile, "gpu") for tile in range(20)]
    from distributed import Client

    with Client(address, set_as_default=False) as client:
        crew = Crew(client, ours=False, shared=None, most=1)
        assert (len(crew.look()), crew.on_gpu) == (1, True)  # those with a GPU are asked first


def test_a_scene_stays_on_the_devices_that_it_began_on() -> None:
    crew = Crew(None, ours=False, shared=None, most=3)  # type: ignore[arg-type]  # nobody is asked
    crew.with_gpu = {"b"}
    assert crew._alike([]) == []
    assert crew._alike(["a", "c"]) == ["a", "c"]
    assert crew._alike(["a", "b"]) == ["a"]  # came later: it is for the next scene
    crew = Crew(None, ours=False, shared=None, most=3)  # type: ignore[arg-type]
    crew.with_gpu = {"b"}
    assert crew._alike(["a", "b"]) == ["b"]
    assert crew._alike(["a"]) == []


@pytest.mark.parametrize(
    ("device", "count", "visible", "gpu"),
    [
        ("auto", 0, None, None),
        ("auto", 2, None, "0"),
        ("auto", 2, "", None),
        ("auto", 2, "-1", None),
        ("auto", 12, "GPU-5a, 3", "GPU-5a"),
        ("cpu", 2, None, None),
        ("cuda", 2, None, "0"),
        ("cuda:1", 2, None, "1"),
        ("cuda:10", 12, None, "10"),
        ("cuda:1", 2, "1,0", "0"),
    ],
)
def test_a_worker_takes_one_gpu_of_those_that_it_may_see(
    device: str, count: int, visible: str | None, gpu: str | None, tmp_path: Path
) -> None:
    for name in ["nvidiactl", "nvidia-uvm", *(f"nvidia{number}" for number in range(count))]:
        (tmp_path / name).touch()
    assert chosen_gpu(device, {} if visible is None else {VISIBLE: visible}, tmp_path) == gpu


@pytest.mark.parametrize("device", ["cuda:2", "gpu", "cuda:", "cuda:-1", "mps"])
def test_a_gpu_that_is_not_there_is_bad_usage(device: str, tmp_path: Path) -> None:
    for name in ("nvidia0", "nvidia1"):
        (tmp_path / name).touch()
    with pytest.raises(typer.BadParameter):
        chosen_gpu(device, {}, tmp_path)


def until(event: str) -> None:
    from distributed import Event

    Event(event).wait(60)


def test_no_more_workers_are_asked_than_there_is_work_for_and_first_those_who_are_idle() -> None:
    from distributed import Client, Event, LocalCluster

    here = LocalCluster(n_workers=6, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0")
    with here, Client(here, set_as_default=False) as client:
        there = sorted(client.nthreads())
        busy = [client.submit(until, "end", pure=False, workers=[one]) for one in there[:4]]
        while sum(map(len, client.processing().values())) < len(busy):
            time.sleep(0.01)
        crew = Crew(client, ours=False, shared=None, most=2)
        assert crew.look() == there[4:]
        assert Crew(client, ours=False, shared=None, most=5).look()[-2:] == there[4:]
        assert Crew(client, ours=False, shared=None, most=6).look() == there
        crew.refused[there[4]] = "another version"  # then there may be more of them
        crew._looked = float("-inf")
        assert crew.look() == [*there[:4], there[5]]
        Event("end", client=client).set()


def test_a_gpu_that_comes_back_is_asked_however_many_cores_were() -> None:
    """Of a scene of one tile two workers are asked; those without a GPU do not stand for the one that it waits for."""
    from distributed import Client, LocalCluster, Worker

    with (
        LocalCluster(n_workers=5, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0") as here,
        Client(here, set_as_default=False) as client,
    ):
        cores = sorted(client.nthreads())
        crew = Crew(client, ours=False, shared=None, most=2)
        crew.on_gpu, crew._asked = True, set(cores[:2])  # it began on one that was killed
        assert crew.look() == []

        async def join() -> Worker:
            return await Worker(here.scheduler_address, nthreads=1, resources={"GPU": 1}, dashboard=False)

        back = here.sync(join)
        crew._looked = float("-inf")
        assert crew.look() == [back.address]
        assert crew._asked == {*cores[:2], back.address}  # and no more of the others
        here.sync(back.close)
