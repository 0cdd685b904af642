"""Tables of the command line: whole at any width, and lines for programs."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.table import Table

from flows.cli.options import out
from flows.cli.tables import print_table

WORDS = ("a_scene_of_a_long_name_20260601", "a reason of several words that says what to do", "/a/path/to/a/file.tif")


def made() -> Table:
    table = Table("scene", "reason", "source", title="night", caption="of one store")
    table.add_row(*WORDS)
    table.add_row("b", "tab\there", "")
    return table


def printed(width: int, *, terminal: bool) -> str:
    file = io.StringIO()
    print_table(Console(file=file, width=width, force_terminal=terminal, color_system=None), made())
    return file.getvalue()


@pytest.mark.parametrize("width", [20, 32, 40, 80, 200])
def test_on_a_terminal_no_letter_is_lost(width: int) -> None:
    told = printed(width, terminal=True)
    assert "…" not in told
    letters = "".join(c for c in told if c not in " \n│┃━┏┳┓┡╇┩└┴┘─")
    for word in WORDS:
        if width in (20, 32, 200):
            assert word.replace(" ", "") in letters
        assert not {*word.replace(" ", "")} - {*letters}


def test_in_a_pipe_a_row_is_a_line() -> None:
    lines = printed(10, terminal=False).splitlines()
    assert lines[:2] == ["# night", "scene\treason\tsource"]
    assert lines[2].split("\t") == list(WORDS)
    assert lines[3].split("\t") == ["b", "tab here", ""]
    assert lines[4] == "# of one store"


@pytest.mark.parametrize("force", ["", "1"], ids=["pipe", "terminal"])
def test_names_are_shown_as_they_are(
    force: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", force)
    name = "ct[a] [/b] :x: [bold]"
    table = Table("scene", "reason", title=name)
    table.add_row(name, name)
    out.print(table)
    out.print(f"report: {name}")
    shown = capsys.readouterr().out
    assert shown.count(name) == 4
