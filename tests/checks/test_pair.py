"""`srcore validate`: exit codes, JSON, and files that cannot be compared."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rasterio.transform import Affine

from flows.cli import main
from srcore.catalog import load_catalog
from srcore.errors import CatalogError
from srcore.limits import LIMITS, SHARPENED, with_changes

HERE = Affine(10, 0, 600000, 0, -10, 5200000)


@pytest.fixture
def pair(landscape: Callable[..., np.ndarray], write_raster: Callable[..., Path]) -> Callable[..., list[str]]:
    """Arguments of `srcore validate` for an LR and its nearest SR; options for either file."""

    def make(lr: dict[str, Any] | None = None, sr: dict[str, Any] | None = None, crop: int = 0) -> list[str]:
        values = landscape(2, (80, 96))
        big = values.repeat(2, 1).repeat(2, 2)
        big = big[:, : big.shape[1] - crop]
        a = write_raster(values, "lr.tif", transform=HERE, **(lr or {}))
        b = write_raster(big, "sr.tif", **{"transform": HERE * Affine.scale(0.5), **(sr or {})})
        return ["validate", str(b), "--lr", str(a)]

    return make


def run(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> int:
    monkeypatch.setattr(sys, "argv", ["srcore", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    return int(caught.value.code or 0)


def test_a_good_pair_is_0_and_speaks_json(
    pair: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, [*pair(), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert {check["id"] for check in said["checks"]} >= {"grid.corners", "mask.equal", "consistency.ratio"}
    assert run(monkeypatch, pair()) == 0
    assert "consistency" in capsys.readouterr().out


def test_a_gate_is_3(pair: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    shifted = HERE * Affine.translation(0.25, 0.25) * Affine.scale(0.5)
    assert run(monkeypatch, pair(sr={"transform": shifted})) == 3
    assert run(monkeypatch, pair(sr={"dtype": "int32"})) == 3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"sr": {"crs": "EPSG:32633"}}, "different CRS"),
        ({"sr": {"crs": None}}, "different CRS"),
        ({"crop": 1}, "no whole multiple"),
        ({"sr": {"transform": Affine(5, 0, 700000, 0, -5, 5200000)}}, "different places"),
        ({"lr": {"nodata": 0}}, "does not say what is nodata"),
    ],
)
def test_what_cannot_be_compared_is_2(
    options: dict[str, Any],
    said: str,
    pair: Callable[..., list[str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(monkeypatch, pair(**options)) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_a_missing_file_is_2(
    pair: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = pair()
    assert run(monkeypatch, [*arguments[:3], "nowhere.tif"]) == 2
    assert run(monkeypatch, [*arguments, "--hr", arguments[3]]) == 2
    assert "does not fit its SR" in capsys.readouterr().err


def test_the_catalog_changes_limits_and_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    def load(checks: str) -> Any:
        path = tmp_path / "data_catalog.yaml"
        path.write_text(
            "version: 1\nstore: ./store\ndatasets:\n  a:\n    kind: raster\n    source: ./*.tif\n"
            f"    model: srcore-x2\n    checks: {checks}\n"
        )
        return load_catalog(path).dataset("a").checks

    changes = {
        name: one.model_dump(exclude_unset=True) for name, one in load("{consistency.ratio: {gate: 2.5}}").items()
    }
    limits = with_changes(changes)
    assert (limits["consistency.ratio"].gate, limits["consistency.ratio"].warn) == (2.5, 1.0)
    assert limits["mask.equal"] == LIMITS["mask.equal"]
    assert with_changes({"seams.step": {"gate": None}})["seams.step"].gate is None
    own = with_changes(SHARPENED, {"detail.most": {"warn": 8.0}})["detail.most"]
    assert (own.warn, own.gate) == (8.0, SHARPENED["detail.most"]["gate"]), "a dataset's warning takes no gate away"
    assert with_changes(SHARPENED, {"detail.most": {"gate": None}})["detail.most"].gate is None
    for wrong in ("{consistency.rate: {gate: 2.5}}", "{seams.step: {stop: 2}}", "{seams.step: {gate: high}}"):
        with pytest.raises(CatalogError, match="checks"):
            load(wrong)
