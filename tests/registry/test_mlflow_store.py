"""References: what they mean, that they keep their meaning when the registry is away, and that bytes are checked."""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from flows.cli import main
from srcore.checkpoints import BUILTIN, read_spec
from srcore.errors import CheckpointError, SRError, StoreError
from srcore.registry.client import translated
from srcore.registry.mlflow_store import Registry, open_registry, refuse_unready
from srcore.registry.page import page_command
from srcore.registry.references import resolve
from srcore.registry.told import Told
from srcore.settings import load_settings
from tests.registry.conftest import checkpoint

pytest.importorskip("mlflow", reason="the registry needs MLflow (extra: train)")


def test_a_builtin_and_a_folder_stand_for_themselves(tmp_path: Path, database: Path) -> None:
    assert resolve("srcore-x2").folder == BUILTIN / "srcore-x2"
    assert resolve(str(checkpoint(tmp_path / "one", 1))).digest == read_spec(tmp_path / "one").digest
    assert not database.exists()


def test_the_champion_of_a_shipped_name_is_what_ships_until_one_is_registered(database: Path) -> None:
    model = resolve("srcore-x2@champion")
    assert (model.folder, model.version) == (BUILTIN / "srcore-x2", "")
    assert not database.exists()


@pytest.mark.parametrize("reference", ["tiny@champion", "srcore-x2@challenger", "tiny@7"])
def test_what_nobody_registered_is_refused(tmp_path: Path, reference: str) -> None:
    with pytest.raises(StoreError, match="no registry of models yet"):
        resolve(reference)
    open_registry(create=True).register(checkpoint(tmp_path / "one", 1), "other")
    with pytest.raises(CheckpointError, match=f"the registry has no {reference}"):
        resolve(reference)


def test_versions_aliases_promotion_and_rollback(tmp_path: Path) -> None:
    registry = open_registry(create=True)
    one = registry.register(checkpoint(tmp_path / "one", 1), told=Told(metrics={"psnr": 30.5}))
    assert (one.version, one.aliases, one.metrics) == ("1", ("champion",), {"psnr": 30.5})
    assert one.licence == "Apache-2.0"
    assert registry.register(tmp_path / "one").version == "1"  # known already
    two = registry.register(checkpoint(tmp_path / "two", 2))
    registry.name_challenger(two)
    assert resolve("tiny@champion").digest == one.digest
    assert resolve("tiny@challenger").digest == resolve("tiny@2").digest == two.digest
    assert registry.promote("tiny").aliases == ("champion",)
    model = resolve("tiny@champion")
    assert (model.version, model.digest, model.registered) == ("2", two.digest, "tiny@champion")
    with pytest.raises(CheckpointError, match="no challenger to promote"):
        registry.promote("tiny")
    assert registry.rollback("tiny", who="me", why="seams").version == "1"
    told = [(one.what, one.before, one.after, one.who, one.why, one.when[:2]) for one in registry.history("tiny")]
    assert told == [("promote", "1", "2", "", "", "20"), ("rollback", "2", "1", "me", "seams", "20")]
    with pytest.raises(CheckpointError, match="no champion before"):
        registry.rollback("tiny")


