"""Nights that tell the truth: a source that is gone, an old failure, and what the command line and status say of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows import nightly

Srcore = Callable[..., tuple[int, str, str]]


@pytest.fixture
def catalog(catalog_path: Path) -> Path:
    """Two good scenes and no broken one."""
    (catalog_path.parent / "in" / "broken.tif").unlink()
    return catalog_path


def night(catalog: Path, *options: str) -> tuple[int, str]:
    import typer

    app = typer.Typer()
    app.command()(nightly.main)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SRCORE_WORKERS", "0")
        ended = CliRunner().invoke(app, ["--catalog", str(catalog), *options])
    return ended.exit_code, ended.output


def states(srcore: Srcore, catalog: Path) -> dict[str, str]:
    rows = json.loads(srcore("status", "hills", "--catalog", catalog, "--json")[1])["scenes"]
    return {row["scene"]: row["state"] for row in rows}


def test_a_source_that_vanished_fails_the_night_and_stays_in_status(srcore: Srcore, catalog: Path) -> None:
    assert night(catalog, "--dataset", "hills")[0] == 0
    (catalog.parent / "in").rename(catalog.parent / "unmounted")
    code, said = night(catalog, "--dataset", "hills")
    assert code == 1
    assert said == "1 failed: hills (SOURCE_MISSING)\n"
    code, said, _ = srcore("run", "hills", "--catalog", catalog, "--workers", 0)
    assert code == 1
    assert "gives no scene, and 2 products are published" in said
    assert states(srcore, catalog) == {"east": "gone", "west": "gone", "": "no scenes"}
    (catalog.parent / "unmounted").rename(catalog.parent / "in")
    assert night(catalog, "--dataset", "hills") == (0, "2 up to date\n")


def test_a_source_that_never_was_is_a_note(catalog: Path) -> None:
    code, said = night(catalog, "--dataset", "on-demand")
    assert code == 0
    assert "note: on-demand: source './none/*.tif' gives no scene" in said


def test_one_product_whose_source_is_gone_stays_in_status(srcore: Srcore, catalog: Path) -> None:
    night(catalog, "--dataset", "hills")
    (catalog.parent / "in" / "east.tif").unlink()
    assert states(srcore, catalog) == {"east": "gone", "west": "published"}
    assert night(catalog, "--dataset", "hills") == (0, "1 up to date\n")


def test_the_check_counts_scenes_and_finds_all_errors_at_once(srcore: Srcore, catalog: Path) -> None:
    catalog.write_text(
        "version: 1\nstore: ./archive\ndatasets:\n"
        "  hills: {kind: raster, source: ./in/*.tif, model: bicubic-x2}\n"
        "  typo: {kind: raster, source: ./inn/*.tif, model: bicubic-x2}\n"
        "  lost: {kind: raster, source: ./in/*.tif, model: nope}\n"
        "  solid: {kind: raster, source: ./in/*.tif, model: srcore-volume-x2}\n"
    )
    code, said, wrong = srcore("catalog", "check", "--catalog", catalog)
    assert code == 2
    assert said.splitlines() == ["hills: 2 scenes", "typo: 0 scenes", "lost: 2 scenes", "solid: 2 scenes"]
    assert [line.split(": ")[1] for line in wrong.splitlines()] == ["typo", "lost", "solid"]
    assert "NO_SCENES" in wrong
    assert "a generator for 3 axes" in wrong
    catalog.write_text(catalog.read_text().split("  typo")[0])
    assert srcore("catalog", "check", "--catalog", catalog)[0] == 0


def test_what_is_excluded_is_not_done_and_is_said(srcore: Srcore, catalog: Path) -> None:
    text = catalog.read_text()
    catalog.write_text(text.replace("    tile: 64", "    tile: 64\n    exclude: ['ea*.tif']"))
    assert night(catalog, "--dataset", "hills") == (0, "1 published\n")
    assert states(srcore, catalog) == {"west": "published", "east": "excluded"}
    catalog.write_text(text.replace("    tile: 64", "    tile: 64\n    exclude: ['./in/*.tif']"))
    assert states(srcore, catalog) == {"east": "excluded", "west": "excluded", "": "no scenes"}
    code, said = night(catalog, "--dataset", "hills")
    assert code == 0
    assert "2 scenes excluded" in said


def test_only_a_new_failure_fails_a_night(srcore: Srcore, catalog_path: Path) -> None:
    code, said = night(catalog_path, "--dataset", "hills")
    assert code == 1
    assert said == "2 published, 1 failed: hills/broken (NOT_SUPPORTED)\n"
    assert night(catalog_path, "--dataset", "hills") == (
        0,
        "2 up to date, 1 quarantined; as before: hills/broken (NOT_SUPPORTED)\n",
    )
    code, said, _ = srcore("run", "hills", "--catalog", catalog_path, "--workers", 0)
    assert code == 0
    assert "quarantined" in said
    assert srcore("run", "hills", "--catalog", catalog_path, "--workers", 0, "--scene", "broken")[0] == 1
    (catalog_path.parent / "in" / "broken.tif").write_bytes(b"another file that is no raster")
    assert night(catalog_path, "--dataset", "hills")[0] == 1


def test_a_scene_is_given_up_and_tried_again_by_somebody_and_for_a_reason(srcore: Srcore, catalog_path: Path) -> None:
    here = ("--catalog", catalog_path)
    night(catalog_path, "--dataset", "hills")
    [row] = json.loads(srcore("quarantine", "list", *here, "--json")[1])
    assert (row["dataset"], row["scene"], row["code"], row["attempts"]) == ("hills", "broken", "NOT_SUPPORTED", 1)
    assert srcore("quarantine", "ignore", "hills", "broken", *here)[0] == 2  # why?
    assert srcore("quarantine", "ignore", "hills", "nowhere", "--why", "x", *here)[0] == 2
    assert srcore("quarantine", "ignore", "hills", "../x", "--why", "x", *here)[0] == 2
    assert srcore("quarantine", "ignore", "hills", "broken", "--by", "ada", "--why", "cut short", *here)[0] == 0
    assert night(catalog_path, "--dataset", "hills") == (0, "2 up to date, 1 ignored\n")
    assert "(ignore: cut short; ada, 20" in srcore("status", "hills", *here, "--json")[1]
    assert srcore("quarantine", "retry", "hills", "broken", "--by", "eve", *here)[0] == 0
    assert night(catalog_path, "--dataset", "hills")[0] == 1  # it was asked for
    assert night(catalog_path, "--dataset", "hills")[0] == 0
    record = json.loads(srcore("quarantine", "show", "hills", "broken", *here)[1])
    assert record["attempts"] == 2
    assert [(one["what"], one["by"]) for one in record["decisions"]] == [
        ("ignore", "ada"),
        ("retry", "eve"),
        ("lapsed", "srcore"),
    ]
    srcore("quarantine", "ignore", "hills", "broken", "--by", "ada", "--why", "cut short", *here)
    (catalog_path.parent / "in" / "broken.tif").write_bytes(b"fetched again, and no raster")
    assert night(catalog_path, "--dataset", "hills")[0] == 1  # another file is not what was given up


def test_products_are_removed_when_they_are_named_and_it_is_confirmed(srcore: Srcore, catalog: Path) -> None:
    here = ("--catalog", catalog)
    night(catalog, "--dataset", "hills")
    (catalog.parent / "in" / "east.tif").unlink()
    assert srcore("products", "remove", "hills", *here)[0] == 2
    assert srcore("products", "remove", "hills", "nowhere", *here)[0] == 2
    assert "would remove hills/west" in srcore("products", "remove", "hills", "west", *here)[1]
    assert srcore("products", "remove", "hills", "--older", "1", "--yes", *here)[1] == "hills: 0 products\n"
    assert states(srcore, catalog) == {"east": "gone", "west": "published"}
    code, said, _ = srcore("products", "remove", "hills", "--gone", "--yes", "--by", "ada", "--why", "sold", *here)
    assert (code, said.splitlines()[-1]) == (0, "hills: 1 products")
    assert states(srcore, catalog) == {"west": "published"}
    assert "products/east" not in (catalog.parent / "archive/hills/index.html").read_text()
    product = catalog.parent / "archive/hills/products/west/west.tif"
    product.write_bytes(bytes(product.stat().st_size))
    code, said, _ = srcore("audit", "hills", *here)
    assert code == 1
    assert "hills/west: PRODUCT_DAMAGED" in said
    assert "1 of 1 products read again" in said
    assert night(catalog, "--dataset", "hills") == (0, "1 published\n")
    assert srcore("audit", "hills", *here)[0] == 0
