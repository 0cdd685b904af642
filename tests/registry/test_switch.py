"""A champion changes whole or not at all: killed behind every step, run again, on registries that take no change."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from tempfile import gettempdir
from typing import Any, Protocol

import pytest

from flows.cli import main
from flows.cli.models import _registered
from srcore.checkpoints import CHALLENGER, CHAMPION
from srcore.errors import StoreError
from srcore.registry.client import whole
from srcore.registry.identity import check_writable, memory_of
from srcore.registry.mlflow_store import DIGEST, Registry, open_registry, refuse_unready
from srcore.registry.references import resolve
from tests.registry.conftest import checkpoint

pytest.importorskip("mlflow", reason="the registry needs MLflow (extra: train)")

CHANGES = (
    "set_registered_model_tag",
    "set_model_version_tag",
    "set_registered_model_alias",
    "delete_registered_model_alias",
    "delete_registered_model_tag",
)
"""What a change of a champion asks MLflow to write."""


def with_three(registry: Registry, name: str = "tiny") -> None:
    """Version 2 was promoted over 1, and 3 is challenger; none of them has files."""
    registry.client.create_registered_model(name)
    for number in "123":
        registry.client.create_model_version(name, f"file:///{name}/{number}", None, tags={DIGEST: number * 64})
    registry.client.set_registered_model_alias(name, CHAMPION, "1")
    registry.promote(name, "2", who="first")
    registry.client.set_registered_model_alias(name, CHALLENGER, "3")


class _Dying:
    """A client whose process is killed behind so many writes."""

    def __init__(self, client: Any, after: int) -> None:
        self.client, self.left = client, after

    def __getattr__(self, name: str) -> Any:
        real = getattr(self.client, name)
        if name not in CHANGES:
            return real

        def call(*arguments: Any) -> Any:
            if not self.left:
                raise KeyboardInterrupt
            self.left -= 1
            return real(*arguments)

        return call


def state(registry: Registry, name: str) -> tuple[str, str, list[tuple[str, str, str, str]]]:
    """Who is champion and who challenger, and what is told of changes."""
    both = [one.version if (one := registry.find(name, alias)) else "" for alias in ("champion", "challenger")]
    told = [(one.what, one.before, one.after, one.who) for one in registry.history(name)]
    return both[0], both[1], told


class Closing(Protocol):
    """What holds something until it is closed."""

    def close(self) -> None: ...


FIRST = ("promote", "1", "2", "first")
BEFORE = ("2", "3", [FIRST])


@pytest.mark.parametrize(
    ("what", "after"),
    [
        ("promote", ("3", "", [FIRST, ("promote", "2", "3", "me")])),
        ("rollback", ("1", "3", [FIRST, ("rollback", "2", "1", "me")])),
    ],
)
def test_killed_behind_any_step_a_champion_is_that_before_or_after_and_run_again_it_is_done_once(
    what: str, after: tuple[str, str, list[tuple[str, str, str, str]]]
) -> None:
    registry = open_registry(create=True)
    seen, steps = [], 0
    while True:
        name = f"tiny-{steps}"
        with_three(registry, name)
        dying = open_registry()
        dying.client = _Dying(dying.client, steps)
        try:
            getattr(dying, what)(name, who="me")
        except KeyboardInterrupt:
            seen.append(state(registry, name))
        else:
            break
        assert getattr(registry, what)(name, who="me").version == after[0]
        assert state(registry, name) == after
        steps += 1
    assert state(registry, name) == after
    assert steps == {"promote": 6, "rollback": 4}[what], "every write was a point"
    turn = seen.index(after)
    assert seen == [BEFORE] * turn + [after] * (steps - turn), "never between, and never back"
    assert 0 < turn < steps


def test_another_change_behind_a_kill_finishes_the_first() -> None:
    registry = open_registry(create=True)
    for steps, told in ((1, []), (3, [("promote", "2", "3", "me")])):
        name = f"other-{steps}"
        with_three(registry, name)
        dying = open_registry()
        dying.client = _Dying(dying.client, steps)
        with pytest.raises(KeyboardInterrupt):
            dying.promote(name, who="me")
        registry.promote(name, "1", who="you")
        was = "3" if told else "2"
        assert state(registry, name)[0] == "1"
        assert state(registry, name)[2] == [FIRST, *told, ("promote", was, "1", "you")]


def test_a_first_version_whose_registration_was_killed_becomes_champion(tmp_path: Path) -> None:
    registry = open_registry(create=True)
    dying = open_registry()
    dying.client = _Dying(dying.client, 0)
    with pytest.raises(KeyboardInterrupt):
        dying.register(checkpoint(tmp_path / "1", 1))
    assert registry.find("tiny", "champion") is None
    assert registry.register(tmp_path / "1").aliases == ("champion",)
    assert registry.register(checkpoint(tmp_path / "2", 2)).aliases == ()


KILLED = """
import os, signal, sys
import mlflow
left = int(sys.argv[1])
def killing(name):
    real = getattr(mlflow.MlflowClient, name)
    def call(*arguments, **more):
        global left
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return real(*arguments, **more)
    setattr(mlflow.MlflowClient, name, call)
