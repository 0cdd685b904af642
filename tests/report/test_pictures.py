"""The pictures of a page: the whole scene when it is small, else places that hardly overlap; the same ground twice."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from srcore.report.pictures import PLACES, SIDE_HR, Pictures, paint_pictures
from srcore.report.quicklook import look


def paint(shape: tuple[int, ...], seed: int = 0) -> Pictures:
    lr = np.random.default_rng(seed).integers(300, 4000, shape).astype(np.uint16)
    names = [f"band {i + 1}" for i in range(len(lr))]
    return paint_pictures(
        look(
            lambda window: lr[(slice(None), *window)],
            np.ones(lr.shape, bool),
            lr.repeat(2, -2).repeat(2, -1),
            names,
            ["undefined"] * len(lr),
        )
    )


def size(data: bytes) -> tuple[int, int]:
    return Image.open(io.BytesIO(data)).size


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 1, 200), (3, 500, 512), (1, 9, 60, 50)])
def test_a_small_scene_is_one_place(shape: tuple[int, ...]) -> None:
    pictures = paint(shape)
    [place] = pictures.places
    assert place.frame == (0, 0, 1, 1)
    assert size(place.before) == size(place.after) == place.size == (2 * shape[-1], 2 * shape[-2])
    assert size(pictures.overview) == pictures.size


@pytest.mark.parametrize("shape", [(1, 900, 700), (3, 530, 520), (1, 20, 3000)])
def test_a_large_scene_is_several_places(shape: tuple[int, ...]) -> None:
    pictures = paint(shape)
    assert 1 <= len(pictures.places) <= PLACES
    for place in pictures.places:
        assert size(place.before) == size(place.after) == place.size
        assert max(place.size) <= SIDE_HR
        left, top, width, height = place.frame
        assert 0 <= left <= left + width <= 1 + 1e-9
        assert 0 <= top <= top + height <= 1 + 1e-9
        assert width * shape[-1] * 2 == pytest.approx(place.size[0])


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    pictures = paint((3, 90, 70))
    pictures.save(tmp_path / "pictures.json")
    assert Pictures.load(tmp_path / "pictures.json") == pictures
    assert Pictures.load(tmp_path / "none.json") is None
    assert paint((3, 90, 70)) == pictures
