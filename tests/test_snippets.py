"""What the pages tell people to type: every YAML loads, every command is read, and the tutorial works word by word."""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

import srcore
from flows.cli import app
from srcore.catalog import load_catalog
from srcore.catalog.dataset import Dataset
from srcore.documents import read_document
from srcore.errors import CatalogError
from srcore.exchange.wishes import Wishes
from srcore.training.config import RECIPES, read_config
from tests.conftest import ROOT
from tests.test_docs import PAGES

FENCE = re.compile(r"(?ms)^```(\w*)\n(.*?)^```")
INDENTED = re.compile(r"(?m)^ {4}(srcore .*)$")
ENTRY: Mapping[str, Any] = {"kind": "raster", "source": "./in/*.tif", "model": "srcore-x2"}
LEFT_OUT = ("make demo", ". .venv/bin/activate", "srcore serve")
"""Lines of the tutorial that set up, or do not end: they have tests of their own."""
CLI = typer.main.get_command(app)


def fenced(page: Path, language: str) -> list[str]:
    return [text for found, text in FENCE.findall(page.read_text()) if found == language]


def yamls() -> Iterator[Any]:
    for page in PAGES:
        for number, text in enumerate(fenced(page, "yaml"), 1):
            yield pytest.param(text, id=f"{page.stem}-{number}")


def commands() -> Iterator[Any]:
    for page in PAGES:
        blocks = FENCE.findall(page.read_text())
        found = [line for language, text in blocks if language != "text" for line in text.split("\n")]
        found += INDENTED.findall(FENCE.sub("", page.read_text()))
        lines = sorted({line for line in found if line.startswith("srcore ")})
        if lines:
            yield pytest.param(lines, id=page.stem)


def write(folder: Path, document: Mapping[str, Any]) -> Path:
    path = folder / "document.yaml"
    path.write_text(yaml.safe_dump(dict(document), sort_keys=False))
    return path


def load(text: str, folder: Path) -> None:
    """Read `text` as what it is: a catalog or a part of one, a recipe or a part of one, the spec of a model."""
    (folder / "document.yaml").write_text(text)
    found = yaml.safe_load(text)
    catalog = {"version": 1, "store": "./archive"}
    if "datasets" in found:
        load_catalog(folder / "document.yaml") if "version" in found else load_catalog(write(folder, catalog | found))
    elif set(found) <= {"version", "store"}:
        load_catalog(write(folder, catalog | {"datasets": {"one": ENTRY}} | found))
    elif "licence" in found and "architecture" in found:
        read_document(folder / "document.yaml").parse(Wishes)
    elif set(found) <= set(Dataset.model_fields):
        load_catalog(write(folder, catalog | {"datasets": {"one": {**ENTRY, **found}}}))
    elif {"search", "degradation", "steps", "architecture"} & set(found):
        shipped = yaml.safe_load((RECIPES / "srcore-x2-fast.yaml").read_text())
        read_config(write(folder, found if "name" in found else shipped | found))
    else:
        load_catalog(write(folder, catalog | {"datasets": found}))


@pytest.mark.parametrize("text", list(yamls()))
def test_every_yaml_of_the_pages_loads(text: str, tmp_path: Path) -> None:
    load(text, tmp_path)


def read_command(words: list[str]) -> None:
    """Have the command line read `words`, without doing what they say; its own error where it does not know them."""
    command, name = CLI, ""
    while hasattr(command, "commands"):
        name, *words = words
        command = command.commands[name]
    command.make_context(name, words)


@pytest.mark.parametrize("lines", list(commands()))
def test_every_command_of_the_pages_is_read(lines: list[str]) -> None:
    for line in lines:
        read_command(shlex.split(line.removesuffix("&"), comments=True)[1:])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_of_the_pages_is_python_that_imports_what_there_is(page: Path) -> None:
    for text in fenced(page, "python"):
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("srcore"):
                module = import_module(str(node.module))
                assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "srcore":
                assert node.attr in srcore.__all__


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_in_the_text_are_there_with_their_options(page: Path) -> None:
    unknown = []
    for told in set(re.findall(r"`srcore ([a-z][^`]*)`", FENCE.sub("", page.read_text()))):
        command, words = CLI, told.split()
        while hasattr(command, "commands") and words and words[0] in command.commands:
            command = command.commands[words.pop(0)]
        known = {name for one in command.params for name in (*one.opts, *one.secondary_opts)} | {"--help"}
        options = {word.partition("=")[0] for word in words if word.startswith("--")}
        if command is CLI or not options <= known:
            unknown.append(told)
    assert unknown == []


def test_the_laws_see_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="modle"):
        load("hills: {kind: raster, source: ./in/*.tif, modle: srcore-x2}", tmp_path)
    with pytest.raises(CatalogError, match="sources"):
        load('sources:\n  - {files: "*.tif"}\nsteps: 5', tmp_path)
    for line in ("srcore upscale a.tif b.tif --modle srcore-x2", "srcore upscal a.tif b.tif", "srcore run"):
        with pytest.raises(Exception, match=r"--modle|upscal|dataset"):
            read_command(line.split()[1:])


def tutorial(steps: list[tuple[str, str]]) -> Iterator[str]:
    """Lines of a shell for the blocks of the tutorial: commands, the catalog that is to be written, Python."""
    for language, text in steps:
        if language == "bash":
            yield from (line for line in text.splitlines() if not line.startswith(LEFT_OUT))
        elif language == "yaml":
            yield f"cat > data_catalog.yaml <<'END'\n{text}END"
        elif language == "python":
            yield f"python - <<'END'\n{text}END"


@pytest.mark.nightly
def test_the_tutorial_works_word_by_word(tmp_path: Path) -> None:
    """What it shows of the output is in the output; a status that wants a person ends with 1."""
    page = ROOT / "docs/tutorial.md"
    steps = FENCE.findall(page.read_text())
    assert {language for language, _ in steps} == {"bash", "text", "yaml", "python"}
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    for name, module in (("srcore", "-m srcore"), ("python", "")):
        (bin_ / name).write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {module} "$@"\n')
        (bin_ / name).chmod(0o755)
    lines = [f'{line}\necho "$? <- $LINENO"' for line in tutorial(steps)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SRCORE_", "PREFECT_"))}
    environment |= {"PATH": f"{bin_}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "SRCORE_WORKERS": "0"}
    environment |= {"SRCORE_BACKEND": "eager", "SRCORE_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(
        ["bash", "-c", "\n".join(lines)], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    codes = re.findall(r"(?m)^(\d+) <- ", done.stdout)
    assert codes.count("1") == 1, done.stdout + done.stderr  # the first `srcore status`, as the page says
    assert set(codes) == {"0", "1"}
    shown = [text for language, text in steps if language == "text"]
    assert [text for text in shown if text not in done.stdout] == [], done.stdout
    assert "2 would be done" in done.stdout
    assert "up to date" in done.stdout
    assert len(list((tmp_path / "imagery/archive/sentinel-2/products").glob("*/*.tif"))) == 2
