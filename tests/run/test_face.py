"""`import srcore`: what it costs, files as the command line does them, and bare arrays."""

from __future__ import annotations

import ast
import doctest
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import rasterio
import torch

import srcore
from srcore.dispatch import Workers
from srcore.errors import PlanError, SourceError, SRError
from srcore.run.direct import direct_job
from srcore.run.scene import run_scene

ROOT = Path(srcore.__file__).parents[1]
FAST = "srcore-x2-fast"
IMPORT_S = 0.02
"""Of CPU time: a busy machine is slow at everything."""

COST = """\
import sys, time
before, started = set(sys.modules), time.process_time()
import srcore
print(time.process_time() - started)
print(*sorted({name.partition(".")[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names)))
"""


def test_importing_costs_nothing_until_a_name_is_asked_for() -> None:
    told = [
        subprocess.run([sys.executable, "-c", COST], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for _ in range(5)
    ]
    assert {one.splitlines()[1] for one in told} == {"srcore"}
    assert min(float(one.splitlines()[0]) for one in told) < IMPORT_S


def test_the_face_has_its_names_and_no_others() -> None:
    assert set(srcore.__all__) == {"__version__", "open_engine", "super_resolve", "upscale", "validate"}
    assert set(srcore.__all__) <= set(dir(srcore))
    assert all(getattr(srcore, name).__doc__ for name in srcore.__all__)
    with pytest.raises(AttributeError, match="no attribute 'upskale'"):
        srcore.upskale  # noqa: B018


def test_nothing_below_knows_the_face() -> None:
    for path in (ROOT / "srcore").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                assert "srcore" not in {alias.name for alias in node.names}, path
            if isinstance(node, ast.ImportFrom) and node.module == "srcore":
                assert not {alias.name for alias in node.names} & set(srcore.__all__), path


@pytest.mark.parametrize("module", ["srcore.run.face"])
def test_the_examples_of_the_docstrings_run(module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = doctest.testmod(import_module(module))
    assert (found.failed, found.attempted >= 15) == (0, True)


def test_a_path_gives_what_the_command_line_gives(
    landscape: Callable[..., np.ndarray], write_raster: Callable[..., Path]
) -> None:
    source = write_raster(landscape(3))
    date = "2024-01-02"
    product = srcore.upscale(source, source.parent / "a" / "sr.tif", model="bicubic-x2", bands=[2, 1], date=date)
    job = direct_job(str(source), source.parent / "b" / "sr.tif", model="bicubic-x2", bands=("2", "1"), date=date)
    receipt = run_scene(job, Workers(0))
    assert receipt is not None
    assert product.data.read_bytes() == job.product.data.read_bytes()
    assert (product.receipt.configuration, product.verdict) == (receipt.configuration, receipt.verdict)
    for path in (product.stac, product.quicklook, product.page, product.paths.report, product.paths.receipt):
        assert path is not None
        assert path.is_file()
    assert product.stac is not None
    assert f'"{date}T00:00:00Z"' in product.stac.read_text()
    assert product.trust is None
    assert len(product.report.checks) == len(receipt.checks) > 10
    with rasterio.open(product) as sr:  # a product is a path
        assert (sr.count, sr.height) == (2, 122)


def test_a_product_tells_of_itself(landscape: Callable[..., np.ndarray], write_raster: Callable[..., Path]) -> None:
    source = write_raster(landscape(1), "a<b.tif")
    product = srcore.upscale(source, source.parent / "sr<i>.tif", model="bicubic-x2")
    assert repr(product).startswith(f"<srcore product sr<i>.tif: {product.verdict}>")
    for told in (str(product.data), str(product.page), str(product.paths.receipt), "bicubic-x2", "passed"):
        assert told in repr(product)
    html = product._repr_html_()
    assert "sr&lt;i&gt;.tif" in html
    assert "<i>" not in html
    assert 'src="data:image/png;base64,' in html


def test_validate_is_the_command_s_function(
    landscape: Callable[..., np.ndarray], write_raster: Callable[..., Path]
) -> None:
    values = landscape(2)
    lr, good = write_raster(values), np.repeat(np.repeat(values, 2, 1), 2, 2)
    transform = rasterio.Affine(5, 0, 600000, 0, -5, 5200000)
    sr = write_raster(good, "sr.tif", transform=transform)
    bad = write_raster(np.roll(good, 9, 2), "bad.tif", transform=transform)
    assert "registration.shift" not in {check.id for check in srcore.validate(sr, lr).failed_gates}
    assert "registration.shift" in {check.id for check in srcore.validate(bad, lr).failed_gates}
    assert any(check.id == "reference.gain" for check in srcore.validate(sr, lr, sr).checks)


@pytest.mark.parametrize("shape", [(1, 2), (7, 90), (3, 61, 83)])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "float32", "float64"])
def test_an_array_comes_back_in_its_dtype_at_twice_its_size(
    shape: tuple[int, ...], dtype: str, landscape: Callable[..., np.ndarray]
) -> None:
    values = landscape(3, shape[-2:], dtype)[: shape[0]] if len(shape) == 3 else landscape(1, shape, dtype)[0]
    sr = srcore.super_resolve(values, model="nearest-x2", back_projection=0)
    assert sr.dtype == values.dtype
    expected = np.repeat(np.repeat(values, 2, -2), 2, -1).astype(float)
    np.testing.assert_allclose(sr.astype(float), expected, rtol=0, atol=1e-3 if dtype.startswith("f") else 0)


