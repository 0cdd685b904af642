"""Facts for pages, and what makes text a page: balanced tags, one id once, nothing from elsewhere."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from srcore.report.evidence import Evidence, Histogram
from srcore.report.page import ReportFacts
from srcore.report.panels import RGB
from srcore.report.pictures import Pictures, Place, _jpeg
from srcore.storage.archive.publish import Output, Receipt
from srcore.storage.disk.watch import Source

VOID = {"meta", "img", "br", "link", "input", "hr", "source", "base", "area", "col", "embed", "track", "wbr"}
HOSTILE = "<script>alert(1)</script>\"'&"


class Page(HTMLParser):
    """Reads a page and collects what is wrong with it."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.ids: set[str] = set()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words = ""
        assert text.startswith("<!DOCTYPE html>\n")
        self.feed(text)
        self.close()
        self.wrong += [f"<{tag}> is not closed" for tag in self.open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.tags.append((tag, found))
        if len(found) < len(attrs):
            self.wrong.append(f"<{tag}> has an attribute twice")
        if found.get("id") in self.ids:
            self.wrong.append(f"id {found['id']} stands twice")
        self.ids.add(found.get("id", ""))
        self.wrong += [f"<{tag}> has {name}" for name in found if name.startswith("on")]

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"</{tag}> closes nothing")

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.words += data

    @property
    def addresses(self) -> set[str]:
        """What the page refers to, besides itself and the data in it."""
        names = ("src", "href", "xlink:href", "data", "srcset", "action")
        found = {attrs[name] for _, attrs in self.tags for name in names if name in attrs}
        return {one for one in found if not one.startswith(("data:", "#"))}


def check_page(text: str) -> Page:
    """The page, when it is one and nothing in it reaches out."""
    page = Page(text)
    assert page.wrong == []
    for call in re.findall(r"url\(\s*[\"']?([^)\"']*)", text):
        assert call.startswith(("#", "data:")), call
    assert "@import" not in text
    for _, attrs in page.tags:
        for name, value in attrs.items():
            assert not re.match(r"\s*(https?:)?//", value), (name, value)
    labels = {target for _, attrs in page.tags for target in [attrs.get("aria-labelledby")] if target}
    assert labels <= page.ids
    return page


def picture(seed: int = 0, shape: tuple[int, int] = (40, 60)) -> RGB:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 255, (*shape, 3)).astype(np.uint8)


def check(name: str, kind: str = "GATE", passed: bool = True, value: Any = 0.0, limit: Any = 1.0) -> dict[str, Any]:
    return {
        "id": name,
        "kind": kind,
        "passed": passed,
        "value": value,
        "unit": "px",
        "limit": limit,
        "basis": f"basis of {name}",
        "hint": f"hint of {name}",
        "state": "measured",
    }


@pytest.fixture
def receipt() -> Receipt:
    return Receipt(
        dataset="fields",
        scene="T32",
        sources=(Source("/in/T32.tif", "ab" * 32, 1234, 5),),
        model="srcore-x2",
        model_digest="cd" * 32,
        configuration="ef" * 32,
        parameters={"scale": (2, 2), "core": (256, 256), "tiles": 4, "device": "cpu"},
        checks=[
            check("grid.shape"),
            check("values.mean", "WARN"),
            check("consistency.ratio", value=0.58),
            check("consistency.rmse", "INFO", value=12.25, limit=None),
        ],
        verdict="published",
        outputs=(Output("T32.png", "00", 1), Output("T32.report.html", "00", 1), Output("T32.tif", "00", 1)),
        created="2026-01-02T03:04:05+00:00",
        seconds={"plan": 0.5, "upscale": 61.0},
        computing_s=57.0,
        code_version="0.1.0",
    )


@pytest.fixture
def facts(receipt: Receipt) -> ReportFacts:
    rng = np.random.default_rng(0)
    shares = tuple(np.exp(-(np.linspace(-3, 3, 96) ** 2)) / 30)
    difference = rng.random((20, 30)).astype("<f4")
    difference[:3, :4] = np.nan
    places = tuple(
        Place(f"place {i}", (0.1 * i, 0.2, 0.3, 0.4), (60, 40), _jpeg(picture(i)), _jpeg(picture(i + 9)))
        for i in range(2)
    )
    return ReportFacts(
        receipt,
        ("20 x 30", "40 x 60"),
        ("B02", "B03"),
        "DN",
        [("Size", "20 x 30 pixels")],
        [("srcore-x2", "A model.")],
        Evidence((Histogram(0, 10, shares, shares, (0.01, 0.02)),) * 2, 1, (20, 30), difference),
        Pictures("whole scene", (60, 40), _jpeg(picture()), places),
    )


def hostile(receipt: Receipt) -> Receipt:
    """The receipt with a name that wants to be a script wherever there is a name."""
    source = replace(receipt.sources[0], path=HOSTILE)
    checks = [
        {
            **receipt.checks[0],
            **dict.fromkeys(("id", "value", "unit", "limit", "basis", "hint"), HOSTILE),
            "passed": False,
        }
    ]
    parameters = {**receipt.parameters, HOSTILE: HOSTILE}
    return replace(
        receipt,
        dataset=HOSTILE,
        scene=HOSTILE,
        sources=(source,),
        model=HOSTILE,
        checks=checks,
        parameters=parameters,
        created=HOSTILE,
        code_version=HOSTILE,
        seconds={HOSTILE: 1.0},
        outputs=(Output(HOSTILE + ".tif", "0", 1),),
    )
