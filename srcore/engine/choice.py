"""Which backend computes a scene: measured once a machine, checkpoint and tile shape, and remembered.

A candidate has to be installed and to pass the gate of `srcore.engine.gate`; among those the fastest wins. Small
scenes do not pay for a measurement: they take what is remembered, or the first candidate that passes the gate, which is
asked once a machine and checkpoint.
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from math import prod
from pathlib import Path
from statistics import median
from typing import Any, cast

import numpy as np
import torch

from srcore.checkpoints import Spec
from srcore.engine import gate
from srcore.engine.backends import Backend, Precision, build, installed, refuse_missing
from srcore.errors import CheckpointError, StoreError
from srcore.models import Generator
from srcore.storage.disk.records import read_sealed, write_sealed
from srcore.version import __version__

log = logging.getLogger(__name__)

MEASURE_FROM_S = 120.0
"""CPU seconds; for less work a measurement (some 15 s) costs more than the best backend saves."""
ASSUMED_FLOPS = 1e11
"""A second's work of a core, for that estimate only."""
ROUNDS = 2
"""Timed passes of each candidate, alternated, after one that prepares it."""
PACKAGES = ("torch", "openvino", "nncf", "onnxruntime")


@dataclass(frozen=True)
class Trial:
    """One candidate: how near to float32, and how fast."""

    backend: str
    rms_dn: float
    max_dn: float
    lr_mpx_s: float | None = None
    """LR megapixels of core a second (of one thread's CPU time on a CPU); None when it was not timed."""
    refused: str = ""
    """Why it may not be used."""


@dataclass(frozen=True)
class Choice:
    """What computes a scene."""

    backend: str
    precision: Precision
    rms_dn: float
    """From float32 in eager, in DN of `gate.SPAN_DN`."""
    max_dn: float


@dataclass(frozen=True)
class Case:
    """What a choice depends on."""

    spec: Spec
    generator: Generator
    device: torch.device
    precision: Precision
    tile: tuple[int, ...]
    """Sides of the tiles on the generator's own axes, halo included."""
    samples: tuple[torch.Tensor, ...] = ()
    """Network values (1, 1, Y, X) of one shape, from the scene: int8 is calibrated on them."""

    def build(self, backend: str) -> Generator:
        """The generator by that backend, in the case's precision."""
        return build(self.generator, backend, self.precision, self.device, self.samples)

    @property
    def reference(self) -> Generator:
        """The generator in float32 by eager."""
        return build(self.generator, "eager", "float32", self.device)

    @property
    def key(self) -> str:
        """Names the remembered result: checkpoint, tile shape, precision, machine, threads and versions."""
        return self._named(self.tile)

    @property
    def gate_key(self) -> str:
        """Names what the gate found, which knows no tile; of this version of our own code, too."""
        return self._named(__version__)

    def _named(self, by: object) -> str:
        facts = [
            self.spec.digest,
            self.precision,
            by,
            _device_name(self.device),
            torch.get_num_threads(),
            {name: _version(name) for name in PACKAGES},
            gate.LIMITS[self.precision],
        ]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]

    def seconds(self, pixels: int) -> float:
        """A guess at the compute time of so many LR pixels."""
        flops = 2 * sum(p.numel() for p in self.generator.parameters())
        return pixels * flops / ASSUMED_FLOPS


def choose(case: Case, wish: str, pixels: int, cache: Path) -> Choice:
    """The backend for `pixels` LR pixels of tiles; 'auto' for the fastest, float32 where none passes the gate.

    CheckpointError NO_BACKEND when the wished one is not installed, BACKEND_NUMERICS when it fails the gate.
    """
    if wish == "auto" and case.precision == "int8":
        wish = "openvino"
    if wish != "auto":
        return _checked(case, wish)
    there = installed(case.generator, case.device, case.precision)
    trials = recall(cache, case)
    if trials is None and len(there) > 1 and case.seconds(pixels) >= MEASURE_FROM_S:
        trials = measure(case, there)
        remember(cache, case, trials)
    if trials is None:
        trials = _first_that_passes(case, cache)
    good = [trial for trial in trials if not trial.refused]
    if not good:
        log.warning("%s computes in float32: no backend passes the gate in %s", case.spec.name, case.precision)
        return Choice("eager", "float32", 0.0, 0.0)
    best = max(good, key=lambda trial: trial.lr_mpx_s or 0.0)
    return Choice(best.backend, case.precision, best.rms_dn, best.max_dn)


