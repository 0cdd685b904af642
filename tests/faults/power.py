"""The power cut: a tiny run is recorded, and every state that the disk could be in after a power cut is looked at.

    python -m tests.faults.power FOLDER [--next N] [--seed S] [--only SCENARIO ...] [--needed]

In each state: a receipt names files that are whole by digest, and what stands under a published name is of the run
before or of this one, whole. What was told to be done is there when all is lost that was not synced. N of the states
of each scenario are put on the disk, and the next run must end well. As a control all fsyncs are left out; with
--needed each alone, too, and those without which something goes wrong are told. Prints a JSON line a scenario.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from tests.faults import archive
from tests.faults.crash import forked
from tests.faults.lost import Disk, Recorder, Step, Tree
from tests.faults.scenarios import RECEIPT, SCENARIOS, Scenario, Volume

Facts = Mapping[str, Any]


def visible(tree: Tree) -> dict[str, bytes]:
    """The files that are not hidden."""
    return {
        path: data
        for path, data in tree.items()
        if data is not None and not any(part.startswith(".") for part in path.split("/"))
    }


def wrong_in(files: Mapping[str, bytes], right: Sequence[Mapping[str, bytes]]) -> list[str]:
    """What a reader of the archive would be misled by."""
    wrong = [name for name, data in files.items() if all(one.get(name) != data for one in right)]
    for name, data in files.items():
        if not name.endswith(RECEIPT):
            continue
        try:
            outputs = json.loads(data)["outputs"]
        except (ValueError, KeyError):
            wrong.append(f"{name} is torn")
            continue
        for output in outputs:
            found = files.get(str(Path(name).parent / output["name"]))
            if found is None or hashlib.sha256(found).hexdigest() != output["sha256"]:
                wrong.append(f"{name} does not fit {output['name']}")
    return wrong


def differing(found: Mapping[str, Any], right: Mapping[str, Any]) -> list[str]:
    """Names whose content is not the same in both."""
    return sorted(name for name in {*found, *right} if found.get(name) != right.get(name))


def nobodys(tree: Tree) -> list[str]:
    """Scratch folders that no sealed plan makes ours: nobody would ever sweep them."""
    scratch = {
        "/".join(parts[:place])
        for parts in (path.split("/") for path, data in tree.items() if data is not None)
        for place in (parts.index(".scratch") + 3 if ".scratch" in parts else 0, _direct(parts))
        if 0 < place < len(parts)
    }
    return [
        folder
        for folder in scratch
        if not _is_record(tree.get(f"{folder}/plan.json"))
        and any(path.startswith(f"{folder}/") and "/.plan.json." not in path for path in tree)
    ]


def _direct(parts: Sequence[str]) -> int:
    """Parts of the path of a scratch folder beside an output of the user's; 0 where there is none."""
    return next((place + 2 for place, part in enumerate(parts) if part.endswith(".srcore")), 0)


def _is_record(data: bytes | None) -> bool:
    try:
        return data is not None and "seal" in json.loads(data)
    except ValueError:
        return False


