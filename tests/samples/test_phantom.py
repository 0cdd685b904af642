"""The drawn body: the same every time, thick slices of what is true, and no light matter to enlarge."""

from __future__ import annotations

import hashlib
from pathlib import Path

import nibabel
import numpy as np

from srcore.catalog import load_catalog
from srcore.samples import make_phantom
from srcore.samples.phantom import draw, thick
from srcore.storage.archive.sources import find_hr, find_scenes
from tests.conftest import ROOT


def test_it_is_a_body_in_hounsfield_units() -> None:
    body = draw()
    assert (body.shape, body.dtype) == ((120, 112, 128), np.dtype(np.int16))
    shares = {
        "air": (body < -950).mean(),
        "lung": ((body > -900) & (body < -780)).mean(),
        "fat": ((body > -130) & (body < -60)).mean(),
        "soft": ((body > 10) & (body < 150)).mean(),
        "bone": (body > 500).mean(),
    }
    assert all(0.01 < share < 0.6 for share in shares.values()), shares
    assert np.array_equal(body, draw())
    assert not np.array_equal(body, draw(seed=6))


def test_thick_slices_weigh_the_thin_ones_as_a_scanner_does() -> None:
    thin = np.zeros((25, 1, 1), np.int16)
    thin[12] = 10_000
    assert thick(thin)[:, 0, 0].tolist() == [0, 0, 2000, 0, 0]  # of 5 slices only the own sees its middle
    thin[:] = 0
    thin[14] = 10_000  # 2 mm above the middle of slice 2, 3 mm below that of slice 3
    assert thick(thin)[:, 0, 0].tolist() == [0, 0, 1309, 691, 0]
    assert (thick(np.full((25, 2, 2), -700, np.int16)) == -700).all()


def test_the_files_lie_upon_each_other_and_the_catalog_finds_them(tmp_path: Path) -> None:
    path = make_phantom(tmp_path / "incoming/body")
    first = hashlib.sha256(path.read_bytes()).hexdigest()
    lr, hr = (nibabel.load(tmp_path / "incoming/body" / side / path.name) for side in ("lr", "hr"))
    assert (lr.shape, hr.shape) == ((128, 112, 24), (128, 112, 120))
    assert lr.header.get_zooms() == (1, 1, 5)
    edges = [image.affine @ [0, 0, end, 1] for image, end in ((lr, -0.5), (hr, -0.5), (lr, 23.5), (hr, 119.5))]
    assert np.allclose(edges[0], edges[1])
    assert np.allclose(edges[2], edges[3])
    assert hashlib.sha256(make_phantom(tmp_path / "incoming/body").read_bytes()).hexdigest() == first
    assert sum(one.stat().st_size for one in tmp_path.rglob("*.gz")) < 4e6
    (tmp_path / "data_catalog.yaml").write_text((ROOT / "data_catalog.yaml").read_text())
    catalog = load_catalog(tmp_path / "data_catalog.yaml")
    entry = catalog.dataset("sample-body")
    assert [one.id for one in find_scenes(entry, catalog.base)] == ["drawn-body"]
    assert list(find_hr(entry, catalog.base)) == ["drawn-body"]