def measure(case: Case, backends: Sequence[Backend]) -> list[Trial]:
    """Gate every backend, then time those that passed on tiles of the real shape, in turns."""
    reference = case.reference
    trials: dict[str, Trial] = {}
    passes: dict[str, Callable[[], None]] = {}
    values = _tile(case)
    for backend in backends:
        candidate = case.build(backend)
        trials[backend] = _gated(case, backend, reference, candidate)
        if not trials[backend].refused:
            passes[backend] = _pass(candidate, values)
    for name, seconds in _alternated(passes, case.device).items():
        core = [side - 2 * case.generator.halo for side in case.tile]
        fields = {**asdict(trials[name]), "lr_mpx_s": prod(core) / 1e6 / seconds}
        trials[name] = Trial(**fields)
    return list(trials.values())


def recall(cache: Path, case: Case) -> list[Trial] | None:
    """What was measured in this case; None when nothing was, or what is there is damaged."""
    return _recalled(cache / "engines" / f"{case.key}.json")


def _recalled(path: Path) -> list[Trial] | None:
    if not path.exists():
        return None
    try:
        return [Trial(**trial) for trial in read_sealed(path)["trials"]]
    except (StoreError, KeyError, TypeError) as error:
        log.info("%s is measured again: %s", path.name, error)
        return None


def remember(cache: Path, case: Case, trials: Sequence[Trial]) -> None:
    """Keep what was measured; a folder that cannot be written costs the next run a measurement, and nothing else."""
    _keep(cache / "engines" / f"{case.key}.json", case, trials)


def _keep(path: Path, case: Case, trials: Sequence[Trial]) -> None:
    content: dict[str, Any] = {
        "model": case.spec.name,
        "digest": case.spec.digest,
        "device": case.device.type,
        "precision": case.precision,
        "tile": list(case.tile),
        "trials": [asdict(trial) for trial in trials],
    }
    try:
        write_sealed(path, content)
    except OSError as error:
        log.info("measured backends are not remembered: %s", error)


def _checked(case: Case, backend: str) -> Choice:
    refuse_missing(backend, case.generator, case.device, case.precision)
    trial = _gated(case, backend, case.reference, case.build(backend))
    if trial.refused:
        raise CheckpointError(
            f"backend {backend} fails the numerics gate for {case.spec.name}",
            trial.refused,
            "use --backend auto or --precision float32",
            code="BACKEND_NUMERICS",
        )
    return Choice(backend, case.precision, trial.rms_dn, trial.max_dn)


_PASSED: dict[str, list[Trial]] = {}
"""What this process knows of the gate, by the record's path: a night of small scenes asks once."""


def _first_that_passes(case: Case, cache: Path) -> list[Trial]:
    """What the gate says of the backends up to the first that passes: two passes of the texture, remembered."""
    if case.samples:  # it was calibrated on a scene
        return _gated_in_turn(case)
    path = cache / "gates" / f"{case.gate_key}.json"
    if str(path) not in _PASSED:
        trials = _recalled(path)
        if trials is None:
            trials = _gated_in_turn(case)
            _keep(path, case, trials)
        _PASSED[str(path)] = trials
    return _PASSED[str(path)]


def _gated_in_turn(case: Case) -> list[Trial]:
    reference = case.reference
    trials: list[Trial] = []
    for backend in installed(case.generator, case.device, case.precision):
        trials.append(_gated(case, backend, reference, case.build(backend)))
        if not trials[-1].refused:
            break
    return trials


def _gated(case: Case, backend: str, reference: Generator, candidate: Generator) -> Trial:
    found = gate.compare(reference, candidate, case.device, case.samples, case.spec.trained_behind)
    refused = found.refused(case.precision)
    if refused:
        log.warning("backend %s is not used for %s: %s", backend, case.spec.name, refused)
    return Trial(backend, found.rms_dn, found.max_dn, refused=refused)


def _tile(case: Case) -> torch.Tensor:
    values = np.random.default_rng(0).random((1, case.generator.bands, *case.tile), np.float32)
    return torch.from_numpy(values).to(case.device)


def _pass(candidate: Generator, values: torch.Tensor) -> Callable[[], None]:
    def once() -> None:
        with torch.inference_mode():
            cast(torch.Tensor, candidate(values))[..., :1, :1].cpu()  # waits for a GPU

    return once


def _alternated(passes: dict[str, Callable[[], None]], device: torch.device) -> dict[str, float]:
    """Median seconds of each: CPU seconds on a CPU, where other workers run beside this one."""
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    times: dict[str, list[float]] = {name: [] for name in passes}
    for each in passes.values():
        each()
    for _ in range(ROUNDS):
        for name, each in passes.items():
            started = clock()
            each()
            times[name].append(clock() - started)
    return {name: max(median(several), 1e-9) for name, several in times.items()}


@functools.cache  # a night asks for each scene
def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        lines = []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return f"{model or platform.processor()} {torch.backends.cpu.get_cpu_capability()}"


@functools.cache
def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
