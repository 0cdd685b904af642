"""VALIDATE's gates on what a challenger would publish of the held-out scenes: better on average is not good enough."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from srcore.checks import Check
from srcore.engine import Engine
from srcore.limits import Changes
from srcore.memory.checked import checked
from srcore.memory.whole import Form, open_whole
from srcore.progress import Progress, silent
from srcore.report.evaluation import Stop
from srcore.training.judge.compare import Candidate
from srcore.training.judge.evaluate import image_pair, images_in

log = logging.getLogger(__name__)


def stops(
    candidates: tuple[Candidate, Candidate],
    data: Path,
    lr: Path | None,
    form: Form,
    changes: Changes,
    progress: Progress = silent,
) -> tuple[Stop, ...]:
    """The gates that the challenger's products of the images below `data` do not pass, scene by scene.

    `candidates`: champion and challenger. `lr`: folder of the measured LR, by name. Where a gate stops the champion's
    product of the scene, too, that is said: the scene is stopped, and not the challenger.
    """
    before, after = (open_whole(one.spec, one.generator, form.precision) for one in candidates)
    paths = images_in(data, candidates[1].generator.axes)
    found: list[Stop] = []
    for index, path in enumerate(paths):
        found += _of(path, before, after, partial(_gates, path, lr, data, form, changes))
        progress(index + 1, len(paths))
    return tuple(found)


def _of(path: Path, before: Engine, after: Engine, gates: Callable[[Engine], Sequence[Check]]) -> Iterator[Stop]:
    failed = gates(after)
    known = {check.id for check in gates(before)} if failed else set()
    for check in failed:
        log.warning("%s: %s", path.name, check.told)
        yield Stop(path.name, check.id, check.told, check.id in known)


def _gates(path: Path, lr: Path | None, data: Path, form: Form, changes: Changes, engine: Engine) -> Sequence[Check]:
    pair = image_pair(path, engine, form.treatment, lr, data)
    hr = None if lr is None else pair.hr
    failed = checked(engine, pair.lr, form.treatment, changes, hr).failed_gates
    if not failed or hr is None:
        return failed
    true = {one.id: one for one in checked(engine, pair.lr, form.treatment, changes, sr=hr).failed_gates}
    return [_beside_the_truth(one, true.get(one.id)) for one in failed]


def _beside_the_truth(check: Check, true: Check | None) -> Check:
    """A gate that the measured HR itself does not pass asks for what this sensor cannot give: that is said.

    It stays a gate: a night would stop the same product.
    """
    if true is None:
        return check
    value = f"{true.value:.4g}" if isinstance(true.value, float) else str(true.value)
    told = f"the true HR does not pass it either ({value}): the key `checks` of the dataset can allow more"
    return replace(check, hint="; ".join(filter(None, (check.hint, told))))
