"""Uneven and tilted series on request: even, straight slices, whose numbers are those of another program."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray

from srcore.dispatch import Workers
from srcore.errors import SourceError
from srcore.run.direct import direct_job
from srcore.run.scene import run_scene
from srcore.storage.header import Header
from srcore.storage.scene import open_scene, read_header
from tests.storage.dicom.series import PATIENT, numbers, write_series
from tests.storage.dicom.test_refused import refusal

sitk = pytest.importorskip("SimpleITK", reason="SimpleITK is not installed (extra: dev)")
HERE = Workers(0)
SHAPE = (7, 14, 12)
SLOPE = float(np.tan(np.radians(20)))


def body(shape: tuple[int, ...] = SHAPE) -> NDArray[np.int16]:
    """Smooth numbers (Z, Y, X) with some noise: neighbours differ by tens."""
    z, y, x = np.indices(shape)
    smooth = 500 * np.sin(x / 3) + 300 * np.cos(y / 4) + 90 * z + 1100
    return np.asarray(smooth + np.random.default_rng(0).normal(0, 20, shape), np.int16)


def tilted(folder: Path, heights: list[float] | None = None, **changes: Any) -> Path:
    """Slices of 0.75 x 0.5 mm every 2.5 mm that lie ever further back, as a gantry of 20 degrees gives them."""
    at = heights or [2.5 * i for i in range(SHAPE[0])]
    changes = {"ImagePositionPatient": lambda i: [-20.0, 30.0 + SLOPE * at[i], 100.0 + at[i]], **changes}
    return write_series(folder, body(), **changes)


def whole(header: Header) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    with open_scene(header) as reader:
        values, valid = reader.read(tuple(slice(0, n) for n in header.grid.shape))
    return values[0], valid[0]


def image(values: NDArray[Any], header: Header, origin: tuple[float, float, float], step: NDArray[np.float64]) -> Any:
    """A SimpleITK image of slices (Z, Y, X) whose first voxel lies at `origin`, each a `step` further, in LPS."""
    found = sitk.GetImageFromArray(values.astype(np.float64))
    length = float(np.linalg.norm(step))
    _, rows, columns = header.grid.spacing()
    found.SetSpacing((columns, rows, length))
    found.SetOrigin(origin)
    directions = np.stack([[1, 0, 0], [0, 1, 0], step / length], axis=1)
    found.SetDirection(directions.ravel().tolist())
    return found


def resampled(source: Any, header: Header, outside: float = -5000.0) -> NDArray[np.float64]:
    """The same on the grid of `header` (axial, LPS along its axes), by SimpleITK."""
    depth, rows, columns = header.grid.shape
    step, height, width = header.grid.spacing()
    right, front, head = header.grid.to_world((0.5, 0.5, 0.5))
    grid = sitk.Image(columns, rows, depth, sitk.sitkFloat64)
    grid.SetSpacing((width, height, step))
    grid.SetOrigin((-right, -front, head))
    return np.asarray(
        sitk.GetArrayFromImage(sitk.Resample(source, grid, sitk.Transform(), sitk.sitkLinear, outside)), np.float64
    )


def test_a_tilted_series_is_straightened_as_simpleitk_does_it(tmp_path: Path) -> None:
    folder = tilted(tmp_path)
    assert refusal(folder).code == "GANTRY_TILT"
    header = read_header([folder], resample="untilt")
    values, valid = whole(header)
    theirs = resampled(image(body(), header, (-20, 30, 100), np.array([0, 2.5 * SLOPE, 2.5])), header)
    # 6 steps of 2.5 mm that lie 0.91 mm aside each: 7.3 rows of 0.75 mm
    assert header.grid.shape == (7, 14 + 8, 12)
    assert header.grid.spacing() == pytest.approx((2.5, 0.75, 0.5))
    assert 0.55 < valid.mean() < 14 / 22
    assert np.abs(values - theirs)[valid].max() <= 0.5 + 1e-6
    assert (theirs[~valid] == -5000).mean() > 0.7  # ITK repeats half a voxel at an edge
    assert (values[~valid] == -32768).all()
    assert header.bands[0].nodata == -32768
    assert [flag for flag in header.flags if "tilted by 20.0 degrees" in flag]
    bounds = np.array(header.grid.bounds())
    assert np.isfinite(bounds).all()


def test_uneven_slices_are_made_even_as_simpleitk_does_it(tmp_path: Path) -> None:
    heights = [0.0, 2.5, 5.0, 7.5, 11.0, 14.5, 18.5]
    folder = write_series(tmp_path, body(), ImagePositionPatient=lambda i: [-20.0, 30.0, heights[i]])
    assert refusal(folder).code == "SLICES_UNEVEN"
    header = read_header([folder], resample="even")
    values, valid = whole(header)
    assert header.grid.shape == (8, 14, 12)
    assert header.grid.spacing()[0] == pytest.approx(18.5 / 7)
    assert valid.all()
    for place in range(8):
        height = place * 18.5 / 7
        low = min(int(np.searchsorted(heights, height, side="right")) - 1, 5)
        gap = heights[low + 1] - heights[low]
        pair = image(body()[low : low + 2], header, (-20, 30, heights[low]), np.array([0, 0, gap]))
        theirs = resampled(pair, header)[place]
        assert np.abs(values[place] - theirs).max() <= 0.5 + 1e-6
    assert [flag for flag in header.flags if "8 every 2.643 mm were made of 7" in flag]


def test_both_at_once(tmp_path: Path) -> None:
    folder = tilted(tmp_path, [0.0, 2.5, 5.0, 7.5, 11.0, 14.5, 18.5])
    assert refusal(folder, resample="even").code == "GANTRY_TILT"
    header = read_header([folder], resample="untilt")
    values, valid = whole(header)
    assert header.grid.shape[0] == 8
    assert np.array_equal(values[0][valid[0]].reshape(14, 12), body()[0])
    assert np.array_equal(values[-1][valid[-1]].reshape(-1, 12), body()[-1]) or valid[-1].sum() >= 13 * 12


@pytest.mark.parametrize("angle", [0.0, 35.0])
@pytest.mark.parametrize("lean", [(0.0, 0.4), (0.0, -0.4), (0.3, -0.2), (-0.3, 0.0)])
@pytest.mark.parametrize("step", [2.5, -2.5])
def test_a_plane_of_numbers_stays_one_however_the_slices_lie(
    tmp_path: Path, angle: float, lean: tuple[float, float], step: float
) -> None:
    """What is linear in the room is so after linear resampling: place, direction and HU, oblique or reversed."""
    turn = np.radians(angle)
    right = np.array([np.cos(turn), np.sin(turn) * 0.8, np.sin(turn) * 0.6])
    front = np.cross([0.0, -0.6, 0.8], right)
    up, at = np.cross(right, front), [0.0, 2.5, 5.0, 8.0, 11.0, 13.5, 16.0]
    slope = np.array([3.0, -2.0, 5.0])

    def start(place: int) -> NDArray[np.float64]:
        mm = at[place] * np.sign(step)
        return np.array([-20.0, 30.0, 100.0]) + mm * up + at[place] * (lean[0] * right + lean[1] * front)

    rows, columns = np.indices((14, 12))
    room = [start(i) + rows[..., None] * 0.75 * front + columns[..., None] * 0.5 * right for i in range(7)]
    numbers = np.asarray(np.rint([plane @ slope + 1000 for plane in room]), np.int16)
    where = {
        "ImagePositionPatient": lambda i: [float(f"{one:.10g}") for one in start(i)],
        "ImageOrientationPatient": [float(f"{one:.10g}") for one in (*right, *front)],
    }
    header = read_header([write_series(tmp_path, numbers, **where)], resample="untilt")
    values, valid = whole(header)
    index = np.indices(values.shape).reshape(3, -1).T + 0.5
    x, y, z = np.array([header.grid.to_world(one) for one in index]).T  # RAS
    theirs = (np.stack([-x, -y, z], axis=1) @ slope + 1000).reshape(values.shape)
    assert np.abs(values - theirs)[valid].max() <= 1.0 + 1e-3
    assert valid.sum() > 0.6 * numbers.size
    directions = header.grid.matrix[:, :3] / header.grid.spacing()
    assert np.abs(directions.T @ directions - np.eye(3)).max() < 1e-6


def test_windows_are_parts_of_the_whole_and_even_series_stay_as_they_are(tmp_path: Path) -> None:
    header = read_header([tilted(tmp_path / "tilted")], resample="untilt")
    values, valid = whole(header)
    window = (slice(2, 5), slice(3, 9), slice(1, 11))
    with open_scene(header) as reader:
        part, seen = reader.read(window)
    assert np.array_equal(part[0], values[window])
    assert np.array_equal(seen[0], valid[window])
    plain = write_series(tmp_path / "plain", body())
    assert read_header([plain], resample="untilt").extra == read_header([plain]).extra
    assert read_header([plain], resample="untilt").grid == read_header([plain]).grid


def test_padding_stays_padding_and_is_mixed_with_nothing(tmp_path: Path) -> None:
    values = body()
    values[:, :4] = -2000
    folder = write_series(
        tmp_path, values, PixelPaddingValue=-2000, ImagePositionPatient=lambda i: [-20.0, 30.0 + 0.5 * i, 2.5 * i]
    )
    found, valid = whole(read_header([folder], resample="untilt"))
    assert set(np.unique(found[~valid])) == {-2000}
    assert found[valid].min() > 0


def test_missing_slices_are_not_made_up_and_a_mistake_of_the_header_is_refused(tmp_path: Path) -> None:
    gap = [0.0, 2.5, 5.0, 12.5, 15.0, 17.5, 20.0]
    folder = write_series(tmp_path / "gap", body(), ImagePositionPatient=lambda i: [-20.0, 30.0, gap[i]])
    assert refusal(folder, resample="even").code == "SLICES_MISSING"
    near = [0.0, 2.5, 5.0, 5.1, 7.5, 10.0, 12.5]
    folder = write_series(tmp_path / "near", body(), ImagePositionPatient=lambda i: [-20.0, 30.0, near[i]])
    told = refusal(folder, resample="even")
    assert (told.code, "126 even slices of 7" in str(told)) == ("SLICES_UNEVEN", True)


def test_a_slice_far_aside_or_nowhere_is_refused(tmp_path: Path) -> None:
    far = tilted(tmp_path / "beside-them", ImagePositionPatient=lambda i: [-20.0, 30.0 + 1e6 * (i == 6), 2.5 * i])
    told = refusal(far, resample="untilt")
    assert (told.code, "1.33333e+06 rows and 0 columns" in str(told)) == ("GANTRY_TILT", True)
    nowhere = write_series(
        tmp_path / "nan", body(), ImagePositionPatient=lambda i: [0, 0, "nan" if i == 3 else 2.5 * i]
    )
    assert refusal(nowhere, resample="even").code in ("NO_GEOMETRY", "DAMAGED")


def test_a_derived_series_and_its_receipt_say_so(tmp_path: Path) -> None:
    folder = tilted(tmp_path / "in", [0.0, 2.5, 5.0, 7.5, 11.0, 14.5, 18.5], GantryDetectorTilt=20)
    job = direct_job(str(folder), tmp_path / "out" / "sr", model="bicubic-x2", resample="untilt", validate=False)
    receipt = run_scene(job, HERE)
    assert receipt is not None
    assert receipt.parameters["resample"] == "untilt"
    assert any("tilted by 20.0 degrees" in flag for flag in receipt.flags)
    slices = [pydicom.dcmread(path) for path in sorted((tmp_path / "out" / "sr").iterdir())]
    said = slices[0].DerivationDescription
    assert said.startswith("slices made even and straightened (gantry tilt 20.0 degrees) by linear resampling, super-")
    assert slices[0].GantryDetectorTilt == 0
    assert [len(one.SourceImageSequence) for one in slices] == [1, 2, 2, 2, 2, 2, 2, 1]
    assert PATIENT not in str(slices[0])
    again = read_header([tmp_path / "out" / "sr"])
    assert again.grid.shape == (8, 2 * (14 + 9), 24)


def test_a_raster_has_nothing_to_make_even(tmp_path: Path) -> None:
    from tests.flows.test_entry import raster

    raster(tmp_path / "a.tif")
    with pytest.raises(SourceError, match="a raster has no slices"):
        read_header([tmp_path / "a.tif"], resample="even")
    with pytest.raises(SourceError, match="a raster has no slices"):
        read_header([tmp_path / "a.tif"], volume="EchoTime=30")


@pytest.mark.parametrize("name", ["resample", "series"])
def test_a_nifti_is_no_series(tmp_path: Path, name: str) -> None:
    nibabel.Nifti1Image(numbers(), np.eye(4)).to_filename(tmp_path / "v.nii")
    with pytest.raises(SourceError, match="it is no DICOM series") as raised:
        read_header([tmp_path / "v.nii"], **{name: "even"})
    assert raised.value.code == "BAD_SETTING"


def test_the_tilted_series_of_the_shared_data(shared_data: Path) -> None:
    header = read_header([shared_data / "data/medical/dicom_ct_tilt"], resample="untilt")
    values, valid = whole(header)
    assert header.grid.shape[0] == 10
    assert values.shape[1] > 512
    matrix = header.grid.matrix[:, :3]
    steps = matrix / np.linalg.norm(matrix, axis=0)
    assert np.abs(steps.T @ steps - np.eye(3)).max() < 1e-4
    assert 0.5 < valid.mean() < 1