def test_tiled_is_untiled_for_arrays(landscape: Callable[..., np.ndarray]) -> None:
    values = landscape(1, (67, 91))
    values[:, 20:35, 30:70] = 0
    whole = srcore.super_resolve(values, model=FAST, nodata=0, precision="float32")
    for tile in (16, 35):
        tiled = srcore.super_resolve(values, model=FAST, nodata=0, precision="float32", tile=tile)
        assert np.abs(tiled.astype(int) - whole).max() <= 1  # a float on a half may round either way
        assert (tiled != whole).mean() < 1e-3


def test_what_is_nothing_comes_back_as_nothing(landscape: Callable[..., np.ndarray]) -> None:
    values = landscape(2, (40, 50), "float32")
    values[0, 5:12, 6:30] = np.nan
    values[1, 0, 0] = np.inf
    sr = srcore.super_resolve(values, model=FAST)
    np.testing.assert_array_equal(np.isnan(sr), ~np.isfinite(values).repeat(2, 1).repeat(2, 2))
    numbers = landscape(1, (40, 50), "int16")[0]
    numbers[5:12, 6:30] = -1
    sr = srcore.super_resolve(numbers, model=FAST, nodata=-1)
    np.testing.assert_array_equal(sr == -1, (numbers == -1).repeat(2, 0).repeat(2, 1))


def test_byte_order_and_strides_do_not_matter(landscape: Callable[..., np.ndarray]) -> None:
    values = landscape(2, (40, 50))
    expected = srcore.super_resolve(values, model=FAST)
    np.testing.assert_array_equal(srcore.super_resolve(values.astype(">u2"), model=FAST), expected)
    flipped = np.ascontiguousarray(values[:, ::-1])[:, ::-1]
    np.testing.assert_array_equal(srcore.super_resolve(flipped, model=FAST), expected)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
def test_a_tensor_gives_a_tensor(dtype: str, landscape: Callable[..., np.ndarray]) -> None:
    values = landscape(3, (30, 41), "uint8").astype(dtype)
    tensor = torch.from_numpy(values.copy())
    sr = srcore.super_resolve(tensor, model=FAST)
    assert isinstance(sr, torch.Tensor)
    assert (sr.dtype, sr.device) == (tensor.dtype, tensor.device)
    np.testing.assert_array_equal(sr.numpy(), srcore.super_resolve(values, model=FAST))
    np.testing.assert_array_equal(tensor.numpy(), values)
    assert srcore.super_resolve(torch.eye(32, requires_grad=True), model=FAST).shape == (64, 64)


