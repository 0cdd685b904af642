"""What Prometheus reads: true counts, few files opened, and rules and a dashboard that name nothing else."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from srcore.layout import DatasetPaths
from srcore.report.index import write_index
from srcore.run.gauges import exposition
from srcore.storage.archive.publish import Output, Receipt
from srcore.storage.disk.watch import Source
from tests.conftest import ROOT
from tests.flows.conftest import free_port, make_archive
from tests.flows.test_help import ENVIRONMENT

Srcore = Callable[..., tuple[int, str, str]]
INFRA = ROOT / "infra"
OPENED: list[str] = []
"""Paths that were opened while a test looks."""


def receipt(scene: str, created: str) -> Receipt:
    return Receipt(
        dataset="hills",
        scene=scene,
        sources=(Source("/in/a.tif", "ab" * 32, 1, 1),),
        model="m",
        model_digest="cd",
        configuration="ef",
        parameters={"scale": (2, 2), "tiles": 3, "pixels": 2_000_000},
        checks=[],
        verdict="published",
        outputs=(Output(f"{scene}.tif", "00", 1000),),
        created=created,
        seconds={"upscale": 4.0},
    )


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Two scenes with a product, one in quarantine, and a dataset that never ran."""
    catalog = make_archive(tmp_path)
    places = DatasetPaths(tmp_path / "archive" / "hills")
    for scene, day in (("east", 1), ("west", 2)):
        path = places.product(scene, ".tif").receipt
        path.parent.mkdir(parents=True)
        receipt(scene, f"2026-01-0{day}T02:00:00+00:00").save(path)
    places.quarantined.mkdir()
    told = {"scene": "broken", "code": "NOT_SUPPORTED", "message": "no raster", "when": "2026-01-02T02:01:00+00:00"}
    places.quarantine("broken").write_text(json.dumps(told))
    write_index(places)
    return catalog


def values(text: str) -> dict[tuple[str, tuple[str, ...]], float]:
    """Value of every sample by its name and its labels' values."""
    samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
    return {(one.name, tuple(value for _, value in sorted(one.labels.items()))): one.value for one in samples}


def test_the_counts_are_those_of_the_store(archive: Path, srcore: Srcore) -> None:
    code, said, _ = srcore("metrics", "--catalog", archive)
    found = values(said)
    assert code == 0
    assert found["srcore_catalog_valid", ()] == 1
    expected = {
        "srcore_products": 2,
        "srcore_tiles": 6,
        "srcore_product_pixels": 4e6,
        "srcore_product_bytes": 2000,
        "srcore_speed_megapixels_per_second": 0.5,
        "srcore_night_published": 1,
        "srcore_night_failed": 1,
        "srcore_scenes": 3,
        "srcore_queue_scenes": 0,
        "srcore_dataset_scheduled": 1,
        "srcore_last_success_timestamp_seconds": 1767319200,
    }
    assert {name: found[name, ("hills",)] for name in expected} == expected
    assert found["srcore_quarantined", ("NOT_SUPPORTED", "hills")] == 1
    assert found["srcore_products", ("on-demand",)] == 0
    assert found["srcore_store_free_bytes", ()] <= found["srcore_store_total_bytes", ()]
    assert "east" not in said


def test_a_scene_that_arrives_waits(archive: Path) -> None:
    source = next((archive.parent / "in").glob("*.tif"))
    (archive.parent / "in" / "north.tif").write_bytes(source.read_bytes())
    assert values(exposition(archive).decode())["srcore_queue_scenes", ("hills",)] == 1


def test_a_catalog_that_breaks_is_told_by_a_metric(archive: Path) -> None:
    archive.write_text("version: [")
    assert values(exposition(archive).decode()) == {("srcore_catalog_valid", ()): 0}