def test_a_registry_that_is_away_leaves_the_verified_copy(
    tmp_path: Path, database: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    open_registry(create=True).register(checkpoint(tmp_path / "one", 1))
    before = resolve("tiny@champion")
    database.rename(database.with_suffix(".away"))
    caplog.set_level(logging.WARNING)
    assert resolve("tiny@champion") == before
    assert "stays version 1" in caplog.text
    database.write_bytes(b"not a database" * 100)
    assert resolve("tiny@champion") == before
    monkeypatch.setenv("SRCORE_REGISTRY", "http://127.0.0.1:9")
    with pytest.raises(StoreError, match="does not answer"):
        resolve("tiny@champion")  # another registry's champion is none of this one's


@pytest.mark.parametrize(
    ("said", "code"),
    [("No space left on device", "DISK_FULL"), ("Permission denied", "NOT_WRITABLE"), ("File too large", "BAD_STORE")],
)
def test_what_the_disk_says_of_a_download_is_told(said: str, code: str, database: Path) -> None:
    with (
        pytest.raises(StoreError, match=re.escape(f"[Errno 1] {said}")) as caught,
        translated("a model is not fetched"),
    ):
        raise RuntimeError(f"The following failures occurred:\n\n##### File model #####\n[Errno 1] {said}: 'model'")
    assert caught.value.code == code
    with pytest.raises(StoreError, match="RuntimeError") as caught, translated("not fetched"):
        raise RuntimeError
    assert caught.value.code in ("REGISTRY_AWAY", "REGISTRY_DAMAGED")


@pytest.mark.parametrize("folder", ["o [x] ü", "a#b", "a%20b"])
def test_a_registry_may_lie_in_a_folder_of_any_name(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / folder).mkdir()
    monkeypatch.setenv("SRCORE_REGISTRY", f"sqlite:///{tmp_path}/{folder}/registry.db")
    open_registry(create=True).register(checkpoint(tmp_path / "one", 1))
    assert resolve("tiny@champion").version == "1"
    assert {path.name for path in (tmp_path / folder).iterdir()} >= {"registry.db", "registry.files"}


@pytest.mark.parametrize("address", ["sqlite:///a?b.db", "sqlite:///", "sqlite:/// a.db", "http://", "ftp://a"])
def test_an_address_of_no_registry_is_refused(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SRCORE_REGISTRY", address)
    with pytest.raises(SRError, match="SRCORE_REGISTRY"):
        load_settings()


def test_another_registry_is_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_registry(create=True).register(checkpoint(tmp_path / "one", 1))
    ours = resolve("tiny@champion")
    monkeypatch.setenv("SRCORE_REGISTRY", f"sqlite:///{tmp_path}/other.db")
    with pytest.raises(StoreError, match="no registry of models yet"):
        resolve("tiny@champion")
    open_registry(create=True).register(checkpoint(tmp_path / "two", 2))
    assert resolve("tiny@champion").digest not in ("", ours.digest)


def test_a_registry_that_is_moved_away_does_not_begin_anew(
    tmp_path: Path, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_registry(create=True).register(checkpoint(tmp_path / "one", 1))
    before = resolve("tiny@champion")
    away = database.rename(database.with_suffix(".away"))
    for ask in (refuse_unready, lambda: open_registry(create=True)):
        with pytest.raises(StoreError, match="was there, and is gone; found no file; restore it, or remove") as refused:
            ask()
        assert refused.value.code == "REGISTRY_CHANGED"
    assert not database.exists()
    other = Registry(f"sqlite:///{tmp_path}/other.db")
    other.register(tmp_path / "one", "other")
    (tmp_path / "other.db").rename(database)
    # MLflow keeps the file that it has opened under an address, so the same file gets another one
    monkeypatch.setenv("SRCORE_REGISTRY", f"sqlite:///{database.parent}/../{database.parent.name}/{database.name}")
    for ask in (refuse_unready, lambda: resolve("tiny@champion")):
        with pytest.raises(StoreError, match="is not the one that stood there"):
            ask()
    away.replace(database)
    monkeypatch.setenv("SRCORE_REGISTRY", f"sqlite:///{database}")
    refuse_unready()
    assert resolve("tiny@champion") == before


def test_what_would_end_a_training_is_said_before_it(
    tmp_path: Path, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_unready()  # there never was one
    assert not database.exists()
    open_registry(create=True).register(checkpoint(tmp_path / "one", 1))
    with database.open("r+b") as file:  # its structure, not its header
        file.seek(4096)
        file.write(b"?" * 4096)
    with pytest.raises(StoreError, match="is damaged") as refused:
        refuse_unready()
    assert refused.value.code == "REGISTRY_DAMAGED"
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("SRCORE_REGISTRY", f"http://127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        with pytest.raises(StoreError, match="does not answer; found no answer in 4 s") as slow:
            refuse_unready()
        assert time.monotonic() - began < 5
    assert slow.value.code == "REGISTRY_AWAY"


def test_a_damaged_copy_is_fetched_again_or_refused(tmp_path: Path, database: Path) -> None:
    open_registry(create=True).register(checkpoint(tmp_path / "one", 1))
    weights = resolve("tiny@champion").folder / "model.safetensors"
    good = weights.read_bytes()
    weights.write_bytes(good[:-1] + b"?")
    assert resolve("tiny@champion").folder == weights.parent
    assert weights.read_bytes() == good
    weights.write_bytes(good[:-1] + b"?")
    os.rename(database, database.with_suffix(".away"))
    with pytest.raises(CheckpointError, match="is not the model that was registered"):
        resolve("tiny@champion")


def test_a_damaged_or_misnamed_checkpoint_is_not_registered(tmp_path: Path, database: Path) -> None:
    folder = checkpoint(tmp_path / "one", 1)
    with pytest.raises(CheckpointError, match="cannot be the name of a model"):
        open_registry(create=True).register(folder, "My model")
    (folder / "model.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError, match="not the model"):
        open_registry(create=True).register(folder)


REACHED = """
import sys
from pathlib import Path
asked = ("socket.connect", "socket.getaddrinfo")
sys.addaudithook(lambda event, found: print("reached", found) if event in asked else None)
from srcore.registry.references import resolve
from srcore.registry.mlflow_store import Registry, open_registry, refuse_unready
open_registry(create=True).register(Path(sys.argv[1]))
print(resolve("tiny@champion").version)
"""


def test_all_versions_of_a_name_have_one_scale(tmp_path: Path) -> None:
    registry = open_registry(create=True)
    registry.register(checkpoint(tmp_path / "one", 1))
    with pytest.raises(CheckpointError, match=r"scale 4 x 4, bands any, tiny is raster, scale 2 x 2"):
        registry.register(BUILTIN / "srcore-x4", "tiny")


def test_weights_that_cannot_be_fetched_leave_the_last_copy(tmp_path: Path, database: Path) -> None:
    registry = open_registry(create=True)
    registry.register(checkpoint(tmp_path / "one", 1))
    before = resolve("tiny@champion")
    two = registry.register(checkpoint(tmp_path / "two", 2))
    registry.promote("tiny", two.version)
    database.with_suffix(".files").rename(tmp_path / "away")
    assert resolve("tiny@champion") == before
    (tmp_path / "away").rename(database.with_suffix(".files"))
    assert resolve("tiny@champion").digest == two.digest


def test_nothing_is_sent_or_fetched(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "one", 1)
    told = subprocess.run(
        [sys.executable, "-c", REACHED, str(folder)], capture_output=True, text=True, timeout=120, check=True
    )
    assert told.stdout == "1\n"


def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def call(*arguments: str) -> str:
        monkeypatch.setattr("sys.argv", ["srcore", "models", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        found = capsys.readouterr()
        assert ended.value.code == 0, found.err
        return found.out

    assert "tiny version 1: champion" in call("import", str(checkpoint(tmp_path / "one", 1)))
    assert "tiny version 2: no alias" in call("import", str(checkpoint(tmp_path / "two", 2)))
    assert "tiny version 2: champion" in call("promote", "tiny", "--version", "2")
    assert "champion" in call("list")
    assert "tiny version 1: champion" in call("rollback", "tiny", "--why", "seams at night")
    assert json.loads(call("history", "tiny", "--json"))["changes"][1]["why"] == "seams at night"
    assert '"name": "tiny"' in call("show", "tiny@champion")


def test_the_page_needs_a_registry_and_the_full_mlflow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def ended() -> tuple[object, str]:
        monkeypatch.setattr(sys, "argv", ["srcore", "models", "ui", "--port", "5999"])
        with pytest.raises(SystemExit) as exited:
            main()
        return exited.value.code, capsys.readouterr().err.splitlines()[-1]

    assert ended()[1].endswith("srcore models import FOLDER makes one [NO_REGISTRY]")
    open_registry(create=True).register(checkpoint(tmp_path / "one", 1))
    if not find_spec("flask"):  # the server's
        told = "error: the page of the registry needs the full MLflow; found its client alone; pip install"
        status, line = ended()
        assert (status, line.startswith(told), line.endswith("'srcore[train,ui]' [NOT_INSTALLED]")) == (1, True, True)
    monkeypatch.setattr("srcore.registry.page.version", lambda name: "3")
    started = page_command(5999)
    assert started[started.index("--host") + 1] == "127.0.0.1"
    assert started[started.index("--backend-store-uri") + 1] == f"sqlite:///{tmp_path}/registry/registry.db"
    monkeypatch.setenv("SRCORE_REGISTRY", "https://me:secret@models.example:5000")
    status, line = ended()
    assert status == 2
    assert "the registry is a server; found models.example:5000; open its address" in line


def test_a_name_with_a_quote_is_nobodys_and_a_strangers_model_stops_nothing(tmp_path: Path) -> None:
    open_registry(create=True).register(checkpoint(tmp_path / "one", 1))
    registry = open_registry()
    registry.client.create_registered_model("O'Neil's \"own\"")
    assert [one.name for one in registry.versions()] == ["tiny"]
    for ask in (
        lambda: registry.promote("tiny'; drop table x"),
        lambda: registry.rollback("a' or name != '"),
        lambda: registry.history("tiny' AND name = 'tiny"),
        lambda: registry.history("nobody"),
        lambda: resolve("tiny'@champion"),
    ):
        with pytest.raises(CheckpointError) as refused:
            ask()
        assert refused.value.code == "UNKNOWN_MODEL"


def test_a_change_by_another_program_is_told_and_none_is_no_change(tmp_path: Path) -> None:
    registry = open_registry(create=True)
    registry.register(checkpoint(tmp_path / "one", 1))
    assert registry.promote("tiny", "1").version == "1"
    assert registry.history("tiny") == [], "it is champion already"
    registry.register(checkpoint(tmp_path / "two", 2), "tiny")
    registry.promote("tiny", "2", who="me")
    registry.client.set_registered_model_alias("tiny", "champion", "1")
    first, last = registry.history("tiny")
    assert (first.what, first.before, first.after, first.who) == ("promote", "1", "2", "me")
    assert (last.what, last.before, last.after, last.who) == ("promote", "2", "1", "")
    assert last.why.startswith("nobody recorded it")


def test_a_damaged_registry_is_called_so_by_every_command_and_a_night_goes_on(tmp_path: Path, database: Path) -> None:
    open_registry(create=True).register(checkpoint(tmp_path / "one", 1))
    registry, champion = open_registry(), resolve("tiny@champion")
    database.write_bytes(b"no database")
    for ask in (
        lambda: registry.promote("tiny", "1"),
        lambda: registry.rollback("tiny"),
        lambda: registry.history("tiny"),
        open_registry,
    ):
        with pytest.raises(StoreError) as refused:
            ask()
        assert refused.value.code == "REGISTRY_DAMAGED"
    assert resolve("tiny@champion").digest == champion.digest, "by its verified copy"
