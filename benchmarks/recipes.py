"""What a shipped recipe gains in a few of its steps, judged as every training is: on its own validation.

    python -m benchmarks.recipes srcnn-x2 --steps 200
    python -m benchmarks.recipes span-x2 --steps 60 --batch 4 --json FILE

It shows that a family learns on real imagery, and what a minute or two of a core buys; never what the whole recipe
gives. Warm-up is shortened to a tenth of the steps, and the run is on one thread of a CPU; seed, data, degradation,
patches and the way to judge are the recipe's. Each training runs in a process of its own: its CPU seconds are its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from typing import Any

import yaml
from rich.table import Table

from benchmarks import out
from srcore.checkpoints import read_spec
from srcore.training.config import RECIPES, read_config


def shortened(name: str, output: Path, steps: int, batch: int | None) -> dict[str, Any]:
    """The recipe of this name with so many steps, as the YAML of another one."""
    recipe: dict[str, Any] = yaml.safe_load((RECIPES / f"{name}.yaml").read_text())
    few = {"steps": steps, "warmup_steps": max(1, steps // 10), "save_every": steps, "log_every": 10}
    own = {"output": str(output), "device": "cpu", "threads": 1}
    return recipe | few | own | ({"batch": batch} if batch else {})


def measured(name: str, steps: int, batch: int | None) -> dict[str, Any]:
    """Train and judge; the mean PSNR over the validation scenes, bicubic's, and CPU seconds of both together."""
    with tempfile.TemporaryDirectory() as folder:
        recipe, output = Path(folder) / "recipe.yaml", Path(folder) / "run"
        recipe.write_text(yaml.safe_dump(shortened(name, output, steps, batch)))
        before = getrusage(RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "srcore", "train", str(recipe)], check=True, stdout=sys.stderr)
        after = getrusage(RUSAGE_CHILDREN)
        means = read_spec(output).metrics["mean"]
        batch = read_config(recipe).batch
    return {
        "recipe": name,
        "steps": steps,
        "batch": batch,
        "cpu_s": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime),
        "scenes": means["scenes"],
        "bicubic": means["psnr_bicubic"],
        "psnr": means["psnr"],
        "gain": round(means["psnr"] - means["psnr_bicubic"], 2),
    }


def main() -> None:
    """Print the table; write the figures where asked."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.recipes", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recipe", nargs="+")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--batch", type=int, help="patches a step; default: the recipe's")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    figures = [measured(name, given.steps, given.batch) for name in given.recipe]
    table = Table("recipe", "steps", "patches a step", "CPU s", "scenes", "bicubic, PSNR", "published", "gain, dB")
    told = ("recipe", "steps", "batch", "cpu_s", "scenes", "bicubic", "psnr")
    for one in figures:
        table.add_row(*(str(one[key]) for key in told), f"{one['gain']:+.2f}")
    out.print(table)
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
