"""Does the trust map hold on scenes that neither training nor calibration saw? `python -m benchmarks.trust`.

HR is the middle of every satellite and medical file of ../shared/data, LR its antialiased bicubic reduction.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from rich.table import Table

from benchmarks import out, shared
from srcore.checkpoints import locate, read_spec
from srcore.engine import open_engine
from srcore.errors import SRError
from srcore.storage.whole_images import images_below
from srcore.training.judge.calibrate import scores_of

Row = tuple[str, float, float]
"""Scene, share of the true values within the half width, mean score over the factor."""


def main() -> None:
    """Print the table; with --json write the same figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.trust", description=__doc__)
    parser.add_argument("--model", default="srcore-x2")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = run(arguments.model)
    out.print(table(rows))
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


def run(model: str) -> list[Row]:
    """One row a scene."""
    trust, engine = read_spec(locate(model)).trust, open_engine(locate(model), "cpu")
    if trust is None:
        raise SystemExit(f"{model} has no calibration")
    rows: list[Row] = []
    for path in images_below(shared() / "data"):
        if "sr_benchmarks" in path.parts or "train" in path.relative_to(shared() / "data").parts:
            continue
        try:
            scores = np.concatenate([plane.ravel() for plane in scores_of(path, engine)]) / trust.factor
        except (SRError, OSError) as error:
            out.print(f"left out: {path.name}: {error}")
            continue
        rows.append((path.name, float((scores <= 1).mean()), float(scores.mean())))
    return rows


def table(rows: list[Row]) -> Table:
    """As printed."""
    found = Table("scene", "covered", "mean |error| / half width", title="Trust map at 90 %")
    for name, covered, mean in rows:
        found.add_row(name, f"{covered:.1%}", f"{mean:.2f}")
    found.add_row("mean", f"{np.mean([row[1] for row in rows]):.1%}", f"{np.mean([row[2] for row in rows]):.2f}")
    return found


if __name__ == "__main__":
    main()
