"""The documents name what there is: files, functions, layers, decisions, commands."""

from __future__ import annotations

import re
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.conftest import ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "infra/README.md", *sorted((ROOT / "docs").glob("*.md"))]
ROOMS = ("srcore", "flows", "tests", "docs", "benchmarks", "infra")
DECISIONS = (ROOT / "docs/decisions.md").read_text()
STATUS = re.compile(r"holds|(replaced|changed) by (\d+)")


def named(text: str, pattern: str) -> set[str]:
    return set(re.findall(pattern, text))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_a_page_names_are_there(page: Path) -> None:
    text = page.read_text()
    paths = named(text, rf"`((?:{'|'.join(ROOMS)})/[\w./-]*)`") | named(text, r"`(\.?\w[\w.]*/)`")
    links = {link.partition("#")[0] for link in named(text, r"\]\((?!https?:)([^)\s]+)\)")}
    missing = [path for path in paths if path.startswith(ROOMS) and not (ROOT / path).exists()]
    missing += [link for link in links if link and not (page.parent / link).exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_programs_that_a_page_names_are_there(page: Path) -> None:
    text = page.read_text()
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M))
    assert named(text, r"(?m)(?:^    |`)make ([\w-]+)") <= targets
    modules = named(text, r"python -m ((?:srcore|flows|tests|benchmarks)[\w.]*\w)")
    assert [name for name in modules if find_spec(name) is None] == []


def test_the_tests_that_the_faults_name_are_there() -> None:
    faults, outside = (ROOT / "docs/faults.md").read_text().split("## What comes from outside")
    places = {
        name: ROOT / "tests" / ("" if "/" in name else "faults") / name for name in named(faults, r"[\w/]*test_\w+\.py")
    }
    assert [name for name, place in places.items() if not place.exists()] == []
    assert all((ROOT / "tests" / name).exists() for name in named(outside, r"[\w/]*test_\w+\.py"))


def test_the_layers_are_drawn_as_they_are() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    [layers] = [contract["layers"] for contract in contracts if contract["name"] == "the layers of srcore"]
    section = (ROOT / "docs/architecture.md").read_text().partition("## The layers")[2]
    assert section.split("```")[1].split("\n")[1:-1] == ["flows", *layers]


def test_the_path_of_a_scene_is_made_of_functions_that_there_are() -> None:
    code = "\n".join(path.read_text() for path in (ROOT / "srcore").rglob("*.py"))
    section = (ROOT / "docs/architecture.md").read_text().partition("## The path of a scene")[2]
    path = section.split("```")[1]
    functions = named(path, r"\b[a-z]+(?:_[a-z]+)+\b")
    classes = named(path, r"\b[A-Z][a-z]+(?:[A-Z][a-z]+)*\b")
    assert len(functions) >= 15
    assert [name for name in functions if f"def {name}(" not in code] == []
    assert [name for name in classes if f"class {name}" not in code] == []


def test_a_word_has_one_sense() -> None:
    rows = re.findall(r"^\| ([^|]+) \| [^|]+ \| ", (ROOT / "docs/glossary.md").read_text(), re.M)
    words = [word for row in rows for word in row.split(", ") if word not in ("word", "---")]
    assert len(words) > 90
    assert sorted(words) == sorted(set(words))


def test_the_index_of_decisions_is_that_of_their_headings() -> None:
    index = re.findall(r"^\| (\d+) \| (.+) \| (.+) \|$", DECISIONS, re.M)
    headings = re.findall(r"^### (\d+)\. (.+)\n\n\*(.+)\.\*$", DECISIONS, re.M)
    assert index == [(number, heading, status[0].lower() + status[1:]) for number, heading, status in headings]
    assert len(headings) == DECISIONS.count("\n### ")
    numbers = [int(number) for number, _, _ in headings]
    assert numbers == sorted(set(numbers))


def test_a_decision_that_gave_way_says_to_which() -> None:
    index = re.findall(r"^\| (\d+) \|.* \| (.+) \|$", DECISIONS, re.M)
    found = {int(number): STATUS.fullmatch(status) for number, status in index}
    assert [number for number, status in found.items() if status is None] == []
    for number, status in found.items():
        if status is not None and status[2]:
            assert int(status[2]) in found.keys() - {number}


@pytest.mark.parametrize("place", [*PAGES, *sorted((ROOT / "srcore").rglob("*.py"))], ids=lambda place: place.name)
def test_decisions_are_named_by_numbers_that_there_are(place: Path) -> None:
    numbers = set(re.findall(r"^### (\d+)\.", DECISIONS, re.M))
    assert named(place.read_text(), r"decisions?(?:\.md)?,? (\d+)") <= numbers
