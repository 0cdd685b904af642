"""A whole image in memory gives the pixels that a run publishes, to the bit: whatever its dtype, nodata and form."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch

from srcore.catalog.dataset import Dataset
from srcore.checkpoints import BUILTIN, Architecture, Spec, locate, read_spec
from srcore.dispatch import Workers
from srcore.engine import Engine
from srcore.memory.whole import NETWORK_ALONE, PUBLISHED, Form, form_of, open_whole, super_resolved
from srcore.run.direct import direct_job
from srcore.run.scene import run_scene
from srcore.storage.whole_images import Image, read_image
from srcore.treatment import Treatment
from srcore.weights import build, load_generator, save_checkpoint

Land = Callable[..., np.ndarray]
Write = Callable[..., Path]


def opened(model: str) -> Engine:
    return open_whole(*load_generator(locate(model)))


def published(lr: Path, model: str, treatment: Treatment) -> Image:
    """What a run of the whole pipeline writes."""
    job = direct_job(
        str(lr),
        lr.parent / f"sr-{lr.name}",
        model=model,
        back_projection=treatment.back_projection,
        denoise=treatment.denoise,
        sharpen=treatment.sharpen,
        backend="eager",
        validate=False,
        outputs=("cog",),
    )
    run_scene(job, Workers(0))
    return read_image(job.product.data)


def holed(values: np.ndarray, number: float) -> np.ndarray:
    """With a corner, a stripe and single pixels of nodata, other ones in the second band."""
    values = values.copy()
    values[:, :7, :9] = number
    values[0, 20:23] = number
    values[1, 40, 5::11] = number
    return values


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


TREATMENTS = (Treatment(), NETWORK_ALONE.treatment, Treatment(back_projection=2, denoise=1.0, sharpen=0.5))


@pytest.mark.parametrize("treatment", TREATMENTS, ids=lambda one: str(one.changed()))
def test_nodata_and_every_treatment(treatment: Treatment, landscape: Land, write_raster: Write) -> None:
    lr = write_raster(holed(landscape(), 0), nodata=0)
    product = published(lr, "srcore-x2-fast", treatment)
    image = read_image(lr)
    sr = super_resolved(opened("srcore-x2-fast"), image, treatment)
    assert image.nodata == (0, 0)
    np.testing.assert_array_equal(sr, product.values)
    assert (sr[product.valid] != 0).all()
    assert (sr[~product.valid] == 0).all()
    assert not product.valid.all()


@pytest.mark.parametrize("kind", ["uint8 mask", "float nan", "bicubic", "two tiles"])
def test_every_sort_of_raster(kind: str, landscape: Land, write_raster: Write) -> None:
    model, options, mask = "srcore-x2-fast", {}, None
    if kind == "uint8 mask":
        values = landscape(3, dtype="uint8")
        mask = np.where(np.arange(83) > 9, np.full((61, 83), 255), 0).astype(np.uint8)
    elif kind == "float nan":
        values = holed(landscape().astype(np.float32) / 3000 - 0.5, np.nan)
    elif kind == "two tiles":
        values = holed(landscape(2, (41, 1100)), 7)
        options = {"nodata": 7}
    else:
        values = landscape(1, dtype="int16")
        model = "bicubic-x2"
    lr = write_raster(values, mask=mask, **options)
    product = published(lr, model, Treatment())
    sr = super_resolved(opened(model), read_image(lr))
    # A mask says where nothing is, and what stands under it is nobody's number.
    np.testing.assert_array_equal(np.where(product.valid, sr, 0), np.where(product.valid, product.values, 0))
    assert product.valid.mean() > 0.5


@pytest.mark.parametrize("model", ["srcore-x2-fast", "srcore-volume-x2"])
def test_volumes_of_stored_numbers(model: str, tmp_path: Path) -> None:
    z, y, x = np.mgrid[:11, :26, :31]
    stored = (900 * np.sin(x / 4 + z / 5) * np.cos(y / 3)).astype(np.int16)
    ct = nibabel.Nifti1Image(stored.T, np.diag([0.7, 0.7, 2.0, 1.0]))
    ct.header.set_slope_inter(0.5, -1024)
    ct.header.set_data_dtype(np.int16)
    nibabel.save(ct, tmp_path / "ct.nii.gz")
    kept = read_image(tmp_path / "ct.nii.gz").values
    assert kept.dtype == np.int16
    product = published(tmp_path / "ct.nii.gz", model, Treatment())
    np.testing.assert_array_equal(super_resolved(opened(model), read_image(tmp_path / "ct.nii.gz")), product.values)


@pytest.mark.parametrize(
    ("name", "params"), [("unet", {"width": 4, "levels": 2}), ("edsr", {"width": 4, "blocks": 1, "bands": 2})]
)
def test_a_grid_and_bands_that_are_seen_together(
    name: str, params: dict[str, Any], tmp_path: Path, landscape: Land, write_raster: Write
) -> None:
    blank = Spec(name="tiny", architecture=Architecture(name=name, params=params), scale=(2, 2), halo=(0, 0))
    generator = build(blank)
    together = "any" if generator.bands == 1 else generator.bands
    geometry = {"halo": (generator.halo,) * 2, "core_multiple": generator.core_multiple, "bands": together}
    save_checkpoint(tmp_path / "tiny", blank.model_copy(update=geometry), generator, "")
    lr = write_raster(holed(landscape(), 0), nodata=0)
    product = published(lr, str(tmp_path / "tiny"), Treatment())
    np.testing.assert_array_equal(super_resolved(opened(str(tmp_path / "tiny")), read_image(lr)), product.values)


def test_the_forms_differ_and_say_what_they_are(landscape: Land) -> None:
    values = landscape()
    image = Image(values, np.ones(values.shape, bool), (None, None))
    engine = opened("srcore-x2")
    ours, alone = (super_resolved(engine, image, form.treatment).astype(int) for form in (PUBLISHED, NETWORK_ALONE))
    assert 0.2 < (ours != alone).mean() < 1
    # What a product promises of its LR, and the network alone does not: averaged down, it is the LR.
    off = [np.abs(sr.reshape(2, 61, 2, 83, 2).mean((2, 4)) - values).mean() for sr in (ours, alone)]
    assert off[0] < 0.6 * off[1]
    assert str(PUBLISHED) == "as published: 1 step of back-projection, no filters"
    assert str(Form(Treatment(back_projection=0))) == "as published: no steps of back-projection, no filters"
    filtered = Form(Treatment(back_projection=2, denoise=1.0, sharpen=0.1))
    assert str(filtered) == "as published: 2 steps of back-projection, denoise 1, sharpen 0.1"
    assert str(Form(precision="int8")).startswith("as published but for int8:")
    volume = read_spec(BUILTIN / "srcore-volume-x2")
    assert str(PUBLISHED.of(volume)) == "as published: 3 steps of back-projection, no filters"
    assert str(NETWORK_ALONE.of(volume)) == str(NETWORK_ALONE)
    assert str(PUBLISHED.of(read_spec(BUILTIN / "srcore-x2"))) == str(PUBLISHED)
    assert str(NETWORK_ALONE) == "of the network alone, which is not what is published"


def test_a_dataset_says_its_form() -> None:
    entry = Dataset(kind="raster", source="./*.tif", model="srcore-x2", back_projection=3, denoise=0.5, sharpen=0.2)
    assert form_of(entry) == Form(Treatment(back_projection=3, denoise=0.5, sharpen=0.2))
    assert form_of(Dataset(kind="raster", source="./*.tif", model="srcore-x2")) == PUBLISHED
