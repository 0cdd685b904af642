"""The benchmark of files that mislead says right of what is right, and wrong of what is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest

from benchmarks.archive import real, right
from benchmarks.archive.cases import ANY, CASES, NEAREST, PLACE, Case
from benchmarks.archive.run import counted, judged
from srcore.checkpoints import builtin_names, locate, read_spec

Write = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path, write_raster: Write, landscape: Callable[..., np.ndarray]) -> Path:
    """A folder of cases of our own: numbers with a hole, classes, and a file of nothing."""
    (tmp_path / "cases" / "raster").mkdir(parents=True)
    values = landscape(1, (40, 52))
    values[:, 5:9, 5:9] = 0
    for name, pixels in (("numbers", values), ("classes", (values // 700).astype(np.uint16))):
        write_raster(pixels, nodata=0).rename(tmp_path / "cases" / "raster" / f"{name}.tif")
    (tmp_path / "cases" / "raster" / "text.tif").write_text("no raster")
    return tmp_path / "cases"


@pytest.mark.parametrize(
    ("case", "model", "verdict"),
    [
        (Case(("raster/numbers.tif",), (*PLACE, right.mask_kept)), "bicubic-x2", "published right"),
        (Case(("raster/numbers.tif",), (right.within(0, 100),)), "bicubic-x2", "wrong"),
        (Case(("raster/numbers.tif",), (right.told("no such flag"),)), "bicubic-x2", "wrong"),
        (Case(("raster/numbers.tif",), None), "bicubic-x2", "wrong"),
        (Case(("raster/classes.tif",), NEAREST), "nearest-x2", "published right"),
        (Case(("raster/text.tif",), None, frozenset({"NOT_SUPPORTED"})), "nearest-x2", "refused rightly"),
        (Case(("raster/text.tif",), None, ANY), "nearest-x2", "refused rightly"),
        (Case(("raster/text.tif",), None, frozenset({"TRUNCATED"})), "nearest-x2", "wrong"),
        (Case(("raster/text.tif",)), "nearest-x2", "wrong"),
        (Case(("raster/numbers.tif",), options={"no such": 1}), "nearest-x2", "wrong"),
    ],
)
def test_a_case_is_judged(case: Case, model: str, verdict: str, folder: Path, tmp_path: Path) -> None:
    row = judged(case, folder, tmp_path / "out", model=model)
    assert row.verdict == verdict, row
    assert sum(counted([row]).values()) == 1


def test_every_file_of_the_cases_is_in_the_table(shared_data: Path) -> None:
    cases = shared_data / "cases"
    there = {
        str(path.relative_to(cases)) for path in cases.glob("*/*") if path.suffix.lower() in (".tif", ".nii", ".gz")
    }
    assert there == {file for case in CASES for file in case.files}


def test_what_is_too_large_is_cut_out_of_its_middle(tmp_path: Path, write_raster: Write) -> None:
    values = np.arange(40 * 60, dtype=np.uint16).reshape(1, 40, 60)
    source = write_raster(values)
    (tmp_path / "cut").mkdir()
    assert real.smaller(source, "raster", tmp_path / "cut", 40 * 60) == source
    cut = real.smaller(source, "raster", tmp_path / "cut", 20 * 30)
    import rasterio

    with rasterio.open(cut) as small, rasterio.open(source) as whole:
        np.testing.assert_array_equal(small.read(), values[:, 10:30, 15:45])
        assert small.transform * (0, 0) == whole.transform * (15, 10)
    volume = tmp_path / "v.nii.gz"
    nibabel.save(nibabel.Nifti1Image(np.zeros((30, 20, 10), np.int16), np.eye(4)), volume)
    assert nibabel.load(real.smaller(volume, "volume", tmp_path / "cut", 750)).shape == (15, 10, 8)
    text = tmp_path / "text.tif"
    text.write_text("no raster")
    assert real.smaller(text, "raster", tmp_path / "cut", 10) == text


def test_every_model_meets_every_file_of_its_kind(tmp_path: Path) -> None:
    for name in ("satellite/a.tif", "satellite/more/b.tiff", "medical/c.nii.gz"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    met = [(path.name, model) for path, _, model in real.pairs(tmp_path, ())]
    deep = [name for name in builtin_names() if len(read_spec(locate(name)).scale) == 3]
    flat = [name for name in builtin_names() if name not in deep and "guided" not in name]
    assert sorted(met) == sorted(
        [(file, model) for file in ("a.tif", "b.tiff", "c.nii.gz") for model in flat]
        + [("c.nii.gz", model) for model in deep]
    )
