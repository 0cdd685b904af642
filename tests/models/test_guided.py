"""Laws of the generator with guides: tiles, halo, order and number of guides, levels, and what it finds by itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from srcore.checkpoints import Architecture
from srcore.models.backprojection import mean_down
from srcore.models.blocks import CubicUpsample, centre_crop
from srcore.models.guided import Guided, optics, regressed
from srcore.models.halo import halo_from_layers, probe
from srcore.training.data.guided import repeated
from srcore.weights import build, describe

PARAMS = {"width": 8, "blocks": 1, "windows": [3, 5]}


@pytest.fixture
def generator() -> Guided:
    torch.manual_seed(0)
    found = Guided(**PARAMS).eval()  # type: ignore[arg-type]
    torch.set_num_threads(1)
    return found


def scene(guides: int, side: int, seed: int = 1) -> Tensor:
    """(1, 1 + guides, side, side): smooth noise, the first band with pixels repeated."""
    noise = torch.randn((1, 1 + guides, side + 2, side + 2), generator=torch.Generator().manual_seed(seed))
    smooth = torch.nn.functional.avg_pool2d(noise, 3, 1)
    return torch.cat([repeated(mean_down(smooth[:, :1], (2, 2)), 2), smooth[:, 1:]], 1)


def test_the_halo_is_that_of_the_layers_and_no_pixel_beyond_it_counts(generator: Guided) -> None:
    assert halo_from_layers(generator) == generator.halo == 2 * (2 + 2 + 1 + 4)
    assert probe(generator, generator.halo) < 1e-6


def test_tiles_on_the_grid_of_the_lr_are_the_whole(generator: Guided) -> None:
    h, x = generator.halo, scene(3, 96)
    with torch.inference_mode():
        whole = generator(x)
        side = whole.shape[-1]
        for top in (0, 14, 22):
            tile = generator(x[..., top : top + 20 + 2 * h, 8 : 8 + 26 + 2 * h])
            assert float((tile - whole[..., top : top + 20, 8 : 8 + 26]).abs().max()) <= 1e-6
    assert side == 96 - 2 * h


@pytest.mark.parametrize("guides", [1, 2, 4, 6])
def test_any_number_of_guides_goes_in_any_order(generator: Guided, guides: int) -> None:
    x = scene(guides, 64)
    turned = x[:, [0, *range(guides, 0, -1)]]
    with torch.inference_mode():
        found, other = generator(x), generator(turned)
    assert torch.isfinite(found).all()
    torch.testing.assert_close(found, other, atol=1e-4, rtol=0)


def test_a_flat_band_stays_flat_and_contrast_and_level_go_through(generator: Guided) -> None:
    x = scene(2, 64)
    flat = torch.cat([torch.full_like(x[:, :1], 0.4), x[:, 1:]], 1)
    with torch.inference_mode():
        assert float((generator(flat) - 0.4).abs().max()) < 1e-6
        changed = generator(torch.cat([3 * x[:, :1] - 1, x[:, 1:]], 1))
        torch.testing.assert_close(changed, 3 * generator(x) - 1, atol=1e-4, rtol=1e-4)
        brighter = generator(torch.cat([x[:, :1], 5 * x[:, 1:] + 2], 1))
        torch.testing.assert_close(brighter, generator(x), atol=2e-2, rtol=0)


def test_flat_guides_leave_the_band_as_the_lr_alone_gives_it(generator: Guided) -> None:
    x = scene(2, 64)
    x[:, 1:] = 0.7
    with torch.inference_mode():
        plain, _ = generator.classical(x)
    bicubic = CubicUpsample(2)(x[:, :1, ::2, ::2])
    torch.testing.assert_close(plain, centre_crop(bicubic, (bicubic.shape[-1] - plain.shape[-1]) // 2))


def test_a_band_that_is_a_mixture_of_the_guides_is_found_before_anything_is_learned(generator: Guided) -> None:
    guides = scene(2, 120)[:, 1:]
    truth = 2 * guides[:, :1] - guides[:, 1:] + 3
    lr = generator._seen(truth)
    inner = centre_crop(guides, 4)
    x = torch.cat([repeated(lr, 2), inner], 1)
    with torch.inference_mode():
        plain, _ = generator.classical(x)
    target = centre_crop(truth, (truth.shape[-1] - plain.shape[-1]) // 2)
    bicubic = CubicUpsample(2)(lr)
    cubic = centre_crop(bicubic, (bicubic.shape[-1] - plain.shape[-1]) // 2)
    assert float((plain - target).square().mean()) < 0.02 * float((cubic - target).square().mean())


def test_weights_are_least_squares_of_each_window() -> None:
    rng = np.random.default_rng(0)
    guides, lr = rng.normal(size=(1, 3, 9, 9)), rng.normal(size=(1, 1, 9, 9))
    weights, base = regressed(torch.from_numpy(lr), torch.from_numpy(guides), 9)
    centred = (guides - guides.mean(axis=(2, 3), keepdims=True)).reshape(3, -1)
    square = centred @ centred.T / 81
    ridge = 1e-2 * np.trace(square) / 3
    wanted = np.linalg.solve(square + ridge * np.eye(3), centred @ (lr - lr.mean()).ravel() / 81)
    np.testing.assert_allclose(weights[0, :, 0, 0].numpy(), wanted, rtol=1e-4)
    level = lr.mean() - wanted @ guides.mean(axis=(2, 3))[0]
    assert float(base) == pytest.approx(level, rel=1e-4)


def test_the_optics_have_the_contrast_that_is_asked_for() -> None:
    for mtf in (0.2, 0.3, 0.4):
        kernel = optics(mtf, 2).double()
        place = torch.arange(len(kernel)) - (len(kernel) - 1) / 2
        assert float((kernel * torch.cos(torch.pi * place / 2)).sum()) == pytest.approx(mtf, abs=0.02)


def test_the_spec_says_what_it_takes() -> None:
    spec = describe("tiny", Architecture(name="guided", params=PARAMS))
    assert (spec.zoom, spec.scale, spec.bands, spec.core_multiple, spec.halo) == (2, (1, 1), "any", 2, (18, 18))
    assert spec.halo_around(2, 0) == (18, 18)


@pytest.mark.parametrize("wrong", [{"zoom": 1}, {"windows": [4]}, {"windows": []}, {"mtf": 0}])
def test_what_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    from srcore.errors import CheckpointError

    with pytest.raises(CheckpointError):
        build(describe("tiny", Architecture(name="guided", params={**PARAMS, **wrong})))