for name in sys.argv[2].split(","):
    killing(name)
sys.argv = ["srcore", "models", *sys.argv[3:]]
from flows.cli import main
from flows.cli.models import _registered
main()
"""


@pytest.mark.nightly
@pytest.mark.parametrize(("what", "steps", "after"), [("promote", 6, "3"), ("rollback", 4, "1")])
def test_the_command_killed_by_kill_9_behind_any_step_finishes_when_it_is_run_again(
    tmp_path: Path, what: str, steps: int, after: str
) -> None:
    for step in range(steps):
        name = f"tiny-{step}"
        with_three(open_registry(create=True), name)
        command = [sys.executable, "-c", KILLED, str(step), ",".join(CHANGES), what, name]
        assert subprocess.run(command, timeout=120).returncode == -signal.SIGKILL
        champion = open_registry().find(name, "champion")
        assert champion is not None
        assert champion.version in ("2", after)
        subprocess.run([sys.executable, "-m", "srcore", "models", what, name], timeout=120, check=True)
        assert state(open_registry(), name)[0] == after
        assert len(open_registry().history(name)) == 2


# a registry that takes no change


def _held(words: str) -> Callable[[Path], Closing]:
    """Another program that holds the registry's file, by SQL."""

    def hold(database: Path) -> Closing:
        opened = sqlite3.connect(database, isolation_level=None)
        opened.execute(words)
        return opened

    return hold


def _with(content: bytes | None, at: int = 0) -> Callable[[Path], Closing | None]:
    """Its bytes are others; None: it is gone."""

    def write(database: Path) -> None:
        if content is None:
            database.unlink()
        else:
            database.write_bytes(database.read_bytes()[:at] + content)

    return write


class _Server:
    """An address at which nobody answers, or nobody is."""

    def __init__(self, *, there: bool) -> None:
        self.there = there

    def __call__(self, database: Path) -> Closing:
        server = socket.create_server(("127.0.0.1", 0))
        os.environ["SRCORE_REGISTRY"] = f"http://127.0.0.1:{server.getsockname()[1]}"
        if not self.there:
            server.close()
        return server


FAULTS: dict[str, tuple[Callable[[Path], Closing | None], str, str]] = {
    "gone": (_with(None), "REGISTRY_CHANGED", "was there, and is gone"),
    "never there": (_with(None), "NO_REGISTRY", "there is no registry of models yet"),
    "written by another": (_held("begin immediate"), "REGISTRY_AWAY", "another program has held it for"),
    "held by another": (_held("begin exclusive"), "REGISTRY_AWAY", "another program has held it for"),
    "no database": (_with(b"no database" * 100), "REGISTRY_DAMAGED", "is damaged; found file is not a database"),
    "damaged inside": (_with(b"?" * 90000, 4096), "REGISTRY_DAMAGED", "is damaged"),
    "without its history": (_with(b""), "REGISTRY_CHANGED", "is not the one that stood there"),
    "a silent server": (_Server(there=True), "REGISTRY_AWAY", "no answer in"),
    "no server": (_Server(there=False), "REGISTRY_AWAY", "does not answer"),
}


