"""The reason codes: the table and the raise sites agree, and what a code means is what happens."""

from __future__ import annotations

import ast
import json
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli import app, main
from srcore.codes import CODES, UNKNOWN, look_up, page
from srcore.dispatch import Workers, each, run_tiles
from srcore.errors import GridError, PlanError, SourceError, SRError, StoreError, TileError, in_words
from srcore.storage.archive.quarantine import Quarantine

ROOT = Path(__file__).parent.parent
CARRIERS = {"code"}
"""Names that pass a code on."""


def strings(node: ast.AST) -> set[str]:
    return {one.value for one in ast.walk(node) if isinstance(one, ast.Constant) and isinstance(one.value, str)}


def passes_on(node: ast.expr) -> bool:
    name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
    return name in CARRIERS


def raised(tree: ast.AST, wrong: list[str], where: str) -> Iterator[str]:
    """Codes that a module gives to errors: by keyword, as the default of a class, or to an outcome."""
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "code":
            if not strings(node.value) and not passes_on(node.value):
                wrong.append(f"{where}:{node.value.lineno}: a code that cannot be found by its name")
            yield from strings(node.value)
        elif isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "code" for t in node.targets):
            yield from strings(node.value)


def compared(tree: ast.AST) -> Iterator[str]:
    """Codes that a module asks for: `error.code == "X"`, `error.code in ("X", "Y")`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and isinstance(node.left, ast.Attribute) and node.left.attr == "code":
            for other in node.comparators:
                yield from strings(other)


def test_every_code_that_is_raised_is_explained_and_the_other_way_round() -> None:
    found: set[str] = set()
    asked: set[str] = set()
    wrong: list[str] = []
    for path in sorted([*(ROOT / "srcore").rglob("*.py"), *(ROOT / "flows").rglob("*.py")]):
        tree = ast.parse(path.read_text())
        found |= set(raised(tree, wrong, str(path.relative_to(ROOT))))
        asked |= set(compared(tree)) - {""}
    assert wrong == []
    assert found == set(CODES)
    assert asked <= found


def test_the_search_for_codes_finds_what_it_should() -> None:
    wrong: list[str] = []
    text = 'class E(X):\n    code = "A"\nE("w", code="B" if x else "C")\nE(code=error.code)\nE(code=f(x))'
    assert set(raised(ast.parse(text), wrong, "m")) == {"A", "B", "C"}
    assert wrong == ["m:5: a code that cannot be found by its name"]
    assert set(compared(ast.parse('error.code in ("A", "B") or e.code != "C"'))) == {"A", "B", "C"}


def test_every_entry_is_one_sentence_each() -> None:
    for name, code in CODES.items():
        assert name == name.upper()
        for text in (code.means, code.do):
            assert text.endswith("."), name
            assert "|" not in text, name
            assert "\n" not in text, name


def test_the_page_is_the_one_that_the_table_makes() -> None:
    assert (ROOT / "docs" / "codes.md").read_text() == page(), "run `make docs`"


def test_the_code_decides_and_not_the_class() -> None:
    assert not SourceError("cut", code="TRUNCATED").retryable
    assert SourceError("no right", code="NOT_READABLE").retryable
    assert not PlanError("never", code="TOO_LARGE").retryable
    assert PlanError("tonight", code="NO_MEMORY").retryable
    assert StoreError("disk").retryable
    assert not StoreError("there", code="OUTPUT_EXISTS").retryable
    again = pickle.loads(pickle.dumps(PlanError("a", "b", "c", code="NO_MEMORY")))
    assert (again.code, again.retryable, str(again)) == ("NO_MEMORY", True, "a; found b; c")


def test_a_code_of_another_version_waits_for_a_change() -> None:
    assert look_up("FROM_THE_FUTURE") is UNKNOWN
    assert not SRError("x", code="FROM_THE_FUTURE").retryable


def test_memory_that_ran_out_is_no_fault_of_the_scene() -> None:
    assert (in_words(MemoryError("x")).code, in_words(KeyError("x")).code) == ("NO_MEMORY", "UNEXPECTED")


@pytest.mark.parametrize(
    ("error", "attempts", "told"),
    [
        (StoreError("torn"), 3 * 3, "tile 0, 1, 2 failed 3 times; found torn"),
        (TileError("NaN", code="TILE_NONFINITE"), 3, "tile 0, 1, 2: NaN"),
        (GridError("other"), 3, "other"),
        (StoreError("full", code="DISK_FULL"), 1, "full"),
    ],
)
def test_tiles_are_tried_again_as_their_code_says(error: SRError, attempts: int, told: str) -> None:
    seen: list[int] = []

    def work(tile: int) -> None:
        seen.append(tile)
        raise error

    with pytest.raises(SRError, match=told) as caught:
        run_tiles(each(work), [0, 1, 2], Workers(0), lambda result: None)
    assert len(seen) == attempts
    assert caught.value.code == error.code


@pytest.mark.parametrize("code", ["TOO_LARGE", "BAD_SOURCE", "A_CODE_THAT_IS_GONE"])
def test_a_record_of_the_version_before_still_loads(tmp_path: Path, code: str) -> None:
    record = {
        "attempts": 2,
        "code": code,
        "code_version": "0.1.0",
        "configuration": "0" * 64,
        "log": ["a line"],
        "message": "the run does not fit in memory",
        "retryable": True,
        "scene": "a",
        "sources": [{"path": "in/a.tif", "sha256": "", "size_bytes": 1, "mtime_ns": 1}],
        "tiles": [],
        "when": "2026-11-20T02:00:00+00:00",
    }
    (tmp_path / "a.json").write_text(json.dumps(record))
    found = Quarantine.load(tmp_path / "a.json")
    assert found is not None
    assert (found.code, found.retryable, found.attempts) == (code, True, 2)


def test_explain_tells_one_and_all_to_people_and_programs() -> None:
    one = CliRunner().invoke(app, ["explain", "[disk_full]"])
    assert one.exit_code == 0
    assert one.stdout.splitlines()[0] == f"DISK_FULL: {CODES['DISK_FULL'].means}"
    everything = json.loads(CliRunner().invoke(app, ["explain", "--json"]).stdout)
    assert [row["code"] for row in everything] == sorted(CODES)
    assert all(row.keys() == {"code", "means", "do", "retry", "ends_scene"} for row in everything)
    assert "TRUNCATED" in CliRunner().invoke(app, ["explain"]).stdout
    wrong = CliRunner().invoke(app, ["explain", "DISKFULL"])
    assert wrong.exit_code == 2
    assert "did you mean DISK_FULL" in wrong.output


def test_an_error_on_the_command_line_ends_with_its_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["srcore", "upscale", str(tmp_path / "no.tif"), str(tmp_path / "o.tif")])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert capsys.readouterr().err.endswith("; check the path and its permissions [NOT_READABLE]\n")
