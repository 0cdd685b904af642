"""The documentation site: it builds without a warning, asks nothing of the network, and says what the code says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from docs import reference
from srcore.catalog import catalog_schema
from tests.conftest import ROOT

DOCS = ROOT / "docs"
CONFIG = tomllib.loads((ROOT / "zensical.toml").read_text())["project"]
LOADED = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src", "object": "data"}
"""What a page makes a browser ask for by itself, tag by tag."""


def pages(nav: Any) -> Iterator[str]:
    """Every page of a navigation."""
    if isinstance(nav, str):
        yield nav
    else:
        for entry in nav.values() if isinstance(nav, dict) else nav:
            yield from pages(entry)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as `make docs` builds it, from a copy."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(DOCS, folder / "docs", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "zensical.toml", folder)
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    done = subprocess.run(command, cwd=folder, env={**os.environ, "NO_COLOR": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / CONFIG["site_dir"]


class Asks(HTMLParser):
    """What a page asks for, and text of it that should have become a table or a list."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.raw: list[str] = []
        self.inside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.asked += [value for name, value in attrs if name == LOADED.get(tag) and value]
        self.inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self.inside and self.inside.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if {"code", "pre", "script"}.isdisjoint(self.inside):
            self.raw += re.findall(r"(?m)^(?:\|.*\||```.*)$", data)
        if "p" in self.inside and "code" not in self.inside:
            self.raw += re.findall(r"(?m)^(?:[-*]|\d\.) .*$", data)


@pytest.mark.parametrize("name", sorted(reference.WRITTEN))
def test_pages_from_the_code_are_what_the_code_says(name: str) -> None:
    assert (DOCS / name).read_text() == reference.WRITTEN[name](), "run `make docs`"


def test_every_part_of_the_catalog_has_its_section() -> None:
    assert {section.__name__ for section in reference.SECTIONS} == set(catalog_schema()["$defs"])


def test_every_page_has_its_place_in_the_navigation() -> None:
    assert sorted(pages(CONFIG["nav"])) == sorted(path.name for path in DOCS.glob("*.md"))


def test_the_site_asks_nothing_of_the_network_and_shows_no_raw_markdown(site: Path) -> None:
    built = sorted(site.glob("*.html"))
    assert {path.stem for path in built} == {path.stem for path in DOCS.glob("*.md")} | {"404"}
    asked, raw = [], []
    for path in built:
        page = Asks()
        page.feed(path.read_text())
        asked += [(path.name, one) for one in page.asked if re.match(r"[a-z]+:|//", one) and one[:5] != "data:"]
        raw += [(path.name, one) for one in page.raw]
    assert (asked, raw) == ([], [])
    styles = "".join(path.read_text() for path in site.rglob("*.css"))
    assert re.findall(r"(?:@import|url\()\s*[\"']?(?:https?:)?//[^)]*", styles) == []


def test_the_site_has_what_programs_read_and_no_tools(site: Path) -> None:
    links = re.findall(r"\]\(([^)]+)\)", (site / "llms.txt").read_text())
    assert len(links) == len(list(pages(CONFIG["nav"]))) - 1  # all but the front page, which it is one of itself
    assert [link for link in links if not (site / link).is_file()] == []
    assert (site / "python.py").is_file()
    assert not (site / "reference.py").exists()


def test_a_link_to_nowhere_stops_the_build(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/index.md").write_text("# A\n\n[there](no.md), [here](#nothing)\n")
    (tmp_path / "zensical.toml").write_text('[project]\nsite_name = "a"\n')
    command = [sys.executable, "-m", "zensical", "build", "--strict"]
    done = subprocess.run(command, cwd=tmp_path, env={**os.environ, "NO_COLOR": "1"}, capture_output=True, text=True)
    assert done.returncode != 0
    assert "2 issues found" in done.stderr


@pytest.mark.browser
def test_pages_fit_a_phone_and_the_search_works_from_the_disk(site: Path, browser: Any, screenshots: Path) -> None:
    asked: list[str] = []
    for width in (390, 1280):
        page = browser.new_page(viewport={"width": width, "height": 844})
        page.on("request", lambda request: asked.append(request.url))
        page.route("http*://**", lambda route: route.abort())
        for path in sorted(site.glob("*.html")):
            if path.name != "404.html":  # its paths begin at the server's root
                page.goto(path.as_uri())
                wide = page.evaluate("document.documentElement.scrollWidth")
                assert (path.name, wide <= width) == (path.name, True)
                if path.stem in ("index", "tutorial", "commands"):
                    page.screenshot(path=screenshots / f"site-{path.stem}-{width}.png")
    page.goto((site / "tutorial.html").as_uri())
    page.keyboard.press("Control+k")
    page.wait_for_timeout(500)
    found = page.locator("a", has_text="srcore quarantine retry").first
    for _ in range(10):  # a slow machine loses letters that are typed one by one, and all before the index is read
        page.keyboard.press("Control+a")
        page.keyboard.insert_text("quarantine")
        page.wait_for_timeout(2000)
        if found.is_visible():
            break
    found.click(timeout=20_000)
    page.wait_for_url(re.compile(r"commands\.html.*#srcore-quarantine-retry"))
    assert [url for url in asked if not url.startswith(("file:", "data:", "about:"))] == []
