"""A training run by Lightning: what `srcore train` does with a recipe."""

from __future__ import annotations

import logging
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from srcore.checkpoints import Spec, locate
from srcore.errors import CheckpointError, SRError, TrainingError
from srcore.memory.whole import PUBLISHED, open_whole
from srcore.models import Generator
from srcore.storage.disk.files import store_error
from srcore.training.config import TrainConfig, data_folder
from srcore.training.data.batches import Geometry, Plane, draw_batch, geometry_of
from srcore.training.data.pairs import load_planes
from srcore.training.data.places import held_files
from srcore.training.fit.card import model_card
from srcore.training.fit.core import State, advance, new_state, steps_left
from srcore.training.fit.folder import refuse_foreign_output, refuse_used_output
from srcore.training.fit.hardware import choose_device, choose_precision
from srcore.training.fit.progress import Progress
from srcore.training.fit.state import load_state, save_state
from srcore.training.fit.validation import Validation
from srcore.training.fit.verify import write_precision
from srcore.training.judge.evaluate import evaluate, scores_of, sensor_means
from srcore.weights import build, describe, load_generator, save_checkpoint

try:
    import lightning.pytorch as lightning
except ImportError as missing:
    raise TrainingError(
        "training needs Lightning", str(missing), "pip install 'srcore[train]'", code="NOT_INSTALLED"
    ) from missing

log = logging.getLogger(__name__)

Watch = Callable[[State], bool]
"""Sees the state after every step; True ends the run there."""


def train(config: TrainConfig, *, resume: bool = False) -> Path:
    """Train by the recipe; gives the checkpoint folder: config.json, model.safetensors, README.md, state.pt.

    The checkpoint is rewritten every `save_every` steps from the averaged weights, or at every better validation
    where the recipe has some. `resume` goes on from the state in the folder, to the same result as an unbroken
    run. The spec says in which precision the numerics gate found the result good. TrainingError when the loss is not
    a number: the checkpoint saved last stays. StoreError DISK_FULL. PlanError OUTPUT_EXISTS where a checkpoint
    stands that is not gone on with.
    """
    if not resume:
        refuse_used_output(config.output)
    module = fit(config, resume=resume)
    if module.global_rank == 0:
        write_precision(config.output)
        _finish(config, module.state)
    return config.output


def fit(config: TrainConfig, *, resume: bool = False, watch: Watch = lambda state: False) -> Training:
    """Train as `train` does, without the scores at the end."""
    refuse_foreign_output(config.output)
    state, planes, geometry = prepare(config)
    if resume:
        load_state(config.output, state)
        if state.step == config.steps and config.validate_every is None:
            _save_checkpoint(config, state)  # the last step may have been done elsewhere
    device = choose_device(config.device)
    log.info("%d planes on %s", len(planes), device)
    module = Training(config, state, planes, geometry)
    module.watch = watch
    _run(_trainer(config, device), module)
    return module


def _run(trainer: lightning.Trainer, module: Training) -> None:
    """Fit; KeyboardInterrupt for Ctrl-C and SIGTERM, of which Lightning makes an exit without a word; StoreError."""
    interrupt = signal.getsignal(signal.SIGINT)
    try:
        with told_once():
            trainer.fit(module, DataLoader(Steps(module.state, module.config), batch_size=None))
    except SystemExit as ended:
        raise KeyboardInterrupt from ended
    except SRError:
        raise
    except OSError as error:  # nothing is read any more: state or log cannot be written
        raise store_error(module.config.output, error) from error
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, interrupt)  # which Lightning leaves ignored


@contextmanager
def told_once() -> Iterator[None]:
    """What keeps TensorBoard's thread from writing (a full disk) prints no traceback: the trainer's next line of the
    log, or its end, raises the same error."""
    before = threading.excepthook

    def hook(died: threading.ExceptHookArgs) -> None:
        if not (isinstance(died.exc_value, OSError) and type(died.thread).__name__ == "_AsyncWriterThread"):
            before(died)

    threading.excepthook = hook
    try:
        yield
    finally:
        threading.excepthook = before


def prepare(config: TrainConfig) -> tuple[State, list[Plane], Geometry]:
    """The state before the first step, what patches are cut from, and how."""
    if config.threads:
        torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    generator = build(_spec(config))
    if config.start_from:
        take_over(generator, config.start_from)
    state = new_state(generator.to(memory_format=generator.memory_format), config)  # type: ignore[call-overload]
    geometry = geometry_of(config, generator)
    data = data_folder(config.data)
    left_out = held_files(config)
    return state, load_planes(data, config.sources, geometry, generator.bands, config.least_images, left_out), geometry


class Steps(IterableDataset[int]):
    """The numbers of the steps to do; a batch is a function of its number."""

    def __init__(self, state: State, config: TrainConfig) -> None:
        self.state, self.config = state, config

    def __iter__(self) -> Iterator[int]:
        return iter(steps_left(self.state, self.config))


