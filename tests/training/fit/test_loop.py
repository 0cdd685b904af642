"""The loop: it learns, goes on after a break as if there had been none, and stops when numbers end."""

from __future__ import annotations

import errno
import logging
import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer.event_file_writer import _AsyncWriter
from tensorboard.summary.writer.record_writer import RecordWriter

from srcore.checkpoints import SPEC, WEIGHTS, read_spec
from srcore.errors import CheckpointError, PlanError, StoreError, TrainingError
from srcore.memory.whole import PUBLISHED
from srcore.models import Edsr
from srcore.training.config import TrainConfig
from srcore.training.data import batches
from srcore.training.fit import loop
from srcore.training.fit.core import learning_rate
from srcore.training.fit.loop import train
from srcore.training.fit.state import STATE
from srcore.training.judge.evaluate import evaluate
from srcore.weights import load_generator

WIDE = {"name": "edsr", "params": {"scale": 2, "width": 16, "blocks": 1, "bias": False}}

Recipe = Callable[..., TrainConfig]


def losses_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage().split(",")[0] for record in caplog.records if "loss" in record.getMessage()]


def test_it_overfits_one_image(recipe: Recipe) -> None:
    config = recipe(
        steps=150, batch=4, learning_rate=5e-3, core_px=24, save_every=150, ema_decay=0.9, architecture=WIDE
    )
    (score,) = evaluate(train(config), config.data)
    assert score.psnr > score.psnr_bicubic + 0.5
    assert score.sensor == "scene"
    assert score.bands == 2


KILLED = """
import os, signal, sys
from srcore.training.fit import loop
from srcore.training.config import parse_config
import json

draw = loop.draw_batch

def draw_or_die(planes, geometry, config, step, *rest):
    if step == 6:
        os.kill(os.getpid(), signal.SIGKILL)
    return draw(planes, geometry, config, step, *rest)

loop.draw_batch = draw_or_die
loop.train(parse_config(json.loads(sys.argv[1]), "argument"))
"""


