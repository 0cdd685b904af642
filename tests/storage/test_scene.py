"""One door: a raster and a volume answer the same questions."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest

from srcore.errors import SourceError
from srcore.storage.header import Header
from srcore.storage.scene import open_scene, read_header

WINDOW = {"raster": (slice(1, 4), slice(2, 9)), "volume": (slice(0, 2), slice(1, 4), slice(2, 5))}


@pytest.fixture(params=["raster", "volume"])
def scene(request, write_raster, tmp_path: Path):
    """Kind, file, values (C, ...) of a scene."""
    if request.param == "raster":
        values = (np.arange(77, dtype=np.int16) + 1).reshape(1, 7, 11)
        return "raster", write_raster(values), values
    data = (np.arange(210, dtype=np.int16) + 1).reshape(7, 6, 5)
    nibabel.Nifti1Image(data, np.eye(4)).to_filename(tmp_path / "v.nii.gz")
    return "volume", tmp_path / "v.nii.gz", data.T[None]


def test_header_and_windows(scene) -> None:
    kind, path, values = scene
    header = read_header([path], kind, nodata=3, roots=[path.parent])
    assert (header.kind, header.grid.shape, header.dtype) == (kind, values.shape[1:], "int16")
    assert header.paths == (path,)
    with open_scene(header) as reader:
        read, valid = reader.read(WINDOW[kind])
    np.testing.assert_array_equal(read, values[(slice(None), *WINDOW[kind])])
    np.testing.assert_array_equal(valid, read != 3)


def test_a_header_survives_json_and_opens_again(scene) -> None:
    kind, path, values = scene
    header = Header.from_json(json.loads(json.dumps(read_header([path], kind).to_json())))
    assert header == read_header([path], kind)
    with open_scene(header) as reader:
        np.testing.assert_array_equal(reader.read(tuple(slice(0, n) for n in header.grid.shape))[0], values)


def test_no_alpha_to_read(scene) -> None:
    kind, path, _ = scene
    with open_scene(read_header([path], kind)) as reader, pytest.raises(SourceError, match="no alpha"):
        reader.read_alpha(WINDOW[kind])


def test_the_other_kind_is_refused(scene) -> None:
    kind, path, _ = scene
    with pytest.raises(SourceError, match=r"is no (raster|volume); found a (raster|volume)"):
        read_header([path], "volume" if kind == "raster" else "raster")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    for kind in ("raster", "volume"):
        with pytest.raises(SourceError, match="cannot be read; found no such file"):
            read_header([tmp_path / "missing"], kind)