class Training(lightning.LightningModule):
    """The core under Lightning: devices, logging, saving and stopping; the arithmetic is `advance`."""

    def __init__(self, config: TrainConfig, state: State, planes: list[Plane], geometry: Geometry) -> None:
        super().__init__()
        self.automatic_optimization = False  # generator and critic take turns
        self.config, self.planes, self.geometry = config, planes, geometry
        self.generator, self.critic = state.generator, state.critic
        self.state = state
        self.validation: Validation | None = None
        self.watch: Watch = lambda state: False

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """The core's own, which steps them itself."""
        return [one for one in (self.state.optimiser, self.state.critic_optimiser) if one is not None]

    def on_fit_start(self) -> None:
        self.state.to(self.device)
        self.precision_ = choose_precision(self.config.precision, self.device)
        if self.config.validate_every and (self.config.validation or self.config.held_out):
            self.validation = Validation(self.config, self.geometry, self.state.generator.bands)
        self.progress = Progress(self.config.name, self.config.steps, self.state.step, self.config.log_every)
        self.progress.start()

    def training_step(self, step: int, _index: int) -> None:
        lr, hr = draw_batch(self.planes, self.geometry, self.config, step, self.device, self.global_rank)
        losses = advance(self.state, lr, hr, self.config, self.precision_, self._backward)
        self.progress.advance(losses["loss"])
        if self.state.step % self.config.log_every == 0 and self.logger is not None:
            self.logger.log_metrics(losses, self.state.step)
        stop = self.global_rank == 0 and self._keep()
        if self.config.devices > 1 and self.config.patience is not None:
            stop = self.trainer.strategy.broadcast(stop)  # all processes end together, or the others wait for ever
        self.trainer.should_stop = stop

    def _backward(self, loss: Tensor) -> None:
        self.manual_backward(loss)

    def _keep(self) -> bool:
        """Validate and save where it is time to; True when waiting for a better validation has an end."""
        config, state = self.config, self.state
        stop = self.watch(state)
        last = state.step == config.steps
        if self.validation is not None and (last or state.step % (config.validate_every or 1) == 0):
            if self.validation.better(state, self.logger):
                _save_checkpoint(config, state)
            stop = stop or (config.patience is not None and state.waited >= config.patience)
        if last or stop or state.step % config.save_every == 0:
            if self.validation is None:
                _save_checkpoint(config, state)
            save_state(config.output, state)
        return stop

    def teardown(self, stage: str) -> None:
        self.progress.stop()


def _trainer(config: TrainConfig, device: torch.device) -> lightning.Trainer:
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning")  # of its own insides, and of what else the machine has
    logger: Any = False
    if config.tensorboard:
        from lightning.pytorch.loggers import TensorBoardLogger

        logger = TensorBoardLogger(config.output, name="logs", version="")
    # The critic has no gradient before its first step.
    strategy = "auto" if config.devices == 1 else "ddp_find_unused_parameters_true"
    return lightning.Trainer(
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=config.devices,
        strategy=strategy,
        max_epochs=1,
        logger=logger,
        default_root_dir=config.output,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )


def take_over(generator: Generator, reference: str) -> int:
    """Copy every tensor of the checkpoint `reference` that fits in name and shape; gives how many numbers did.

    A body trained at one scale is a good start at another (Lim et al. 2017, section 4.2). CheckpointError when
    nothing fits.
    """
    theirs = load_generator(locate(reference))[1].state_dict()
    ours = generator.state_dict()
    fitting = {name: t for name, t in theirs.items() if name in ours and ours[name].shape == t.shape}
    if not fitting:
        raise CheckpointError(
            f"{reference} is no start for this architecture",
            "no tensor fits in name and shape",
            "start from another checkpoint, or from none",
        )
    generator.load_state_dict(fitting, strict=False)
    return sum(tensor.numel() for tensor in fitting.values())


NOT_TOLD = ("name", "purpose", "gained", "output", "architecture", "licence", "limits", "search")
"""Keys of the recipe that a spec has elsewhere, or that made no difference."""


def _spec(config: TrainConfig) -> Spec:
    recipe = config.model_dump(mode="json", exclude={*NOT_TOLD})
    return describe(
        config.name,
        config.architecture,
        edge=config.edge,
        slice_profile=config.slice_profile,
        licence=config.licence,
        training=recipe,
    )


def _save_checkpoint(config: TrainConfig, state: State) -> None:
    """The averaged weights in the form for inference, without scores."""
    generator, spec = state.averaged.fused(), _spec(config)
    if generator is not state.averaged:
        params = {name: value for name, value in spec.architecture.params.items() if name != "wide"}
        spec = spec.model_copy(update={"architecture": spec.architecture.model_copy(update={"params": params})})
    try:
        save_checkpoint(config.output, spec, generator, model_card(config, spec, state.step))
    except OSError as error:
        raise store_error(config.output, error) from error


def _finish(config: TrainConfig, state: State) -> None:
    """Score what stands in the folder on the validation scenes, and write that into spec and card."""
    if config.validation is None and not config.held_out:
        return
    spec, generator = load_generator(config.output)
    if config.held_out:
        engine, folder = open_whole(spec, generator), data_folder(config.data)
        scores = [*scores_of(held_files(config), engine, root=folder).values()]
    else:
        scores = evaluate(config.output, data_folder(cast(Path, config.validation)))
    judged = {**spec.training, "judged": str(PUBLISHED.of(spec))}
    spec = spec.model_copy(update={"metrics": sensor_means(scores), "training": judged})
    try:
        save_checkpoint(config.output, spec, generator, model_card(config, spec, state.step))
    except OSError as error:
        raise store_error(config.output, error) from error