def test_after_kill_9_a_resumed_run_equals_an_unbroken_one(
    recipe: Recipe, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    critic = {"weight": 0.05, "start": 2}
    caplog.set_level(logging.INFO)
    whole = train(recipe(output=str(tmp_path / "whole"), adversarial=critic))
    expected = losses_in(caplog)
    broken = recipe(output=str(tmp_path / "broken"), adversarial=critic)
    command = [sys.executable, "-c", KILLED, broken.model_dump_json()]
    ended = subprocess.run(command, capture_output=True, timeout=120)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    assert "4 of 8 steps" in (broken.output / "README.md").read_text()
    caplog.clear()
    train(broken, resume=True)
    assert losses_in(caplog) == expected[2:]  # steps 5 to 8: the state of step 4 was the last on disk
    assert (whole / WEIGHTS).read_bytes() == (broken.output / WEIGHTS).read_bytes()


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_good(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = recipe()

    def poisoned(*args: Any) -> tuple[torch.Tensor, torch.Tensor]:
        lr, hr = batches.draw_batch(*args)
        return (lr * math.nan if args[3] == 6 else lr), hr

    monkeypatch.setattr(loop, "draw_batch", poisoned)
    with pytest.raises(TrainingError, match=r"stopped at step 6; found loss nan"):
        train(config)
    _, generator = load_generator(config.output)
    assert all(torch.isfinite(p).all() for p in generator.parameters())
    assert "4 of 8 steps" in (config.output / "README.md").read_text()


def test_a_full_disk_is_named_and_costs_no_checkpoint(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    config = recipe()
    write = Path.write_bytes

    def full(path: Path, content: bytes) -> int:
        if "model" in path.name and (config.output / WEIGHTS).exists():
            write(path, content[: len(content) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(StoreError) as caught:
        train(config)
    assert caught.value.code == "DISK_FULL"
    load_generator(config.output)
    assert "4 of 8 steps" in (config.output / "README.md").read_text()


def test_a_disk_that_is_full_at_the_state_is_named_and_keeps_the_one_before(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, done = recipe(), list[int]()

    def synced(descriptor: int) -> None:
        done.append(descriptor)
        if len(done) > 1:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("srcore.training.fit.state.os.fsync", synced)
    with pytest.raises(StoreError) as caught:
        train(config)
    assert (caught.value.code, caught.value.retryable) == ("DISK_FULL", True)
    monkeypatch.undo()
    assert {path.name for path in config.output.iterdir()} == {SPEC, WEIGHTS, "README.md", STATE}
    train(config, resume=True)


def test_a_log_that_cannot_be_written_is_told_as_a_full_disk(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tensorboard.summary.writer.record_writer.RecordWriter.write", full)
    monkeypatch.setattr(threading, "excepthook", lambda *_: None)  # the log's own thread, which ends by it
    with pytest.raises(StoreError) as caught:
        train(recipe(tensorboard=True, log_every=1, steps=50))
    assert caught.value.code == "DISK_FULL"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_stays_one_and_signals_mean_what_they_did(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    """Lightning would exit with 1, or with nothing, say no word, and leave Ctrl-C ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler), signal.getsignal(signal.SIGTERM)

    def draw(planes: Any, geometry: Any, config: Any, step: int, *rest: Any) -> Any:
        if step == 6:
            os.kill(os.getpid(), number)
        return batches.draw_batch(planes, geometry, config, step, *rest)

    monkeypatch.setattr(loop, "draw_batch", draw)
    try:
        with pytest.raises(KeyboardInterrupt):
            train(recipe())
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        assert signal.getsignal(signal.SIGTERM) == before[1]
    finally:
        signal.signal(signal.SIGINT, before[0])
    assert "4 of 8 steps" in (recipe().output / "README.md").read_text()
    monkeypatch.undo()
    train(recipe(), resume=True)


def test_validation_keeps_the_best_and_stops_early(recipe: Recipe, tmp_path: Path) -> None:
    config = recipe(
        steps=40,
        validate_every=2,
        patience=3,
        validation=str(tmp_path / "data"),
        learning_rate=3.0,
        warmup_steps=0,
        optimiser="sgd",
        ema_decay=0,
        tensorboard=True,
        log_every=1,
    )
    train(config)
    state = torch.load(config.output / "state.pt", weights_only=True)
    assert state["waited"] == 3
    assert state["step"] < 40
    log = EventAccumulator(str(config.output / "logs"), size_guidance={"images": 0}).Reload()
    found = [event.value for event in log.Scalars("validation")]
    assert min(found) == pytest.approx(state["best"])
    assert len(log.Scalars("loss")) == state["step"]
    assert len(log.Images("LR, SR, HR")) == len(found)


def test_a_wide_generator_is_saved_fused(recipe: Recipe) -> None:
    params = {"scale": 2, "width": 8, "blocks": 2}
    config = recipe(steps=2, core_px=8, architecture={"name": "span", "params": {**params, "wide": True}})
    spec, generator = load_generator(train(config))
    assert dict(spec.architecture.params) == params
    assert generator.fused() is generator


def test_many_bands_and_volumes_go_through_the_same_loop(recipe: Recipe, tmp_path: Path) -> None:
    small = {"width": 4, "blocks": 1}
    folder = train(recipe(steps=2, band_shuffle=True, architecture={"name": "edsr", "params": {**small, "bands": 2}}))
    assert read_spec(folder).bands == 2
    noise = np.random.default_rng(0).integers(0, 1000, (80, 80, 30)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(noise, np.eye(4)), tmp_path / "data" / "mr.nii.gz")
    volume = {"name": "edsr-volume", "params": {**small, "scale": [1, 2, 2]}}
    source, output = {"files": "*.nii.gz", "share": 1}, str(tmp_path / "volume")
    folder = train(recipe(steps=2, core_px=4, architecture=volume, sources=[source], output=output))
    assert read_spec(folder).kind == "volume"
    assert read_spec(folder).scale == (1, 2, 2)


def test_the_checkpoint_tells_what_it_is(recipe: Recipe, tmp_path: Path) -> None:
    config = recipe(attribution="Made by hand.", limits="None known.", validation=str(tmp_path / "data"))
    folder = train(config)
    spec = read_spec(folder)
    assert spec.scale == (2, 2)
    assert spec.halo == (5, 5)
    assert spec.training["steps"] == 8
    assert spec.metrics["mean"]["scenes"] == 1
    card = (folder / "README.md").read_text()
    assert "Made by hand." in card
    assert "| mean |" in card
    assert "SR as published: 1 step of back-projection, no filters." in card
    assert spec.training["judged"] == str(PUBLISHED)
    assert "None known." in card
    assert str(tmp_path) not in (folder / SPEC).read_text().replace(str(config.data), "")


def test_resume_without_a_state_or_with_another_architecture_is_refused(recipe: Recipe) -> None:
    with pytest.raises(CheckpointError, match="no run to go on with"):
        train(recipe(), resume=True)
    train(recipe(steps=1))
    with pytest.raises(CheckpointError, match="does not fit the recipe"):
        train(recipe(architecture=WIDE), resume=True)


def test_a_training_that_stands_is_not_begun_anew_in_silence(recipe: Recipe) -> None:
    folder = train(recipe(steps=1))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(PlanError, match=r"holds a training; found state\.pt; go on with --resume") as found:
        train(recipe(steps=2))
    assert found.value.code == "OUTPUT_EXISTS"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    train(recipe(steps=2), resume=True)
    assert read_spec(folder).training["steps"] == 2
    (folder / STATE).unlink()
    weights = (folder / WEIGHTS).read_bytes()
    with pytest.raises(PlanError, match=r"holds a checkpoint; found config\.json; name another output"):
        train(recipe(steps=2))
    assert (folder / WEIGHTS).read_bytes() == weights


def test_the_learning_rate_warms_up_and_ends_low(recipe: Recipe) -> None:
    config = recipe(steps=100, warmup_steps=10, learning_rate=1e-3)
    rates = [learning_rate(step, config) for step in range(100)]
    assert rates[0] == pytest.approx(1e-4)
    assert max(rates) == pytest.approx(1e-3) == rates[10]
    assert rates[9] <= rates[10]
    assert np.all(np.diff(rates[10:]) < 0)
    assert rates[-1] < 2e-5


def test_bfloat16_leaves_the_cubic_base_in_float32(recipe: Recipe) -> None:
    generator = load_generator(train(recipe(steps=1, save_every=1, precision="bfloat16")))[1]
    for parameter in generator.parameters():
        torch.nn.init.zeros_(parameter)
    x = torch.rand(1, 1, 20, 20) * 1000
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.inference_mode():
        mixed = generator(x)
    with torch.inference_mode():
        assert torch.equal(mixed, generator(x))


def test_the_base_runs_on_the_meta_device_that_knows_no_autocast() -> None:
    assert Edsr(blocks=1).to("meta")(torch.empty(1, 1, 20, 20, device="meta")).shape == (1, 1, 20, 20)


def test_a_log_that_cannot_be_written_is_told_once_and_no_other_thread_is_silenced(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def stumble() -> None:
        raise OSError("of another thread")

    # the hook that prints, in place of pytest's, which collects
    with pytest.MonkeyPatch.context() as patch, open("/dev/full", "wb", buffering=0) as full:
        patch.setattr(threading, "excepthook", threading.__excepthook__)
        with loop.told_once():
            writer = _AsyncWriter(RecordWriter(full))
            with pytest.raises(OSError, match="No space left"):  # noqa: PT012 - which of them sees it is a race
                writer.write(b"1")
                writer.flush()
                writer.write(b"2")
            other = threading.Thread(target=stumble)
            other.start()
            other.join()
        assert threading.excepthook is threading.__excepthook__
    printed = capsys.readouterr().err
    assert "of another thread" in printed
    assert "No space left" not in printed
