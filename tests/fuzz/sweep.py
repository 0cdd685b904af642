"""Spoiled files by the hundred, the same for the same seed.

    python -m tests.fuzz.sweep FOLDER [--seed S] [--count N] [--only NAME]... [--case K]

Prints a JSON document: how each command ended, and every case that ended wrong, with what it said. The spoiled files
of those stay in FOLDER. With --case only that one is run, and all that it says is printed.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from tests.fuzz.case import complaints, digests, run
from tests.fuzz.mutations import spoil
from tests.fuzz.seeds import SEEDS, Seed


class Sweep:
    """Seeds in `folder`, and the cases made of them."""

    def __init__(self, folder: Path, seed: int, only: Sequence[str] = ()) -> None:
        self.folder, self.seed = folder, seed
        self.seeds = [one for one in SEEDS if not only or one.name in only]
        for one in self.seeds:
            (folder / "whole" / one.name).mkdir(parents=True)
            one.make(folder / "whole" / one.name)
        self.ends: Counter[str] = Counter()

    def whole(self, seed: Seed) -> list[str]:
        """What is wrong with a seed that nothing was done to."""
        folder = self.folder / "cases" / f"whole-{seed.name}"
        shutil.copytree(self.folder / "whole" / seed.name, folder)
        wrong = []
        for command in seed.commands:
            ended = run(command, folder)
            wrong += complaints(command, ended, folder)
            if ended.status:
                wrong.append(f"ended with {ended.status}: {ended.said[-500:]}")
        shutil.rmtree(folder)
        return wrong

    def case(self, number: int, *, tell: bool = False) -> dict[str, Any] | None:
        """One spoiled file; what is wrong with how it ended."""
        rng = random.Random(f"{self.seed} {number}")
        seed = self.seeds[number % len(self.seeds)]
        folder = self.folder / "cases" / f"{number}"
        shutil.copytree(self.folder / "whole" / seed.name, folder)
        name = rng.choice(seed.targets)
        how, data = spoil((folder / name).read_bytes(), rng)
        (folder / name).write_bytes(data)
        inputs, wrong, said = digests(folder), [], []
        for command in seed.commands:
            ended = run(command, folder)
            said.append(ended.said)
            self.ends[f"{command[0]} {ended.status}"] += 1
            wrong += [f"{' '.join(command)}: {found}" for found in complaints(command, ended, folder)]
            if tell:
                print(f"$ srcore {' '.join(command)}\n{ended.said}[{ended.status}, {ended.seconds:.1f} s]")
        now = digests(folder)
        kept = {path for path in inputs if not path.startswith("store/")}
        wrong += [f"{path} is another file now" for path in kept if now.get(path) != inputs[path]]
        if not wrong:
            shutil.rmtree(folder)
            return None
        told = "\n".join(said)
        return {"case": number, "seed": seed.name, "file": name, "how": how, "wrong": wrong, "said": told[-3000:]}


def main() -> None:
    """All cases, and what was found."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--only", action="append", default=[], choices=[one.name for one in SEEDS])
    parser.add_argument("--case", type=int)
    options = parser.parse_args()
    torch.set_num_threads(1)
    sweep = Sweep(options.folder.resolve(), options.seed, options.only)
    if options.case is not None:
        print(sweep.case(options.case, tell=True) or "nothing wrong")
        return
    spoilt = {seed.name: wrong for seed in sweep.seeds if (wrong := sweep.whole(seed))}
    found = []
    for number in range(options.count):
        if case := sweep.case(number):
            found.append(case)
            print(f"{number} {case['seed']}: {case['wrong']}", file=sys.stderr)
    told = {"cases": options.count, "ends": sweep.ends, "whole": spoilt, "wrong": found}
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    main()
