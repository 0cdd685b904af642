"""From a source in the catalog to scenes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from srcore.catalog.dataset import Dataset
from srcore.errors import CatalogError
from srcore.layout import SAFE_ID
from srcore.storage.archive.sources import find_excluded, find_hr, find_scenes


def dataset(source: str, bands: tuple[str, ...] | None = None, hr: str | None = None) -> Dataset:
    return Dataset(kind="raster", source=source, bands=bands, model="srcore-x2", hr=hr)


def touch(base: Path, *names: str) -> None:
    for name in names:
        path = base / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def test_one_file_a_scene_sorted_by_id(tmp_path: Path) -> None:
    touch(tmp_path, "in/b.tif", "in/a.tif", "in/c.nii.gz", "in/c.png", "in/deep/d.tif")
    scenes = find_scenes(dataset("./in/*.tif"), tmp_path)
    assert [scene.id for scene in scenes] == ["a", "b"]
    assert scenes[0].paths == (tmp_path / "in/a.tif",)
    assert scenes[0].roots == (tmp_path / "in",)
    assert [scene.id for scene in find_scenes(dataset("./in/*.nii.gz"), tmp_path)] == ["c"]


def test_hidden_and_unfinished_files_are_no_scenes(tmp_path: Path) -> None:
    touch(tmp_path, "in/a", "in/.b", "in/c.part", "in/d.tmp", "in/e~", "in/.hidden/f", "in/g.crdownload")
    assert [scene.id for scene in find_scenes(dataset("./in/*"), tmp_path)] == ["a"]
    assert [scene.id for scene in find_scenes(dataset("./in/**/*"), tmp_path)] == ["a"]


def test_nothing_matches(tmp_path: Path) -> None:
    assert find_scenes(dataset("./absent/*.tif"), tmp_path) == []
    assert find_scenes(dataset("absent.tif"), tmp_path) == []


@pytest.mark.parametrize("form", ["relative", "absolute", "plain", "parent"])
def test_where_a_source_starts(tmp_path: Path, form: str) -> None:
    touch(tmp_path, "in/a[1].tif", "cat/x")
    source = {"relative": "in/*.tif", "absolute": f"{tmp_path}/in/*.tif", "plain": "in/a.tif", "parent": "../in/*.tif"}
    touch(tmp_path, "in/a.tif")
    base = tmp_path / "cat" if form == "parent" else tmp_path
    assert tmp_path / "in/a.tif" in [scene.paths[0] for scene in find_scenes(dataset(source[form]), base)]


def test_wildcards(tmp_path: Path) -> None:
    touch(tmp_path, "x/a1.tif", "x/a2.tif", "x/ab.tif", "x/y/z/deep.tif", "x/a^.tif")

    def names(source: str) -> list[str]:
        return [scene.paths[0].stem for scene in find_scenes(dataset(source), tmp_path)]

    assert names("x/a[0-9].tif") == ["a1", "a2"]
    assert names("x/a[!0-9^].tif") == ["ab"]
    assert set(names("x/a?.tif")) == {"a1", "a2", "ab", "a^"}
    assert set(names("x/**/*.tif")) == {"a1", "a2", "ab", "a^", "deep"}
    assert names("x/*/*/*.tif") == ["deep"]
    with pytest.raises(CatalogError, match="is not a glob"):
        names("x/[z-a].tif")


def test_names_with_glob_characters_in_the_root_are_names(tmp_path: Path) -> None:
    base = tmp_path / "odd [1] {x}"
    touch(base, "in/a.tif")
    assert len(find_scenes(dataset("./in/*.tif"), base)) == 1


def test_unsafe_names_get_safe_ids(tmp_path: Path) -> None:
    touch(tmp_path, "in/né a.tif", "in/né b.tif", "in/-x.tif", "in/" + "l" * 200 + ".tif")
    ids = [scene.id for scene in find_scenes(dataset("./in/*.tif"), tmp_path)]
    assert len(set(ids)) == 4
    assert all(SAFE_ID.fullmatch(one) for one in ids)


def test_files_of_one_band_each_make_one_scene(tmp_path: Path) -> None:
    touch(tmp_path, *(f"in/{scene}_{band}.tif" for scene in ("s1", "s2") for band in ("B02", "B03", "B10", "QA")))
    scenes = find_scenes(dataset("./in/{scene}_{band}.tif", ("B10", "B02")), tmp_path)
    assert [scene.id for scene in scenes] == ["s1", "s2"]
    assert scenes[1].paths == (tmp_path / "in/s2_B10.tif", tmp_path / "in/s2_B02.tif")
    assert scenes[1].bands == ("B10", "B02")


@pytest.mark.parametrize(
    ("source", "name", "scene"),
    [
        ("./in/L8-{band}-Elkton.tif", "in/L8-{}-Elkton.tif", "L8-Elkton"),
        ("./in/*_{band}.TIF", "in/LC08_2015_{}.TIF", "LC08_2015"),
        ("./in/*/{band}.jp2", "in/T32_2020/{}.jp2", "T32_2020"),
        ("./in/{scene}/{band}.jp2", "in/T32_2020/{}.jp2", "T32_2020"),
        ("./in/{band}/*.tif", "in/{}/place.tif", "place"),
        ("./in/{scene}/{scene}_{band}.tif", "in/a/a_{}.tif", "a"),
    ],
)
def test_name_of_a_scene_of_many_files(tmp_path: Path, source: str, name: str, scene: str) -> None:
    touch(tmp_path, name.format("B1"), name.format("B10"), name.format("B11"))
    found = find_scenes(dataset(source, ("B1", "B10")), tmp_path)
    assert [one.id for one in found] == [scene]
    assert found[0].paths == (tmp_path / name.format("B1"), tmp_path / name.format("B10"))


def test_a_missing_band_leaves_the_scene_in_the_list(tmp_path: Path) -> None:
    touch(tmp_path, "in/a_B1.tif", "in/a_B2.tif", "in/b_B2.tif")
    scenes = find_scenes(dataset("./in/{scene}_{band}.tif", ("B1", "B2")), tmp_path)
    assert [scene.id for scene in scenes] == ["a", "b"]
    assert scenes[1].paths == (tmp_path / "in/b_B1.tif", tmp_path / "in/b_B2.tif")
    assert not scenes[1].paths[0].exists()


def test_two_scenes_with_one_id_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "in/x/a.tif", "in/y/a.tif")
    with pytest.raises(CatalogError, match=r"two scenes the id 'a'.*put \{scene\} where their names differ"):
        find_scenes(dataset("./in/*/a.tif"), tmp_path)
    assert [scene.id for scene in find_scenes(dataset("./in/{scene}/a.tif"), tmp_path)] == ["x", "y"]


def test_a_folder_is_no_source(tmp_path: Path) -> None:
    touch(tmp_path, "in/a.tif")
    for source in ("./in", "./in/"):
        with pytest.raises(CatalogError, match=r"is a folder; name its files, as in ./in/\*.tif"):
            find_scenes(dataset(source), tmp_path)


def test_links(tmp_path: Path) -> None:
    """Links to folders are not followed; a link to a file is listed with the root that it must not leave."""
    touch(tmp_path, "in/a.tif", "secret/s.tif")
    os.symlink(tmp_path / "secret", tmp_path / "in/folder")
    os.symlink(tmp_path / "in", tmp_path / "in/loop")
    os.symlink(tmp_path / "secret/s.tif", tmp_path / "in/out.tif")
    os.symlink(tmp_path / "absent", tmp_path / "in/broken.tif")
    scenes = find_scenes(dataset("./in/**/*.tif"), tmp_path)
    assert [scene.id for scene in scenes] == ["a", "broken", "out"]
    assert scenes[2].roots == (tmp_path / "in",)
    assert scenes[2].paths == (tmp_path / "secret/s.tif",)


def test_a_source_behind_a_linked_folder_has_one_normal_form(tmp_path: Path) -> None:
    touch(tmp_path, "disk/in/a.tif")
    os.symlink(tmp_path / "disk", tmp_path / "link")
    (tmp_path / "here").mkdir()
    for source in ("./link/in/*.tif", "./here/../link/in/*.tif", "./disk/in/*.tif", "./disk/../disk/in/a.tif"):
        [scene] = find_scenes(dataset(source), tmp_path)
        assert scene.paths == (tmp_path / "disk/in/a.tif",)
        assert scene.roots == (tmp_path / "disk/in",)


def test_an_odd_entry_is_passed_over_and_the_others_are_found(tmp_path: Path) -> None:
    touch(tmp_path, "in/a.tif", "in/z/b.tif")
    os.symlink(tmp_path / "in/loop.tif", tmp_path / "in/loop.tif")
    os.mkfifo(tmp_path / "in/pipe.tif")
    os.symlink(tmp_path / "in/pipe.tif", tmp_path / "in/to-pipe.tif")
    (tmp_path / "in/dir.tif").mkdir()
    assert [scene.id for scene in find_scenes(dataset("./in/**/*.tif"), tmp_path)] == ["a", "b", "loop"]


def test_true_hr_by_scene(tmp_path: Path) -> None:
    touch(tmp_path, "hr/a.tif", "hr/b.tif", "in/a.tif")
    for hr in ("./hr", "./hr/*.tif", "./hr/{scene}.tif"):
        assert find_hr(dataset("./in/*.tif", hr=hr), tmp_path)["a"].paths == (tmp_path / "hr/a.tif",)
    assert find_hr(dataset("./in/*.tif"), tmp_path) == {}
    touch(tmp_path, "hr/a.png")
    with pytest.raises(CatalogError, match="two scenes the id 'a'"):
        find_hr(dataset("./in/*.tif", hr="./hr"), tmp_path)


def test_the_suffix_in_any_case(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    touch(tmp_path, "in/a.tif", "in/SCENE1.TIF", "in/c.Tif", "in/d.tiff", "in/V.NII.GZ", "in/w.nii.GZ", "in/upper.JP2")
    assert [scene.id for scene in find_scenes(dataset("./in/*.tif"), tmp_path)] == ["SCENE1", "a", "c"]
    assert "takes files whose suffix has another case: 2, as SCENE1.TIF" in caplog.text
    assert [scene.id for scene in find_scenes(dataset("./in/*.nii.gz"), tmp_path)] == ["V", "w"]
    assert [scene.id for scene in find_scenes(dataset("./in/{scene}.jp2"), tmp_path)] == ["upper"]
    assert find_scenes(dataset("./in/A.tif"), tmp_path) == []  # the rest of a name is what it says


def test_a_source_in_its_own_case_says_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    touch(tmp_path, "in/a.TIF", "in/b.TIF")
    assert [scene.id for scene in find_scenes(dataset("./in/*.TIF"), tmp_path)] == ["a", "b"]
    assert caplog.text == ""


def test_of_two_that_differ_in_case_alone_the_one_that_is_asked_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    touch(tmp_path, "in/a.tif", "in/a.TIF")
    (scene,) = find_scenes(dataset("./in/*.tif"), tmp_path)
    assert scene.paths == (tmp_path / "in/a.tif",)
    assert "a.TIF is left out: a.tif is there, too" in caplog.text
    with pytest.raises(CatalogError, match="two scenes the id 'a'"):
        find_scenes(dataset("./in/*"), tmp_path)


def test_bands_in_mixed_cases_are_one_scene(tmp_path: Path) -> None:
    touch(tmp_path, "in/s_B2.TIF", "in/s_B3.tif", "in/s_B4.Tif")
    (scene,) = find_scenes(dataset("./in/{scene}_{band}.tif", ("B4", "B2", "B3", "B9")), tmp_path)
    assert [path.name for path in scene.paths] == ["s_B4.Tif", "s_B2.TIF", "s_B3.tif", "s_B9.tif"]


def test_files_beside_a_raster_are_no_scenes(tmp_path: Path) -> None:
    touch(tmp_path, "in/a.tif", "in/a.tif.msk", "in/a.tif.aux.xml", "in/a.tif.OVR", "in/alone.tif.msk")
    for source in ("./in/*", "./in/*.tif*"):
        assert [scene.id for scene in find_scenes(dataset(source), tmp_path)] == ["a", "alone.tif"]


def test_names_that_are_no_utf8(tmp_path: Path) -> None:
    touch(tmp_path, "in/a.tif")
    os.rename(tmp_path / "in/a.tif", os.fsencode(tmp_path / "in") + b"/\xff\xe9.tif")
    (scene,) = find_scenes(dataset("./in/*.tif"), tmp_path)
    assert SAFE_ID.fullmatch(scene.id)
    assert scene.paths[0].exists()


@pytest.mark.parametrize(
    ("source", "folder", "inside", "found"),
    [
        ("./in/*.SAFE", "in/S2A.SAFE", "manifest.safe", r"S2A\.SAFE: a Sentinel product"),
        ("./in/*/scene", "in/x/scene", "a.tif", r"scene: 1 entries; name a file in it"),
        ("./in/S2A.SAFE", "in/S2A.SAFE", "manifest.safe", r"is a folder; found a Sentinel product"),
    ],
)
def test_a_source_that_matches_folders(tmp_path: Path, source: str, folder: str, inside: str, found: str) -> None:
    touch(tmp_path, f"{folder}/{inside}")
    with pytest.raises(CatalogError, match=found):
        find_scenes(dataset(source), tmp_path)


def test_exclude_is_a_glob_of_names_or_with_a_slash_of_paths(tmp_path: Path) -> None:
    touch(tmp_path, "in/a_B2.tif", "in/a_B3.tif", "in/b_B2.tif", "in/b_B3.tif", "in/c_B2.tif", "in/c_B3.tif")
    (tmp_path / "in/d_B2.tif").symlink_to("c_B2.tif")

    def ids(*exclude: str) -> tuple[list[str], list[str]]:
        entry = dataset("./in/{scene}_{band}.tif", ("B2", "B3")).model_copy(update={"exclude": exclude})
        return [one.id for one in find_scenes(entry, tmp_path)], [one.id for one in find_excluded(entry, tmp_path)]

    assert ids() == (["a", "b", "c", "d"], [])
    assert ids("b_B3.tif") == (["a", "c", "d"], ["b"])
    assert ids("d_*") == (["a", "b", "c"], ["d"])
    assert ids("./in/[ab]*.tif", "none") == (["c", "d"], ["a", "b"])
    assert ids("./out/*.tif") == (["a", "b", "c", "d"], [])
