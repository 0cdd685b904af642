from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from srcore.checkpoints import BUILTIN, Architecture, Spec, builtin_names
from srcore.engine import BlockFacts, Engine, open_engine, prove, super_resolve
from srcore.errors import CheckpointError, TileError
from srcore.models import Edsr, Generator
from srcore.models.halo import halo_from_layers, probe
from srcore.radiometry import Normalisation
from srcore.tiling import TilePlan
from srcore.weights import build, load_generator, save_checkpoint

CPU = torch.device("cpu")


def whole(engine: Engine, scene: np.ndarray) -> np.ndarray:
    """The SR of a scene in one piece, padded by reflection."""
    halo = engine.spec.halo[-1]
    return engine.run(np.pad(scene, [(0, 0), (halo, halo), (halo, halo)], mode="reflect"))


@pytest.mark.parametrize("name", builtin_names())
def test_the_halo_of_every_built_in_is_the_one_of_its_layers(name: str) -> None:
    spec, generator = load_generator(BUILTIN / name)
    assert set(spec.halo) == {halo_from_layers(generator)}
    assert probe(generator, spec.halo[-1]) <= 1e-6


@pytest.mark.parametrize("wrong", [-1, 1])
def test_a_wrong_halo_is_refused(wrong: int) -> None:
    spec, generator = load_generator(BUILTIN / "srcore-x2")
    halo = spec.halo[-1] + wrong
    assert probe(generator, halo) > 1e-6
    with pytest.raises(CheckpointError, match="its layers need 15"):
        prove(spec.model_copy(update={"halo": (halo, halo)}), generator)


class Padded(Generator):
    """A generator that pads for itself and states a halo that its layers do not show."""

    scale = 2

    def __init__(self, halo: int) -> None:
        super().__init__()
        self.halo = halo
        self.deep = torch.nn.Sequential(*(torch.nn.Conv2d(1, 1, 3, padding=1) for _ in range(6)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        deep = self.deep(x)[..., self.halo : -self.halo, self.halo : -self.halo]
        return torch.nn.functional.interpolate(deep, scale_factor=2, mode="nearest")


def test_the_numeric_probe_finds_what_shapes_hide() -> None:
    torch.manual_seed(0)
    assert probe(Padded(6), 6) <= 1e-6
    assert probe(Padded(5), 5) > 1e-6


@pytest.mark.parametrize("core", [64, 96, 128, 200, 307])
def test_tiled_is_untiled(core: int, shared_data: Path) -> None:
    import rasterio

    with rasterio.open(shared_data / "data/satellite/landsat8_elkton/L8-B8-Elkton-VA.tiff") as source:
        scene = source.read()[:, :307, :251].astype(np.float32) / 20000
    engine = open_engine(BUILTIN / "srcore-x2", "cpu", "float32")
    plan = TilePlan(scene.shape[1:], (core, core), engine.spec.halo, engine.spec.scale)
    tiled = np.empty((1, *plan.shape_hr), np.float32)
    for tile in plan:
        block = engine.run(scene[np.ix_([0], *plan.sources(tile))])
        window = plan.window_hr(tile)
        tiled[(slice(None), *window)] = block[:, : window[0].stop - window[0].start, : window[1].stop - window[1].start]
    assert np.abs(tiled - whole(engine, scene)).max() <= 1e-6


def test_bands_and_slices_are_independent() -> None:
    engine = open_engine(BUILTIN / "srcore-x2", "cpu", "float32")
    volume = np.random.default_rng(0).random((2, 3, 50, 46), np.float32)
    together = engine.run(volume)
    assert together.shape == (2, 3, 40, 32)
    np.testing.assert_array_equal(together[1, 2], engine.run(volume[1:2, 2:3])[0, 0])


def test_bfloat16_stays_close_to_float32() -> None:
    spec, generator = load_generator(BUILTIN / "srcore-x2")
    scene = np.random.default_rng(1).random((1, 94, 94), np.float32)
    exact = Engine(spec, generator, CPU, "float32").run(scene)
    rounded = Engine(spec, generator, CPU, "bfloat16").run(scene)
    assert np.sqrt(np.mean((exact - rounded) ** 2)) < 0.02


class OutOfMemoryAbove(Generator):
    """A device that has memory for so many pixels."""

    def __init__(self, generator: Generator, pixels: int) -> None:
        super().__init__()
        self.inner, self.pixels, self.largest = generator, pixels, 0
        self.scale, self.halo = generator.scale, generator.halo

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.numel() > self.pixels:
            raise torch.OutOfMemoryError("CUDA out of memory")
        self.largest = max(self.largest, x.numel())
        return self.inner(x)


def limited(pixels: int) -> Engine:
    spec, generator = load_generator(BUILTIN / "srcore-x2")
    engine = Engine(spec, generator, CPU, "float32")
    engine.generator = OutOfMemoryAbove(engine.generator, pixels)
    return engine


def test_out_of_memory_halves_the_batch_then_the_tile_and_changes_nothing() -> None:
    scene = np.random.default_rng(2).random((4, 158, 158), np.float32)
    spec, generator = load_generator(BUILTIN / "srcore-x2")
    expected = Engine(spec, generator, CPU, "float32").run(scene)
    for pixels in (2 * 158 * 158, 158 * 100):
        engine = limited(pixels)
        engine.batches.limit = 4
        assert np.abs(engine.run(scene) - expected).max() <= 1e-6
        assert engine.batches.limit <= 2


def test_no_memory_at_all_is_said() -> None:
    with pytest.raises(TileError, match="no memory for the smallest piece") as caught:
        limited(100).run(np.random.default_rng(0).random((1, 94, 94), np.float32))
    assert caught.value.code == "TILE_OOM"


class Broken(Generator):
    def __init__(self, value: float) -> None:
        super().__init__()
        self.scale, self.halo, self.value = 2, 15, value

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        side = [2 * (n - 30) for n in x.shape[-2:]]
        return torch.full((*x.shape[:2], *side), self.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 3.0])
def test_unusable_numbers_are_retried_in_float32_then_refused(value: float) -> None:
    spec, generator = load_generator(BUILTIN / "srcore-x2")
    scene = np.random.default_rng(0).random((1, 62, 62), np.float32)
    engine = Engine(spec, generator, CPU, "float32")
    expected = engine.run(scene)
    engine.generator = Broken(value)
    np.testing.assert_array_equal(engine.run(scene), expected)
    engine.exact = Broken(value)
    with pytest.raises(TileError, match="no usable numbers") as caught:
        engine.run(scene)
    assert caught.value.code == "TILE_NONFINITE"


def test_a_flat_tile_may_stay_flat() -> None:
    engine = open_engine(BUILTIN / "bicubic-x2", "cpu", "float32")
    assert np.ptp(engine.run(np.full((1, 20, 20), 0.5, np.float32))) < 1e-6


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "float32"])
def test_native_numbers_and_nodata_come_back(dtype: str, landscape: Callable[..., np.ndarray]) -> None:
    engine = open_engine(BUILTIN / "nearest-x2", "cpu", "float32")
    tile = landscape(2, (20, 30), dtype)
    valid = np.ones((2, 20, 27), bool)
    valid[1, 3:6] = False
    facts = BlockFacts(Normalisation((0.0, 0.0), (1.0, 1.0)), dtype, (0.0, 0.0))
    block = super_resolve(engine, tile, valid, facts)
    assert block.shape == (2, 40, 54)
    assert block.dtype == np.dtype(dtype)
    assert (block[1, 6:12] == 0).all()
    assert (block[0] != 0).all()
    np.testing.assert_array_equal(block[0, ::2, ::2], tile[0, :, :27])


