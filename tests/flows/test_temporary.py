"""Prefect's temporary folder has one name for all users of a machine: a second user gets another."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from flows.service.temporary import SHARED, use_own_temporary


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("there", [True, False])
def test_what_may_be_written_is_used(machine: Path, there: bool) -> None:
    if there:
        (machine / SHARED).mkdir()
    use_own_temporary()
    assert (tempfile.gettempdir(), os.environ["TMPDIR"]) == (str(machine), str(machine))


@pytest.mark.parametrize("before", ["nothing", "a folder", "a link", "a file"])
def test_of_another_user_s_folder_nothing_is_wanted(
    machine: Path, monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    (machine / SHARED).mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != SHARED)  # root may write anywhere
    own = machine / f"srcore-{os.getuid()}"
    if before == "a folder":
        own.mkdir()
    elif before == "a link":
        own.symlink_to(machine / SHARED)
    elif before == "a file":
        own.touch()
    use_own_temporary()
    found = Path(tempfile.gettempdir())
    assert os.environ["TMPDIR"] == str(found)
    assert found.is_dir()
    assert found.parent == machine
    assert found.name not in (SHARED, machine.name)
    assert (found == own) == (before in ("nothing", "a folder"))
    assert not list((machine / SHARED).iterdir())
