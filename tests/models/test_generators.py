"""One set of laws for every generator: shape, halo, tiles, learning, the checkpoint, the engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from srcore.checkpoints import Architecture, Spec
from srcore.engine import BlockFacts, open_engine, super_resolve
from srcore.errors import CheckpointError
from srcore.models import GENERATORS, Generator
from srcore.models.halo import halo_from_layers, probe
from srcore.models.interpolation import Bicubic
from srcore.radiometry import Normalisation
from srcore.tiling import TilePlan, asked_tiles, chosen_tiles
from srcore.treatment import Treatment
from srcore.weights import build, describe, load_generator, save_checkpoint

SMALL: dict[str, dict[str, Any]] = {
    "edsr": {"width": 8, "blocks": 2},
    "edsr-volume": {"width": 8, "blocks": 1},
    "slices": {"width": 8},
    "srcnn": {"widths": (16, 8)},
    "fsrcnn": {"width": 16},
    "resnet-deconv": {"width": 8, "blocks": 2},
    "mobile": {"width": 8, "blocks": 2},
    "unet": {"width": 8, "levels": 2},
    "swinir": {"width": 8, "depths": (2,), "heads": 2},
    "srgan": {"width": 8, "blocks": 1},
    "span": {"width": 8, "blocks": 3},
}


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Threads cost more than these small passes."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


VOLUMES = ("edsr-volume", "slices")
VOLUME_SCALES = [(2, 2, 2), (5, 1, 1), (1, 2, 3)]
CASES = [
    pytest.param(name, {**params, "scale": scale}, id=f"{name}-{scale}")
    for name, params in SMALL.items()
    for scale in (VOLUME_SCALES if name in VOLUMES else [2, 3, 4])
]
ONE_EACH = [case for case in CASES if case.values[1]["scale"] in (2, (2, 2, 2))] + [CASES[4]]


def spec_of(name: str, params: dict[str, Any]) -> Spec:
    return describe("tiny", Architecture(name=name, params=params))


def generator_of(name: str, params: dict[str, Any]) -> Generator:
    torch.manual_seed(0)
    generator = build(spec_of(name, params)).eval()
    if name == "slices":  # begins with none: a halo that is wrong would not be seen
        torch.nn.init.normal_(generator.get_parameter("tail.weight"), std=0.05)
    return generator


def texture(generator: Generator, core: int) -> torch.Tensor:
    """Fine noise (1, B, core + 2 halo, ...), as smooth as an image is."""
    shape = (1, generator.bands, *(core + 2 * generator.halo + 2,) * generator.axes)
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    pool = torch.nn.functional.avg_pool2d if generator.axes == 2 else torch.nn.functional.avg_pool3d
    return pool(noise, 3, stride=1)


def test_the_set_covers_every_generator_that_learns() -> None:
    laws_of_its_own = {"guided"}  # test_guided: its input is a band and its guides
    assert set(SMALL) | laws_of_its_own == {
        name for name, kind in GENERATORS.items() if any(True for _ in kind().parameters())
    }


@pytest.mark.parametrize(("name", "params"), CASES)
def test_the_output_is_core_times_scale_and_the_halo_is_proved(name: str, params: dict[str, Any]) -> None:
    generator = generator_of(name, params)
    core = 2 * generator.core_multiple * 5
    with torch.inference_mode():
        sr = generator(texture(generator, core))
    assert sr.shape == (1, 1, *(core * scale for scale in generator.scales))
    assert sr.dtype == torch.float32
    assert halo_from_layers(generator) == generator.halo
    assert probe(generator, generator.halo) <= 1e-6


@pytest.mark.parametrize(("name", "params"), ONE_EACH)
def test_through_a_checkpoint_and_the_engine_tiled_is_untiled(
    name: str, params: dict[str, Any], tmp_path: Path
) -> None:
    spec = save_checkpoint(tmp_path, spec_of(name, params), generator_of(name, params), "# tiny\n")
    assert load_generator(tmp_path)[0].digest == spec.digest
    engine = open_engine(tmp_path, "cpu", "float32")
    shape = (19, 37) if len(spec.scale) == 2 else (9, 8, 11)
    scene = 4000 + 1000 * np.random.default_rng(0).normal(size=(1, *shape))
    scene = scene.astype(np.float32)
    whole = assembled(engine, scene, max(shape))
    tiled = assembled(engine, scene, 8 if len(shape) == 2 else 4)
    assert np.ptp(whole) > 1000
    assert np.abs(tiled - whole).max() <= 1e-6 * np.abs(whole).max()


def assembled(engine: Any, scene: np.ndarray, tile: int) -> np.ndarray:
    """The SR of a scene from tiles, with a step of back-projection, as UPSCALE makes it."""
    spec = engine.spec
    halo = tuple(h + spec.margin_for(1) for h in spec.halo)
    shape, multiple = scene.shape[1:], (spec.core_multiple,) * len(halo)
    plan = asked_tiles(TilePlan(shape, shape, halo, spec.scale, multiple, block=16), tile)
    facts = BlockFacts(Normalisation((4000.0,), (1000.0,)), "float32", (None,), Treatment(back_projection=1))
    out = np.full((1, *plan.shape_hr), np.nan, np.float32)
    for part in plan:
        valid = np.ones((1, *(w.stop - w.start for w in part.core)), bool)
        window = (slice(None), *plan.window_hr(part))
        block = scene[np.ix_([0], *plan.sources(part))][(slice(None), *plan.clipped(part, plan.halo))]
        out[window] = super_resolve(engine, block, valid, facts)
    return out


@pytest.mark.parametrize(("name", "params"), ONE_EACH)
def test_it_learns_one_patch_by_heart(name: str, params: dict[str, Any]) -> None:
    generator = generator_of(name, params).train()
    core = 8 if generator.axes == 3 else 16
    x = texture(generator, core)
    with torch.inference_mode():
        start = generator(x)
    truth = start + 0.2 * torch.randn(start.shape, generator=torch.Generator().manual_seed(2)).clamp(-1, 1)
    truth = truth.mean() + (truth - truth.mean()) * 1.2
    optimiser = torch.optim.Adam(generator.parameters(), 5e-3)
    losses = []
    for _ in range(60):
        loss = torch.nn.functional.mse_loss(generator(x), truth)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.8 * losses[0], losses[::15]
    assert all(p.grad is not None for p in generator.parameters())


@pytest.mark.parametrize("name", [name for name in SMALL if name not in VOLUMES])
def test_bands_that_are_seen_together_stay_apart_in_the_output(name: str, tmp_path: Path) -> None:
    params = {**SMALL[name], "bands": 3}
    spec = save_checkpoint(tmp_path, spec_of(name, params), generator_of(name, params), "# tiny\n")
    assert spec.bands == 3
    engine = open_engine(tmp_path, "cpu", "float32")
    side = 16 + 2 * spec.halo[-1]
    tile = np.random.default_rng(0).random((3, side, side), np.float32)
    sr = engine.run(tile)
    assert sr.shape == (3, 32, 32)
    others = engine.run(tile * np.array([1, 1, 2], np.float32)[:, None, None])
    assert np.abs(others[0] - sr[0]).max() > 1e-6  # seen together
    for child, part in engine.exact.named_children():
        if child != "base":
            for parameter in part.parameters():
                torch.nn.init.zeros_(parameter)
    base = engine.run(tile * np.array([1, 1, 2], np.float32)[:, None, None])
    np.testing.assert_array_equal(base[:2], engine.run(tile)[:2])  # each on its own cubic base


def test_a_window_that_lies_elsewhere_gives_another_image() -> None:
    """Why cores are multiples of the window: one pixel aside, attention sees other neighbours."""
    generator = generator_of("swinir", SMALL["swinir"])
    x = texture(generator, 24)
    halo = generator.halo
    with torch.inference_mode():
        whole = generator(x[..., : 16 + 2 * halo, : 16 + 2 * halo])
        aside = generator(x[..., 1 : 17 + 2 * halo, 1 : 17 + 2 * halo])
    assert float((whole[..., 2:, 2:] - aside[..., :-2, :-2]).abs().max()) > 1e-4


def test_a_spec_that_hides_the_grid_is_refused(tmp_path: Path) -> None:
    spec = spec_of("unet", SMALL["unet"])
    save_checkpoint(tmp_path, spec.model_copy(update={"core_multiple": 1}), generator_of("unet", SMALL["unet"]), "")
    with pytest.raises(CheckpointError, match="the halo of tiny is wrong"):
        open_engine(tmp_path, "cpu", "float32")


@pytest.mark.parametrize("scale", [0, -2, 2.5, "2", 9, [2, 0, 2]])
def test_a_wrong_scale_is_refused(scale: object) -> None:
    for name in ("edsr", "edsr-volume", "bicubic"):
        with pytest.raises((CheckpointError, ValidationError), match=r"has a wrong scale|scale is -2, and no number"):
            spec_of(name, {"scale": scale})


def test_cores_are_rounded_up_to_the_grid() -> None:
    whole = TilePlan((301, 299), (301, 299), (22, 22), (2, 2), (8, 8))
    core = chosen_tiles(whole, 2, lambda tiles: True).core
    assert core[0] % 8 == core[1] % 8 == 0
    voxels = TilePlan((400, 400, 400), (400, 400, 400), (11,) * 3, (2, 2, 2), (4, 4, 4))
    assert max(chosen_tiles(voxels, 2, lambda tiles: True).core) <= 128
    assert asked_tiles(voxels, 50).core == (52, 52, 52)
    assert spec_of("swinir", {}).margin_for(1) == 8
    assert spec_of("edsr", {}).margin_for(2) == 2


def test_the_fused_form_is_the_training_form() -> None:
    wide = generator_of("span", {"scale": 2, "wide": True})
    for parameter in wide.parameters():
        torch.nn.init.normal_(parameter, std=float(parameter.detach().std(correction=0)) + 0.02)
    fused = wide.fused()
    x = texture(wide, 16)
    with torch.inference_mode():
        expected, found = wide(x), fused(x)
    assert float((found - expected).abs().max()) <= 1e-5 * max(1.0, float(expected.abs().max()))
    count = {kind: sum(p.numel() for p in g.parameters()) for kind, g in (("wide", wide), ("fused", fused))}
    assert 100_000 < count["fused"] < 300_000 < count["wide"]
    assert fused.fused() is fused


def test_the_deconvolution_begins_without_a_checkerboard() -> None:
    generator = generator_of("resnet-deconv", {"scale": 3, "width": 8, "blocks": 0})
    flat = torch.ones(1, 1, 20, 20)
    with torch.inference_mode():
        residual = generator.residual(flat)
    assert float(residual.abs().max()) > 1e-3
    assert float(residual.std()) <= 1e-5


@pytest.mark.parametrize("scale", VOLUME_SCALES)
def test_the_base_of_a_volume_interpolates_every_axis_on_voxel_centres(scale: tuple[int, int, int]) -> None:
    generator = build(spec_of("edsr-volume", {"scale": scale, "width": 2, "blocks": 0}))
    for parameter in generator.parameters():
        torch.nn.init.zeros_(parameter)
    side = 6 + 2 * generator.halo
    z, y, x = torch.meshgrid(*(torch.arange(side, dtype=torch.float32),) * 3, indexing="ij")
    with torch.inference_mode():
        sr = generator((z + 10 * y + 100 * x)[None, None])[0, 0]
    centres = [generator.halo + (torch.arange(6 * s) + 0.5) / s - 0.5 for s in scale]
    expected = centres[0][:, None, None] + 10 * centres[1][:, None] + 100 * centres[2]
    torch.testing.assert_close(sr, expected, rtol=1e-5, atol=1e-3)


def test_every_generator_begins_near_its_cubic_base() -> None:
    for name, params in SMALL.items():
        if name in VOLUMES:
            continue
        generator = generator_of(name, params)
        x = texture(generator, 16)
        with torch.inference_mode():
            sr, cubic = (
                generator(x),
                Bicubic(2)(
                    x[
                        ...,
                        generator.halo - 2 : 2 - generator.halo or None,
                        generator.halo - 2 : 2 - generator.halo or None,
                    ]
                ),
            )
        assert float((sr - cubic).std()) < 3 * float(cubic.std()), name
