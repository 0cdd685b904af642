"""A page is valid HTML that needs nothing else, the same every time, and says what the facts say."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from srcore.dispatch import Workers
from srcore.grid import Grid
from srcore.report.page import ReportFacts, duration, moment, number, report_page
from srcore.report.place import FRAME, bounds, place_figure
from srcore.run.direct import direct_job
from srcore.run.scene import run_scene
from srcore.storage.stac.footprint import footprint
from tests.report.conftest import HOSTILE, Page, check, check_page, hostile


def test_a_page_is_valid_and_needs_nothing_else(facts: ReportFacts) -> None:
    page = check_page(report_page(facts))
    assert page.addresses == set()
    policy = next(attrs["content"] for _, attrs in page.tags if attrs.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; img-src data:; ")
    assert "script-src 'sha256-" in policy


def test_it_is_the_same_every_time(facts: ReportFacts) -> None:
    assert report_page(facts) == report_page(facts)


def test_only_times_differ_between_two_runs_of_the_same_work(facts: ReportFacts) -> None:
    later = replace(
        facts.receipt, created="2027-05-06T07:08:09+00:00", seconds={"plan": 7.5, "upscale": 1.25}, computing_s=8.0
    )
    pages = [report_page(facts), report_page(replace(facts, receipt=later))]
    assert pages[0] != pages[1]
    assert len({re.sub("<time .*?</time>", "", page) for page in pages}) == 1


def test_it_says_what_was_found(facts: ReportFacts) -> None:
    words = check_page(report_page(facts)).words
    for told in (
        "T32",
        "published",
        "Every check was passed",
        "3 of 3",
        "0.58 x",
        "12.25 px",
        "ab" * 32,
        "cd" * 32,
        "2026-01-02 03:04 UTC",
        "srcore 0.1.0",
        "1 min 02 s",
        "A model.",
        "place 1",
        "B03",
    ):
        assert told in words, told


def test_it_says_what_it_is_in_plain_words_and_links_what_belongs_to_it(facts: ReportFacts) -> None:
    outline = footprint(Grid((60, 40), ((0.0, 30.0, 6e5), (-30.0, 0.0, 5e6)), "EPSG:32632"))
    assert outline is not None
    told = replace(
        facts,
        about=[("Pixel of the input", "30 x 30 m"), ("Pixel of the product", "15 x 15 m"), ("Values", "DN")],
        outline=outline,
        links=[("Product", "T32.tif"), ("All products of the dataset", "../../index.html")],
        source=[("To know", "read beside: /srv/secret/in/T32.aux.xml")],
    )
    text = report_page(told)
    page = check_page(text)
    assert page.addresses == {"T32.tif", "../../index.html"}
    assert "as far from the input, when shrunk back to its size, as plain bicubic enlargement is" in page.words
    assert "15 x 15 m" in page.words
    assert "/srv" not in text
    assert "/in/T32.tif" not in text
    labels = [attrs["aria-label"] for tag, attrs in page.tags if tag == "svg"]
    assert labels[:2] == ["Map of the globe with a mark", f"Outline: {bounds(outline)}"]
    assert bounds(outline).startswith("10.2")


@pytest.mark.parametrize(("x", "crs"), [(0.0, "EPSG:4326"), (179.9, "EPSG:4326"), (-180.0, "EPSG:4326")])
def test_a_place_anywhere_is_drawn_within_its_frame(x: float, crs: str) -> None:
    outline = footprint(Grid((60, 40), ((0.0, 0.01, x), (-0.01, 0.0, 5.0)), crs))
    assert outline is not None
    numbers = re.findall(r'd="M([^"]*)Z" fill="var\(--tint\)"', place_figure(outline))
    found = [float(number) for number in re.findall(r"-?\d+\.\d+", numbers[0])]
    assert FRAME[0] - 1 <= min(found[::2])
    assert max(found[::2]) <= FRAME[0] + FRAME[2] + 1
    assert FRAME[1] - 1 <= min(found[1::2])
    assert max(found[1::2]) <= FRAME[1] + FRAME[3] + 1


def test_a_check_without_words_of_its_own_is_told_by_its_basis(facts: ReportFacts) -> None:
    receipt = replace(facts.receipt, checks=[check("unheard.of")])
    words = check_page(report_page(replace(facts, receipt=receipt))).words
    assert "Basis of unheard.of" in words
    assert "Unheard" in words


@pytest.mark.parametrize(
    ("kind", "verdict", "told"), [("WARN", "degraded", "! warning"), ("GATE", "quarantined", "stopped by this gate")]
)
def test_what_was_not_passed_is_marked_with_its_hint(facts: ReportFacts, kind: str, verdict: str, told: str) -> None:
    receipt = replace(facts.receipt, verdict=verdict, checks=[check("grid.crs", kind, False, float("inf"))])
    words = check_page(report_page(replace(facts, receipt=receipt))).words
    for one in (told, verdict, "0 of 1", "Perhaps: hint of grid.crs", "infinite px"):
        assert one in words, one


def test_hostile_names_stay_text(facts: ReportFacts) -> None:
    text = report_page(
        replace(
            facts,
            receipt=hostile(facts.receipt),
            bands=(HOSTILE, "</svg>" + HOSTILE),
            unit="$\\frac{1}{" + HOSTILE,
            source=[(HOSTILE, HOSTILE)],
            card=[(HOSTILE, HOSTILE)],
            shapes=(HOSTILE, HOSTILE),
            pictures=replace(facts.pictures, title=HOSTILE) if facts.pictures else None,
        )
    )
    page = check_page(text)
    assert HOSTILE in page.words
    assert sum(tag == "script" for tag, _ in page.tags) == 1
    assert "<script>alert" not in text


def test_without_pictures_none_is_shown(facts: ReportFacts) -> None:
    evidence = replace(facts.evidence, difference=None) if facts.evidence else None
    page = check_page(report_page(replace(facts, pictures=None, evidence=evidence)))
    assert not [tag for tag, _ in page.tags if tag in ("img", "image")]
    assert sum(tag == "svg" for tag, _ in page.tags) == 2  # histograms
    bare = check_page(report_page(replace(facts, pictures=None, evidence=None, card=[])))
    assert not [tag for tag, _ in bare.tags if tag == "svg"]


def test_hundreds_of_bands_make_a_page_of_a_few(facts: ReportFacts) -> None:
    assert facts.evidence is not None
    evidence = replace(facts.evidence, histograms=facts.evidence.histograms[:1] * 200)
    text = report_page(replace(facts, bands=tuple(f"B{i}" for i in range(200)), evidence=evidence))
    assert "The first 16 of 200 bands." in check_page(text).words
    assert len(text) < 2**20


def test_numbers_times_and_spans_for_people() -> None:
    assert [number(value) for value in (0.58043, 3, 2.0, 1234567, 12345.6, 1e-6, float("nan"), "UTM", True)] == [
        "0.5804",
        "3",
        "2",
        "1\u202f234\u202f567",
        "12\u202f346",
        "1e-06",
        "not a number",
        "UTM",
        "True",
    ]
    assert [duration(value) for value in (0.04, 59.9, 60, 3725)] == ["0.0 s", "59.9 s", "1 min 00 s", "1 h 02 min"]
    assert moment("2026-01-02T03:04:05+02:00") == "2026-01-02 01:04 UTC"
    assert moment("yesterday") == "yesterday"


@pytest.mark.parametrize("outputs", [("cog", "stac", "report", "quicklook"), ("cog", "report"), ("cog",)])
def test_a_run_publishes_its_page(
    outputs: tuple[str, ...], landscape: Callable[..., np.ndarray], write_raster: Callable[..., Path]
) -> None:
    """In the receipt like every other output; with pictures only where a quicklook may be made."""
    source = write_raster(landscape(2, (70, 90)))
    target = source.parent / "sr.tif"
    receipt = run_scene(
        direct_job(str(source), target, model="bicubic-x2", tile=32, block=64, outputs=outputs), Workers(0)
    )
    assert receipt is not None
    names = {output.name for output in receipt.outputs}
    assert ("sr.report.html" in names) == ("report" in outputs) == (target.parent / "sr.report.html").exists()
    if "report" in outputs:
        page = check_page((target.parent / "sr.report.html").read_text())
        shown = [tag for tag, _ in page.tags if tag in ("img", "image")]
        assert (len(shown) > 0) == ("quicklook" in outputs)
        assert receipt.sources[0].sha256 in page.words
        told = json.loads((target.parent / "sr.report.json").read_text())
        assert all(one["id"] in page.words for one in told["checks"])


def test_a_volume_has_a_page(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "data" / "medical" / "ct_abdomen_3mm.nii.gz"
    target = tmp_path / "sr.nii.gz"
    run_scene(direct_job(str(source), target, model="bicubic-x2"), Workers(0))
    page = check_page((tmp_path / "sr.report.html").read_text())
    assert "voxels" in page.words
    assert "Not for diagnosis" in page.words
    for word in ("ground", " DN"):
        assert word not in page.words


@pytest.mark.slow
def test_letters_that_nothing_vouches_for_are_marked(shared_data: Path, tmp_path: Path) -> None:
    """A NIfTI with neither form."""
    source = shared_data / "cases/medical/09_none.nii.gz"
    run_scene(direct_job(str(source), tmp_path / "sr.nii.gz", model="bicubic-x2", validate=False), Workers(0))
    words = check_page((tmp_path / "sr.report.html").read_text()).words
    assert "R?" in words
    assert "assumed: the file does not say which side is which" in words


def test_the_reader_of_these_tests_sees_what_is_wrong() -> None:
    wrong = Page('<!DOCTYPE html>\n<p id="a"><b id="a" onclick="x"></p>').wrong
    assert len(wrong) == 4
