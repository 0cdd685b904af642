"""A tile is a window of the scene, whatever the other tiles are."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

from srcore.storage.cut import cut
from srcore.storage.scene import open_scene, read_header
from srcore.tiling import TilePlan

HALO = (0, 3, 3)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_a_slice_is_filled_from_itself_however_deep_the_tiles_are(tmp_path: Path, depth: int) -> None:
    values = np.random.default_rng(4).random((7, 20, 23), np.float32)
    values[2:5, 6:12, 5:15] = np.nan  # deep enough for neighbours in the next slices to be the nearest
    values[5, 8, 8] = np.nan
    nibabel.Nifti1Image(values.T, np.eye(4)).to_filename(tmp_path / "v.nii.gz")
    whole, tiles = (TilePlan(values.shape, core, HALO, (1, 2, 2)) for core in ((7, 20, 23), (depth, 8, 8)))
    with open_scene(read_header([tmp_path / "v.nii.gz"], "volume")) as reader:
        expected = cut(reader, whole, whole[0]).values
        for tile in tiles:
            seen = tuple(slice(w.start, w.stop + 2 * h) for w, h in zip(tile.core, HALO, strict=True))
            inside = tuple(slice(0, s.stop - s.start) for s in seen)
            np.testing.assert_array_equal(
                cut(reader, tiles, tile).values[(slice(None), *inside)], expected[(slice(None), *seen)]
            )