def test_a_checkpoint_round_trip_and_its_digest(tmp_path: Path) -> None:
    torch.manual_seed(0)
    generator = Edsr(2, 8, 1)
    spec = Spec(
        name="tiny",
        architecture=Architecture(name="edsr", params={"scale": 2, "width": 8, "blocks": 1}),
        scale=(2, 2),
        halo=(5, 5),
    )
    saved = save_checkpoint(tmp_path / "tiny", spec, generator, "# tiny\n")
    loaded_spec, loaded = load_generator(tmp_path / "tiny")
    assert loaded_spec == saved
    for ours, theirs in zip(generator.parameters(), loaded.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    weights = tmp_path / "tiny" / "model.safetensors"
    damaged = bytearray(weights.read_bytes())
    damaged[-1] ^= 1
    weights.write_bytes(damaged)
    with pytest.raises(CheckpointError, match="not the file that its spec names"):
        load_generator(tmp_path / "tiny")


def test_an_unknown_architecture_is_named() -> None:
    spec = Spec(name="x", architecture=Architecture(name="magic"), scale=(2, 2), halo=(1, 1))
    with pytest.raises(CheckpointError, match="use one of edsr"):
        build(spec)


def test_a_pickle_is_never_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "ran",))

    folder = tmp_path / "evil"
    shutil.copytree(BUILTIN / "srcore-x2", folder)
    torch.save(Evil(), folder / "model.safetensors")
    with pytest.raises(CheckpointError, match="not the file that its spec names"):
        load_generator(folder)
    spec = json.loads((folder / "config.json").read_text())
    spec["weights_sha256"] = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    (folder / "config.json").write_text(json.dumps(spec))
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        load_generator(folder)
    assert not (tmp_path / "ran").exists()
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    with pytest.raises(CheckpointError, match="TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD is set"):
        load_generator(BUILTIN / "srcore-x2")


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_cut_checkpoint_is_refused(tmp_path: Path, share: float) -> None:
    folder = tmp_path / "cut"
    shutil.copytree(BUILTIN / "srcore-x2", folder)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[: int(share * weights.stat().st_size)])
    with pytest.raises(CheckpointError, match="not the file that its spec names"):
        load_generator(folder)
