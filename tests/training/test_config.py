"""The recipe: what it must not say, and that the shipped one holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from srcore.errors import CatalogError, SourceError
from srcore.training.config import RECIPES, data_folder, read_config


def test_an_unknown_key_is_named(tmp_path: Path) -> None:
    text = (RECIPES / "srcore-x2.yaml").read_text()
    path = tmp_path / "recipe.yaml"
    path.write_text(text + "epochs: 3\n")
    with pytest.raises(CatalogError, match=r"recipe.yaml.*epochs"):
        read_config(path)


def test_a_missing_file_and_broken_yaml_are_catalog_errors(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="cannot be read"):
        read_config(tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_text("name: [")
    with pytest.raises(CatalogError, match=r"bad\.yaml:1: not valid YAML"):
        read_config(tmp_path / "bad.yaml")


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_recipes_are_valid_and_carry_their_attribution(path: Path) -> None:
    config = read_config(path)
    assert config.name == path.stem
    assert config.attribution
    assert config.limits
    assert not any("val" in source.files or "Set" in source.files for source in config.sources)


def test_absent_data_says_which_variable_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SRCORE_DATA", str(tmp_path))
    with pytest.raises(SourceError, match="SRCORE_DATA"):
        data_folder(Path("trainset/train"))


@pytest.mark.parametrize(
    ("name", "line", "said"),
    [
        ("srcore-x2", "slab: [2, 12]\n", "generator of volumes alone"),
        ("srcore-volume-x2", "slab: [12, 2]\n", "least slices and most"),
        ("srcore-volume-x2", "magnify: [0.5, 2]\n", "within 1 to 4"),
        ("srcore-volume-x2", "degradation: {kind: cos2, width: [0.2, 1]}\n", "within 0.5 to 2"),
        ("srcore-volume-x2", "degradation: {kind: box, width: [1, 1.5]}\n", "belongs to kind: cos2"),
        ("srcore-volume-x2", "edge: wrap\n", "'reflect' or 'repeat'"),
        ("srcore-volume-x2", "slice_profile: gauss\n", "'box' or 'cos2'"),
    ],
)
def test_slabs_are_refused_where_there_are_none(tmp_path: Path, name: str, line: str, said: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text((RECIPES / f"{name}.yaml").read_text() + line)
    with pytest.raises(CatalogError, match=said):
        read_config(path)


@pytest.mark.parametrize(("core", "said"), [("[2, 32]", "each axis"), ("[2, 0, 32]", "above 0"), ("0", "above 0")])
def test_a_core_has_a_number_for_each_axis(tmp_path: Path, core: str, said: str) -> None:
    path = tmp_path / "recipe.yaml"
    text = (RECIPES / "srcore-volume-z5.yaml").read_text()
    path.write_text(text.replace("core_px: [2, 32, 32]", f"core_px: {core}"))
    with pytest.raises(CatalogError, match=said):
        read_config(path)
