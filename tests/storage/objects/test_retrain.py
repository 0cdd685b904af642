"""A round of retraining whose dataset lies on an object store: its records are there, its work is this machine's."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.retrain import retrain_dataset
from srcore.storage.disk.records import read_sealed
from srcore.storage.objects.store import ObjectStore
from tests.training.retrain_cases import draw_archive, register_tiny

pytest.importorskip("mlflow", reason="the registry needs MLflow (extra: train)")


@pytest.mark.nightly  # MLflow, and a training
def test_a_round_leaves_its_records_on_the_store_and_nothing_here(
    tmp_path: Path, address: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SRCORE_REGISTRY", f"sqlite:///{tmp_path}/registry/registry.db")
    monkeypatch.setenv("SRCORE_CACHE", str(tmp_path / "cache"))
    register_tiny(tmp_path)
    catalog = draw_archive(tmp_path, steps=4, rate=1e-5)
    catalog.write_text(catalog.read_text().replace("./archive", address))
    decision = retrain_dataset(catalog, "drawn")
    assert (decision.promoted, decision.repeated) == (False, False)
    assert decision.page.startswith(f"{address}/drawn/retrain/")
    names = [one.name.removeprefix("drawn/retrain/") for one in ObjectStore(address).list("drawn/retrain", deep=True)]
    key = decision.page.rpartition("/")[2].removesuffix(".html")
    assert sorted(names) == sorted([f"{key}.html", f"{key}.json", "split.json", "tries.json"])
    held = [scene for scene, one in read_sealed(place / "drawn/retrain/split.json")["scenes"].items() if one["held"]]
    assert len(held) == decision.held >= 2
    assert not [path for path in place.rglob("*") if path.is_file()]
    again = retrain_dataset(catalog, "drawn")
    assert again.repeated
    assert read_sealed(place / f"drawn/retrain/{key}.json")["reason"] == decision.reason
