"""`srcore init` and `srcore catalog add`: nothing that a person wrote is lost, and what was assumed is said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.transform import Affine

from srcore.catalog import load_catalog
from srcore.catalog.edit import entry_lines, with_entry
from srcore.errors import CatalogError
from tests.conftest import ROOT

Srcore = Callable[..., tuple[int, str, str]]


def raster(path: Path, bands: int = 2) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    profile = {"crs": "EPSG:32632", "transform": Affine(10, 0, 6e5, 0, -10, 5e6), "dtype": "uint16"}
    with rasterio.open(path, "w", driver="GTiff", count=bands, height=9, width=12, **profile) as target:
        target.write(np.arange(bands * 108, dtype=np.uint16).reshape(bands, 9, 12))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_from_nothing_to_a_dataset(srcore: Srcore, home: Path) -> None:
    raster(home / "in" / "west.tif")
    raster(home / "in" / "east.tif")
    code, said, _ = srcore("init")
    assert (code, "next: srcore catalog add" in said) == (0, True)
    code, _, err = srcore("catalog", "check")
    assert (code, "no dataset yet" in err) == (2, True)
    code, said, _ = srcore("catalog", "add", "hills", "in/*.tif", "--schedule", "0 2 * * *")
    assert code == 0
    assert "by the first of 2 scenes, east.tif: a raster of 12 x 9, uint16, bands band 1, band 2" in said
    assert "assumed: all bands" in said
    entry = load_catalog(home / "data_catalog.yaml").datasets["hills"]
    assert (entry.kind, entry.source, entry.schedule) == ("raster", "./in/*.tif", "0 2 * * *")
    assert srcore("catalog", "check")[0] == 0
    assert sorted(path.name for path in home.iterdir()) == ["data_catalog.yaml", "in"]


@pytest.mark.parametrize("words", [("init",), ("demo",), ("demo", "--safe")], ids=" ".join)
def test_a_folder_that_cannot_be_is_told_in_one_line(srcore: Srcore, home: Path, words: tuple[str, ...]) -> None:
    (home / "file").touch()
    code, _, err = srcore(*words, str(home / "file" / "archive"))
    assert code == 2
    assert err == f"error: {home}/file/archive cannot be made; found Not a directory; give another [BAD_OUTPUT]\n"
    assert (home / "file").read_bytes() == b""


def test_init_never_writes_over_a_catalog(srcore: Srcore, home: Path) -> None:
    (home / "data_catalog.yaml").write_text("mine")
    code, _, err = srcore("init")
    assert (code, "is there already" in err) == (2, True)
    assert (home / "data_catalog.yaml").read_text() == "mine"


def test_files_of_one_band_each_give_their_bands(srcore: Srcore, home: Path) -> None:
    for name in ("a_B2", "a_B10", "a_B3"):
        raster(home / "in" / f"{name}.tif", 1)
    srcore("init")
    code, said, _ = srcore("catalog", "add", "s2", "in/{scene}_{band}.tif")
    assert code == 0, said
    assert load_catalog(home / "data_catalog.yaml").datasets["s2"].bands == ("B10", "B2", "B3")
    assert "assumed: bands in the order of their names" in said


def test_a_volume_is_found_to_be_one(srcore: Srcore, home: Path) -> None:
    (home / "ct").mkdir()
    nibabel.save(nibabel.Nifti1Image(np.zeros((6, 5, 4), np.int16), np.eye(4)), home / "ct" / "one.nii.gz")
    srcore("init")
    code, said, _ = srcore("catalog", "add", "ct", "ct/*.nii.gz")
    assert code == 0, said
    assert load_catalog(home / "data_catalog.yaml").datasets["ct"].kind == "volume"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("hills", "none/*.tif"), "no file matches"),
        (("a b", "in/*.tif"), "no name of a dataset"),
        (("hills", "in/*.tif", "--model", "nope"), "unknown model"),
        (("hills", "in/*.tif", "--schedule", "noon"), "schedule"),
        (("kept", "in/*.tif"), "in the catalog already"),
        (("hills", "in/a.tif", "in/b.tif"), "put the pattern in quotes"),
    ],
)
def test_what_cannot_be_added_changes_nothing(
    arguments: tuple[str, ...], told: str, srcore: Srcore, home: Path
) -> None:
    raster(home / "in" / "west.tif")
    srcore("init")
    srcore("catalog", "add", "kept", "in/*.tif")
    before = (home / "data_catalog.yaml").read_bytes()
    code, _, err = srcore("catalog", "add", *arguments)
    assert (code, told in " ".join(err.split())) == (2, True), err
    assert ".part" not in err
    assert (home / "data_catalog.yaml").read_bytes() == before
    assert len(list(home.iterdir())) == 2


def test_every_line_of_the_shipped_catalog_stays(srcore: Srcore, home: Path) -> None:
    raster(home / "in" / "west.tif")
    before = (ROOT / "data_catalog.yaml").read_text()
    (home / "data_catalog.yaml").write_text(before)
    (home / "data_catalog.yaml").chmod(0o640)
    assert srcore("catalog", "add", "hills", "in/*.tif")[0] == 0
    after = (home / "data_catalog.yaml").read_text()
    kept = [line for line in after.splitlines() if line in before.splitlines()]
    assert kept == before.splitlines()
    assert (home / "data_catalog.yaml").stat().st_mode & 0o777 == 0o640


NAME = st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True)
COMMENT = st.sampled_from(["", "  # a note", "# at the edge", "    # deeper: x", "\t# tab"])


@settings(max_examples=40)
@given(
    names=st.lists(NAME, unique=True, max_size=4),
    comments=st.lists(COMMENT, min_size=8, max_size=8),
    indent=st.sampled_from([1, 2, 4]),
    end=st.sampled_from(["\n", "\r\n"]),
    last=st.booleans(),
)
def test_whatever_the_text_it_gains_an_entry_and_loses_no_line(
    names: list[str], comments: list[str], indent: int, end: str, last: bool
) -> None:
    import yaml

    rows = ["version: 1", "datasets:"]
    for name, comment in zip(names, comments, strict=False):
        rows += [" " * indent + f"{name}:", " " * (2 * indent) + "kind: raster  # of it", *filter(None, [comment])]
    rows += ["store: ./archive"] if last else []
    text = end.join(rows) + (end if last else "")
    new = with_entry(text.replace("\t", " "), entry_lines("zz-new", [("kind", "raster")], ["seen"]))
    parsed = yaml.safe_load(new)
    assert set(parsed["datasets"]) == {*names, "zz-new"}
    assert parsed["datasets"]["zz-new"] == {"kind": "raster"}
    lines = new.splitlines()
    assert [line for line in lines if "zz-new" not in line and "seen" not in line][: len(rows)]
    for row in text.replace("\t", " ").splitlines():
        assert row in lines
    assert ("\r\n" in new) == (end == "\r\n")


def test_datasets_in_one_line_are_left_to_their_author() -> None:
    with pytest.raises(CatalogError, match="stand in"):
        with_entry("version: 1\ndatasets: {a: {kind: raster}}\n", entry_lines("b", [], []))
