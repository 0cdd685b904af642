"""The figures of a product's page: every number lies where the axis says, and no drawing library is needed."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from base64 import b64decode
from datetime import UTC, datetime
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from srcore.report.evidence import Evidence, Histogram
from srcore.report.written import TOWER, WIDTH, Scale, Trend, histogram_figure, map_figure, trend_figure
from tests.report.conftest import HOSTILE

SHARES = tuple(float(one) for one in np.histogram(np.random.default_rng(1).normal(0, 1, 10_000), 64)[0] / 10_000)


@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e9), st.integers(2, 8))
def test_ticks_are_round_few_and_on_the_axis(low: float, span: float, most: int) -> None:
    scale = Scale(low, low + span, 0, 100)
    ticks = scale.ticks(most)
    assert len(ticks) <= most + 1
    if span > 1e-5 * abs(low):
        assert all(low - 1e-6 * span <= one <= low + 1.000001 * span for one in ticks)
        assert len(ticks) >= 1


def test_the_line_stands_over_its_bins_as_high_as_their_shares() -> None:
    text = histogram_figure("b", "red", Histogram(100.0, 10.0, SHARES, SHARES, (0, 0)), "DN")
    [line] = re.findall(r'd="([^"]*)" fill="none" stroke="var\(--sr\)"', text)
    heights = [float(one) for one in re.findall(r"V([\d.]+)H", line)]
    used = [share for share in SHARES if share > 1e-4]
    ground, top = 180.0 - 34.0, 8.0
    found = [(ground - one) / (ground - top) * 1.05 * max(SHARES) for one in heights]
    first = SHARES.index(used[0]) - 1 if SHARES.index(used[0]) else 0
    assert found == pytest.approx(SHARES[first : first + len(found)], abs=0.001 * max(SHARES))
    steps = [float(one) for one in re.findall(r"H([\d.]+)", line)]
    assert steps == sorted(steps)
    assert steps[-1] == pytest.approx(WIDTH - 8)


def test_a_tower_is_cut_and_said() -> None:
    tower = (0.9, *[0.1 / 63] * 63)
    text = histogram_figure("b", "red", Histogram(0.0, 1.0, tower, tower, (0, 0)), "DN")
    assert "cut: up to 90 %" in text
    assert "cut" not in histogram_figure("b", "red", Histogram(0.0, 1.0, SHARES, SHARES, (0, 0)), "DN")
    assert max(tower) > TOWER * sorted(tower)[-3]


@pytest.mark.parametrize("shares", [(0.0,) * 64, (1.0,) + (0.0,) * 63, (0.5, 0.5)])
def test_odd_histograms_are_figures_all_the_same(shares: tuple[float, ...]) -> None:
    for width in (0.0, 1e-9, 1.0, 1e30):
        text = histogram_figure("b", HOSTILE, Histogram(-5.0, width, shares, shares, (0, 0)), HOSTILE)
        root = ElementTree.fromstring(text)
        assert HOSTILE in root.attrib["aria-label"]
        assert HOSTILE in "".join(root.itertext())
        assert "nan" not in text
        assert "inf" not in text


def test_a_map_has_a_colour_a_cell_and_none_where_nothing_is_known() -> None:
    cells = np.array([[0.0, 0.01], [0.02, np.nan], [0.005, 0.0]], np.float32)
    text = map_figure("m", Evidence((), 4, (11, 7), cells), cells, HOSTILE)
    root = ElementTree.fromstring(text)
    assert root.attrib["aria-label"] == HOSTILE
    [data] = re.findall(r"base64,([^\"]+)", text)
    picture = np.asarray(Image.open(io.BytesIO(b64decode(data))))
    assert picture.shape == (3, 2, 4)
    assert picture[..., 3].tolist() == [[255, 255], [255, 0], [255, 255]]
    assert tuple(picture[0, 0, :3]) == (0, 0, 4)
    light = picture[..., :3].astype(int).sum(axis=-1)
    assert light[1, 0] > light[0, 1] > light[2, 0] > light[0, 0]
    [image] = [one for one in root.iter() if one.tag == "image"]
    [clip] = [one for one in root.iter("rect") if one.attrib["x"] == "40.0" and "fill" not in one.attrib]
    assert float(image.attrib["width"]) / float(clip.attrib["width"]) == pytest.approx(8 / 7, abs=1e-3)
    assert float(image.attrib["height"]) / float(clip.attrib["height"]) == pytest.approx(12 / 11, abs=1e-3)


def test_no_cell_known() -> None:
    cells = np.full((2, 2), np.nan, np.float32)
    assert "nan" not in map_figure("m", Evidence((), 4, (8, 8), cells), cells, "nothing").split("base64")[0]


def test_a_trend_marks_each_product_where_it_is_and_draws_the_limit() -> None:
    when = [datetime(2026, 11, day, tzinfo=UTC) for day in (1, 2, 5)]
    text = str(trend_figure(Trend("Time <b>", "s", when, [1.0, 3.0, 2.0], [True, True, False], 2.5)))
    root = ElementTree.fromstring(text)
    assert root.get("aria-label") == "Time <b> over time"
    paths = [one for one in root.iter("path") if (one.get("fill") or "").startswith("var(--")]
    assert [one.get("fill") for one in paths] == ["var(--sr)", "var(--sr)", "var(--bad)"]
    (a, low), (b, high), (c, _) = [[float(n) for n in re.findall(r"[\d.]+", str(one.get("d")))[:2]] for one in paths]
    assert low > high  # more is higher up
    assert c - (a + 2.4) == pytest.approx(4 * (b - a), abs=0.5)  # a dot begins at its left; four days after one
    assert text.count("stroke-dasharray") == 1
    assert re.findall(r"2026-11-\d\d", text) == ["2026-11-01", "2026-11-03", "2026-11-05"]


@pytest.mark.parametrize("values", [[1.0, 1.0], [float("nan"), float("inf")], [0.0, -1e9]])
def test_odd_trends_are_figures_all_the_same(values: list[float]) -> None:
    when = [datetime(2026, 11, 1, tzinfo=UTC)] * 2  # at once
    text = str(trend_figure(Trend("t", "", when, values, [True, False], float("nan"))))
    ElementTree.fromstring(text)
    assert not re.search(r"\b(nan|inf)\b", text)
    assert text.count("11-01 00:00") == 1


def test_the_page_of_a_product_needs_no_matplotlib() -> None:
    code = "import sys, srcore.report.product, srcore.report.index; print('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
