"""Places: what of a name is one, and that no fold shares one with another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from srcore.errors import CatalogError, SourceError
from srcore.training.config import PLACE, TrainConfig
from srcore.training.data.places import deal, held_sources, place_of
from srcore.training.fit.folds import fold_recipes
from srcore.training.fit.loop import prepare

Recipe = Callable[..., TrainConfig]
Write = Callable[..., Path]


@pytest.mark.parametrize(
    ("name", "place"),
    [("alps_3.tif", "alps"), ("alps/3.tif", "alps"), ("alps-12.nii.gz", "alps"), ("alps.tif", "alps"),
     ("mr_t2.nii", "mr_t2"), ("naip_17_1-0.TIF", "naip_17_1"), ("0001.png", "0001")],
)  # fmt: skip
def test_the_place_is_the_name_without_a_tiles_number(name: str, place: str) -> None:
    assert place_of(Path("/data") / name, Path("/data"), PLACE) == place


def test_an_expression_of_ones_own() -> None:
    folder = Path("/data")
    assert place_of(folder / "optical/naip_m_37-0.tif", folder, "^optical/([a-z]+)") == "naip"
    assert place_of(folder / "optical/naip_m_37-0.tif", folder, "^[a-z]+") == "optical"
    with pytest.raises(SourceError, match="is of no place"):
        place_of(folder / "optical/naip_m_37-0.tif", folder, "^medical/(.+)")


@given(
    st.lists(st.dictionaries(st.sampled_from("abcdefghij"), st.integers(1, 9), min_size=1), min_size=1, max_size=5),
    st.integers(2, 6),
    st.integers(0, 99),
)
def test_every_place_is_in_one_fold_and_no_fold_is_empty(sources: list[dict[str, int]], folds: int, seed: int) -> None:
    places = {place for source in sources for place in source}
    if len(places) < folds:
        with pytest.raises(SourceError, match=f"too few places for {folds} folds"):
            deal(sources, folds, seed)
        return
    dealt = deal(sources, folds, seed)
    assert Counter(place for fold in dealt for place in fold) == Counter(places)
    assert all(dealt)
    assert dealt == deal(sources, folds, seed)


def test_every_fold_has_a_bit_of_every_source() -> None:
    sources = [{f"{name}{index}": 1 for index in range(6)} for name in "ab"]
    for fold in deal(sources, 3, 1):
        assert Counter(place[0] for place in fold) == {"a": 2, "b": 2}


@pytest.fixture
def archive(tmp_path: Path, write_raster: Write, texture: np.ndarray, recipe: Recipe) -> Recipe:
    """A recipe on three places, two of them with two tiles."""
    for name in ("alps_0", "alps_1", "andes_0", "andes_1", "atlas"):
        write_raster(tmp_path / "data" / f"{name}.tif", texture)
    (tmp_path / "data" / "scene_a.tif").unlink()
    return recipe


def test_what_is_held_out_is_not_trained_on(archive: Recipe) -> None:
    config = archive(held_out=["alps"])
    assert [source.files for source in held_sources(config)] == ["alps_0.tif", "alps_1.tif"]
    assert len(prepare(config)[1]) == 3 * 2  # files of two bands
    sources = [{"files": "alps*.tif", "share": 9}, {"files": "atlas.tif", "share": 1}]
    planes = prepare(archive(held_out=["alps"], sources=sources))[1]
    assert sum(plane.chance for plane in planes) == pytest.approx(1)  # a source without files leaves its share
    with pytest.raises(SourceError, match="too few images"):
        prepare(archive(held_out=["alps", "andes", "atlas"]))
    with pytest.raises(SourceError, match="no file is of the place alp; found alps, andes, atlas"):
        prepare(archive(held_out=["alp"]))


def test_the_recipes_of_folds_hold_out_every_file_once(archive: Recipe) -> None:
    recipes = fold_recipes(archive(), 3)
    held = [source.files for recipe in recipes for source in held_sources(recipe)]
    assert sorted(held) == ["alps_0.tif", "alps_1.tif", "andes_0.tif", "andes_1.tif", "atlas.tif"]
    with pytest.raises(SourceError, match="too few places for 4 folds; found 3: alps, andes, atlas"):
        fold_recipes(archive(), 4)


def test_a_broken_expression_and_two_validations_are_named(recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"place: .*is no regular expression"):
        recipe(place="(")
    with pytest.raises(CatalogError, match=r"held_out: .*exclude each other"):
        recipe(validation=str(tmp_path), held_out=["alps"])