def test_a_scrape_opens_no_receipt_however_many_there_are(archive: Path) -> None:
    places = DatasetPaths(archive.parent / "archive" / "hills")
    for number in range(300):
        path = places.product(f"s{number}", ".tif").receipt
        path.parent.mkdir()
        path.touch()
    looking = [True]

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if looking and event == "open":
            OPENED.append(str(arguments[0]))

    exposition(archive)  # what it imports is imported
    OPENED.clear()
    sys.addaudithook(hook)
    exposition(archive)
    looking.clear()
    below = [path for path in OPENED if path.startswith(str(archive.parent))]
    assert sorted(Path(path).name for path in below) == ["data_catalog.yaml", "totals.json"]


def test_an_address_answers_until_ctrl_c_and_a_taken_one_is_refused(archive: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "srcore", "metrics", "--catalog", str(archive), "--port", str(port)]
    # a test run in the background of a shell hands on that Ctrl-C is ignored
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT, preexec_fn=heed) as process:
        try:
            assert process.stderr is not None
            assert f"127.0.0.1:{port}/metrics" in process.stderr.readline()
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
                assert values(answer.read().decode())["srcore_products", ("hills",)] == 2
            second = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT)
            assert (second.returncode, "[PORT_IN_USE]" in second.stderr) == (2, True)
            process.send_signal(signal.SIGINT)
            said = process.communicate(timeout=30)[1]
        finally:
            process.kill()  # one that failed here is not waited for
    assert (process.returncode, said.count("\n")) == (130, 1)


def names_in(expression: str) -> set[str]:
    return set(re.findall(r"\bsrcore_\w+", expression))


def test_every_metric_that_a_rule_or_a_panel_names_is_there(archive: Path) -> None:
    there = {name for name, _ in values(exposition(archive).decode())}
    rules = [
        rule
        for group in yaml.safe_load((INFRA / "prometheus/alerts.yaml").read_text())["groups"]
        for rule in group["rules"]
    ]
    board = json.loads((INFRA / "grafana/srcore.json").read_text())
    expressions = [rule["expr"] for rule in rules]
    expressions += [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    for expression in expressions:
        assert names_in(expression), expression
        assert names_in(expression) <= there, expression
        assert [expression.count(one) for one in "([{"] == [expression.count(one) for one in ")]}"]


def test_promtool_takes_the_rules() -> None:
    """By Prometheus itself where it is at hand; the form is judged below everywhere."""
    promtool = os.environ.get("SRCORE_PROMTOOL") or shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool on the PATH (Debian: prometheus), nor in SRCORE_PROMTOOL: by their form alone")
    said = subprocess.run([promtool, "check", "rules", str(INFRA / "prometheus/alerts.yaml")], capture_output=True)
    assert said.returncode == 0, said.stdout + said.stderr
    assert b"SUCCESS: 7 rules found" in said.stdout


def test_the_rules_and_the_dashboard_have_their_form() -> None:
    rules = [
        rule
        for group in yaml.safe_load((INFRA / "prometheus/alerts.yaml").read_text())["groups"]
        for rule in group["rules"]
    ]
    assert len({rule["alert"] for rule in rules}) == len(rules) >= 5
    for rule in rules:
        assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
        assert re.fullmatch(r"\d+[smhd]", rule["for"])
        assert rule["labels"]["severity"] in ("info", "warning", "critical")
        assert set(rule["annotations"]) == {"summary", "description"}
    board = json.loads((INFRA / "grafana/srcore.json").read_text())
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    covered: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & covered, panel["title"]
        assert max(x for x, _ in cells) < 24
        covered |= cells


def test_a_receipt_of_an_older_version_counts_as_far_as_it_says(archive: Path) -> None:
    places = DatasetPaths(archive.parent / "archive" / "hills")
    path = places.product("old", ".tif").receipt
    path.parent.mkdir()
    replace(receipt("old", "2025-01-01T02:00:00+00:00"), parameters={"scale": (2, 2)}).save(path)
    write_index(places)
    found = values(exposition(archive).decode())
    assert found["srcore_products", ("hills",)] == 3
    assert found["srcore_product_pixels", ("hills",)] == 4e6
