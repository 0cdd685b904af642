"""What Prefect's artifacts show of a night: its list and its trends."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from flows import nights
from flows.nights import cell_text, night_list, trends
from srcore.catalog import load_catalog
from srcore.layout import DatasetPaths
from srcore.run.outcome import Outcome, Result
from srcore.run.states import look
from srcore.storage.archive.nights import Night
from tests.flows.test_small import make


def test_the_table_of_a_night_counts_what_it_does_not_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_force = make(tmp_path, 1)
    catalog = load_catalog(in_force)
    night = [("d", Outcome(f"p{number:04d}", "published")) for number in range(1200)]
    night += [("d", Outcome(f"u{number}", "up to date")) for number in range(7)]
    night += [
        ("d", Outcome("bad", "failed", "BAD_SOURCE", "a | b <img src=x> [x](http://y) `z`", source="/in/b|`ad.tif"))
    ]
    record = DatasetPaths(tmp_path / "s/d").quarantine("bad")
    record.parent.mkdir(parents=True)
    record.write_text("{}")
    record.with_suffix(".html").write_text("<p>why</p>")
    monkeypatch.setenv("SRCORE_PAGES", "http://127.0.0.1:4200/store")
    monkeypatch.setenv("SRCORE_CATALOG_IN_FORCE", str(in_force))
    lines = night_list(catalog, night, "1200 published, 1 failed").splitlines()
    assert lines[2].startswith(
        "- **failed BAD\\_SOURCE** d/bad: a \\| b \\<img src=x\\> \\[x\\]\\(http://y\\) \\`z\\`; "
    )
    page = "[stopped product](http://127.0.0.1:4200/store/d/quarantine/bad.html)"
    assert lines[2].endswith(f"{page}, quarantine d/quarantine/bad.json, source b\\|\\`ad.tif")
    assert f"Records and reports are in {cell_text(str(tmp_path / 's'))}, sources in /in." in lines
    assert sum(line.startswith("- **") for line in lines) == nights.MAX_ROWS
    away = Outcome("far", "failed", "BAD_SOURCE", source="s3://bucket/in/far_1.tif")
    lines_of_both = night_list(catalog, [*night[-1:], ("d", away)], "2 failed").splitlines()
    assert any(line.endswith("source s3://bucket/in/far\\_1.tif") for line in lines_of_both)
    assert "**201 more are not shown here**: 201 published. The pages of the store have all." in lines
    assert lines[-1] == "7 scenes were up to date, and are not in the list."
    assert cell_text("a\nb") == "a b"
    assert cell_text("S2A_MSIL2A_20221005T115411_N0400") == "S2A_MSIL2A_20221005T115411_N0400".replace("_", "\\_\u200b")


def test_a_name_that_was_copied_from_a_page_is_the_scene(tmp_path: Path) -> None:
    catalog = load_catalog(make(tmp_path, 2))
    assert [one.scene for one in look(catalog, "d", "s\u200b1").states] == ["s1"]


def test_the_table_knows_every_result_that_there_is() -> None:
    assert sorted(nights.FIRST) == sorted(get_args(Result))


def test_a_restricted_dataset_shows_no_address_and_no_path_of_a_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = make(tmp_path, 1, "privacy: restricted")
    monkeypatch.setenv("SRCORE_PAGES", "http://127.0.0.1:4200/store")
    monkeypatch.setenv("SRCORE_CATALOG_IN_FORCE", str(catalog))
    bad = Outcome("bad", "failed", "BAD_SOURCE", "no raster", source="/in/bad.tif")
    record = DatasetPaths(tmp_path / "s/d").quarantine("bad")
    record.parent.mkdir(parents=True)
    record.write_text("{}")
    text = night_list(load_catalog(catalog), [("d", bad)], "1 failed")
    assert "http" not in text
    assert "/in/bad.tif" not in text
    assert "no raster; quarantine d/quarantine/bad.json\n" in text


def test_trends_tell_of_each_night_and_say_what_the_table_leaves_out() -> None:
    began = "2026-01-01T02:00:00+00:00"
    one = Night(began, 100.0, 10, 8, 2, ("a",), 3, 50_000_000, 7_000_000_000)
    text = trends([*[Night(began, 0.0, 0)] * 40, one, Night(began, 9.0, 5, 1, interrupted=True)])
    lines = text.splitlines()
    assert lines[4] == "| 2026-01-01 02:00, interrupted | 1 | 0 | 0 | 0.000 | 9.0 | 0 |"
    assert lines[5] == "| 2026-01-01 02:00 | 8 | 2 | 3 | 0.500 | 10.0 | 7 |"
    assert lines[-1] == "The table has the last 30 of 42 nights; the figures have all."