class Record:
    """A scenario that was run once, and all that a power cut could have left of it."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self.scenario, self.seed = scenario, seed
        self.names, self.contents, self.steps, self.ends, self.really = forked(self._recorded)
        first, last = self.disk(0), self.disk(len(self.steps))
        self.before = first.tree([True] * len(first.pending), "kept")
        self.after = last.tree([True] * len(last.pending), "kept")
        self.right = [visible(self.before), visible(self.after)]

    def _recorded(self) -> Any:
        recorder = Recorder(self.scenario.store)
        recorder.install()
        ends = self.scenario.run()
        return *recorder.before, recorder.end(), ends, really_at(self.scenario.store)

    def disk(self, steps: int) -> Disk:
        """The disk after so many steps."""
        disk = Disk(self.names, self.contents)
        for step in self.steps[:steps]:
            disk.do(step)
        return disk

    def states(self, without: Callable[[Step], bool] = lambda step: False) -> Iterator[tuple[str, Tree]]:
        """Every state of every point, with those steps left out that `without` names."""
        rng, disk = random.Random(self.seed), Disk(self.names, self.contents)
        for number, step in enumerate(self.steps):
            disk.do(replace(step, synced=-1) if without(step) else step)
            for name, tree in disk.states(rng):
                yield f"after {number}, {step.what}: {name}", tree

    def looked_at(self, without: Callable[[Step], bool] = lambda step: False) -> tuple[int, list[str]]:
        """How many states there are, and what is wrong in them."""
        count, wrong, seen, left = 0, [], set(), set()
        for name, tree in self.states(without):
            count += 1
            files = visible(tree)
            left |= set(nobodys(tree))
            key = hash(tuple(sorted(files.items())))
            if key in seen:
                continue
            seen.add(key)
            wrong += [f"{name}: {found}" for found in wrong_in(files, self.right)]
        wrong += [f"{folder} may stay for ever" for folder in sorted(left)]
        if lost := differing(visible(self.left_at_the_end(without)), self.right[1]):
            wrong.append(f"at the end: not lasting {lost}")
        return count, wrong

    def needs(self, sync: str) -> bool:
        """True when something goes wrong without that fsync."""
        return bool(self.looked_at(lambda step: step.what == sync)[1])

    def left_at_the_end(self, without: Callable[[Step], bool]) -> Tree:
        """The disk when all that was not synced by the end of the run is lost."""
        disk = Disk(self.names, self.contents)
        for step in self.steps:
            disk.do(replace(step, synced=-1) if without(step) else step)
        return disk.tree([False] * len(disk.pending), "lost")

    def goes_on(self, states: int) -> tuple[int, list[str]]:
        """The next run on some of the states; how many, and what is wrong with how they ended."""
        # those where a run ended while it made names visible are few, and the ones that can go wrong
        every = list(self.states())
        visibly = [state for state in every if visible(state[1]) not in self.right]
        rng = random.Random(self.seed)
        chosen = [state for some in (visibly, every) for state in rng.sample(some, min(-(-states // 2), len(some)))]
        self.put(self.before)
        right, wrong = forked(self._next)[1], []
        for name, tree in chosen:
            self.put(tree)
            told = forked(self._next)
            if told is None:
                wrong.append(f"{name}: the next run died")
                continue
            end, found = told
            wrong += [f"{name}: the next run {end}"] * bool(end)
            if found and (other := differing(found, right)):
                wrong.append(f"{name}: the next run made something else of {other}")
        return len(chosen), wrong

    def _next(self) -> tuple[str, dict[str, str]]:
        return self.scenario.again(), self.scenario.ended()

    def put(self, tree: Tree) -> None:
        """Make the store what it would be after the power cut, an hour later."""
        store = self.scenario.store
        shutil.rmtree(store)
        store.mkdir()
        for path, data in tree.items():
            if data is None:
                (store / path).mkdir()
            else:
                (store / path).write_bytes(data)
        archive.later(self.scenario.folder)


def told(name: str, record: Record, following: int, *, needed: bool) -> Facts:
    """What was found in a scenario."""
    states, wrong = record.looked_at()
    runs, wrong_runs = record.goes_on(following)
    syncs = [step.what for step in record.steps if step.synced >= 0]
    return {
        "scenario": name,
        "ended": record.ends,
        "steps": len(record.steps),
        "syncs": len(syncs),
        "states": states,
        "wrong": wrong + wrong_runs,
        "next runs": runs,
        "needed": sorted({plain(sync) for sync in set(syncs) if record.needs(sync)}) if needed else [],
        "wrong without syncs": len(record.looked_at(lambda step: True)[1]),
        "model is true": record.after == record.really,
    }


def plain(what: str) -> str:
    """A step's name without what differs from run to run."""
    return re.sub(r"[0-9a-f]{16}|(?<=\.)[0-9a-z_]{8}(?=\.part)|\d{4}-\d\d-\d\dT\d+\+0000", "*", what)


def really_at(store: Path) -> Tree:
    """What stands in the store."""
    found = sorted(store.rglob("*"))
    return {str(path.relative_to(store)): None if path.is_dir() else path.read_bytes() for path in found}


def main() -> None:
    """Each scenario in turn, and what was found."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--next", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--needed", action="store_true")
    parser.add_argument("--only", choices=list(SCENARIOS), nargs="+", default=list(SCENARIOS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    for kind in (Scenario, Volume):  # libraries load and cache what they need here, once, and not in every fork
        folder = options.folder.resolve() / f"warm-{kind.__name__}"
        folder.mkdir(parents=True)
        kind(folder).run()
    for name in options.only:
        folder = options.folder.resolve() / name
        folder.mkdir(parents=True)
        record = Record(SCENARIOS[name](folder), options.seed)
        json.dump(told(name, record, options.next, needed=options.needed), sys.stdout)
        sys.stdout.write("\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