def test_an_engine_stands_for_its_model(landscape: Callable[..., np.ndarray]) -> None:
    values = landscape(1, (40, 50))[0]
    engine = srcore.open_engine(FAST, precision="float32")
    named = srcore.super_resolve(values, model=FAST, precision="float32", backend="eager")
    np.testing.assert_array_equal(srcore.super_resolve(values, model=engine), named)
    assert srcore.open_engine(f"{FAST}@champion").spec.digest == engine.spec.digest


@pytest.mark.parametrize("model", ["srcore-volume-x2", FAST])
def test_a_volume_gets_the_voxels_of_its_file(model: str, tmp_path: Path, landscape: Callable[..., np.ndarray]) -> None:
    values = np.stack([landscape(1, (19, 17), "int16", seed)[0] for seed in range(5)])
    image: Any = nibabel.Nifti1Image(values.T, np.diag([1, 1, 2, 1]))
    nibabel.save(image, tmp_path / "ct.nii")
    options: dict[str, Any] = {"model": model, "tile": 16, "validate": False}
    product = srcore.upscale(tmp_path / "ct.nii", tmp_path / "sr.nii", **options)
    written = np.asarray(nibabel.load(product.data).dataobj).T
    array = values if model == "srcore-volume-x2" else values[None]
    sr = srcore.super_resolve(array, model=model, tile=16)
    np.testing.assert_array_equal(sr.reshape(written.shape), written)


PLANE = np.zeros((20, 20), "uint8")
REFUSED: list[tuple[Callable[[], Any], type[SRError], str]] = [
    (lambda: srcore.upscale("a.tif"), PlanError, "no output is named for a.tif; give one"),
    (lambda: srcore.upscale(PLANE), SourceError, "found ndarray; give a path, an xarray.DataArray"),
    (lambda: srcore.upscale("a.tif", "b.tif", device="gpu"), PlanError, "found 'gpu'; give auto, cpu or cuda"),
    (lambda: srcore.upscale("a.tif", "b.tif", backend="x"), PlanError, "backend is not known; found 'x'"),
    (lambda: srcore.upscale("a.tif", "b.tif", precision="x"), PlanError, "precision is not known; found 'x'"),
    (lambda: srcore.upscale("a.tif", "b.tif", model="no"), SRError, "unknown model 'no'"),
    (lambda: srcore.super_resolve(PLANE.astype("int64")), SourceError, "found int64; convert it to one of uint8"),
    (lambda: srcore.super_resolve(PLANE > 0), SourceError, "found bool; convert it"),
    (lambda: srcore.super_resolve(PLANE[0]), SourceError, r"found shape \(20,\); give \(Y, X\), \(C, Y, X\)"),
    (lambda: srcore.super_resolve(np.zeros((0, 9), "uint8")), SourceError, "the array is empty"),
    (lambda: srcore.super_resolve(np.zeros((40, 50, 3), "uint8")), SourceError, "channels seem to come last"),
    (lambda: srcore.super_resolve(np.ma.masked_equal(PLANE, 0)), SourceError, "masked arrays are not read"),
    (lambda: srcore.super_resolve(PLANE, nodata=-1), SourceError, "nodata -1 does not fit the pixels; found uint8"),
    (lambda: srcore.super_resolve(PLANE, precision="int8"), PlanError, "int8 is calibrated on a scene's files"),
    (lambda: srcore.super_resolve(PLANE, sharpen=-1), PlanError, "sharpen is out of range"),
    (lambda: srcore.super_resolve(PLANE, back_projection=9), PlanError, "back_projection is out of range"),
    (lambda: srcore.super_resolve(PLANE, model="srcore-volume-x2"), SourceError, r"give \(Z, Y, X\)"),
    (lambda: srcore.super_resolve(torch.zeros(9, 9, dtype=torch.bfloat16)), SourceError, "the tensor cannot be read"),
]


@pytest.mark.parametrize(("call", "kind", "said"), REFUSED)
def test_what_cannot_be_done_is_told_in_one_line(call: Callable[[], Any], kind: type[SRError], said: str) -> None:
    with pytest.raises(kind, match=said) as caught:
        call()
    assert "\n" not in str(caught.value)