def ended(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[object, str]:
    monkeypatch.setattr(sys, "argv", ["srcore", "models", *words])
    with pytest.raises(SystemExit) as exited:
        main()
    return exited.value.code, capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("what", ["promote", "rollback"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_registry_that_takes_no_change_is_one_line_and_stays_as_it_is(
    template: Path,
    database: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    what: str,
    fault: str,
) -> None:
    shutil.copytree(template / "registry", database.parent)
    if fault != "never there":
        [known] = (template / "cache/models/registries").iterdir()
        shutil.copytree(known, memory_of(f"sqlite:///{database}"))
    monkeypatch.setattr("srcore.registry.identity.LOCK_S", 0.2)
    monkeypatch.setattr("srcore.registry.identity.PATIENCE_S", 0.5)
    break_it, code, told = FAULTS[fault]
    with ExitStack() as stack:
        if (held := break_it(database)) is not None:
            stack.callback(held.close)
        before = database.read_bytes() if database.exists() else b""
        status, line = ended(monkeypatch, capsys, what, "tiny")
    assert status in (1, 2)
    assert line.startswith("error: ")
    assert line.endswith(f"[{code}]")
    assert told in line
    if before:  # MLflow makes its tables in an empty file
        assert database.read_bytes() == before


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry with three versions, made once."""
    folder = tmp_path_factory.mktemp("template")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SRCORE_REGISTRY", f"sqlite:///{folder}/registry/registry.db")
        patch.setenv("SRCORE_CACHE", str(folder / "cache"))
        registry = open_registry(create=True)
        registry._experiment()
        with_three(registry)
    return folder


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")
def test_a_file_that_another_user_may_only_read_is_told_before_anything_is_done(
    template: Path,
) -> None:
    """By a child that is nobody; the library alone, since nobody may not read all that a test can."""
    place = Path(gettempdir()) / f"srcore-readonly-{os.getpid()}.db"
    shutil.copy(template / "registry/registry.db", place)
    place.chmod(0o444)
    child = os.fork()
    if not child:
        os.setuid(65534)
        try:
            check_writable(f"sqlite:///{place}")
        except StoreError as error:
            os._exit(7 if error.code == "NOT_WRITABLE" and "readonly" in error.found else 8)
        os._exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    place.unlink()


def test_what_fills_the_disk_or_takes_the_rights_in_between_has_its_own_code(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = open_registry(create=True)
    with_three(registry)
    for found, code in (
        ("(sqlite3.OperationalError) database or disk is full", "DISK_FULL"),
        ("(sqlite3.OperationalError) attempt to write a readonly database", "NOT_WRITABLE"),
        ("(sqlite3.OperationalError) database is locked", "REGISTRY_AWAY"),
    ):

        def fails(*_: object, words: str = found) -> None:
            raise RuntimeError(words)

        with monkeypatch.context() as patch:
            patch.setattr(registry.client, "set_registered_model_alias", fails)
            with pytest.raises(StoreError) as refused:
                registry.promote("tiny")
        assert refused.value.code == code
        assert state(registry, "tiny") == BEFORE
    assert registry.promote("tiny").version == "3"


def test_a_registry_that_is_gone_is_not_taken_for_none_and_the_models_that_ship_for_its_own(
    tmp_path: Path, database: Path, caplog: pytest.LogCaptureFixture
) -> None:
    open_registry(create=True).register(checkpoint(tmp_path / "1", 1), "srcore-x2")
    database.unlink()
    with pytest.raises(StoreError, match="was there, and is gone"):
        resolve("srcore-x2@champion")  # never fetched here: whose champion it was nobody knows
    assert _registered() == []
    assert "was there, and is gone" in caplog.text, "`models list` says why it has none"


def test_more_than_a_page_of_models_is_listed(tmp_path: Path) -> None:
    registry = open_registry(create=True)
    for i in range(103):
        registry.client.create_registered_model(f"a-{i}")
    registry.register(checkpoint(tmp_path / "1", 1), "zuletzt")
    assert [one.name for one in registry.versions()] == ["zuletzt"]
    assert resolve("zuletzt@champion").version == "1"


class _Page(list[int]):
    token = ""


def test_a_list_in_pages_is_read_to_its_end() -> None:
    asked = []

    def search(question: str | None, page_token: str | None) -> _Page:
        asked.append((question, page_token))
        first = int(page_token or 0)
        page = _Page(range(first, min(first + 100, 250)))
        page.token = str(first + 100) if first < 200 else ""
        return page

    assert whole(search, "name = 'x'") == list(range(250))
    assert asked == [("name = 'x'", token) for token in (None, "100", "200")]


def test_a_silent_server_is_told_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("SRCORE_REGISTRY", f"http://me:secret@127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        with pytest.raises(StoreError) as refused:
            refuse_unready()
    assert time.monotonic() - began < 5
    assert "secret" not in str(refused.value)


def test_a_look_whether_a_registry_can_be_written_changes_nothing(database: Path) -> None:
    with_three(open_registry(create=True))
    with closing(sqlite3.connect(database)) as opened:
        opened.execute("pragma user_version = 7")
    before = database.read_bytes()
    check_writable(f"sqlite:///{database}")
    assert database.read_bytes() == before
    assert [one.name for one in database.parent.iterdir()] == ["registry.db"]


def test_a_promotion_by_number_leaves_the_challenger_of_another_round() -> None:
    registry = open_registry(create=True)
    with_three(registry)
    registry.client.create_model_version("tiny", "file:///tiny/4", None, tags={DIGEST: "4" * 64})
    assert registry.promote("tiny", "4").version == "4"
    assert state(registry, "tiny") == ("4", "3", [FIRST, ("promote", "2", "4", "")])
