"""All benchmarks: tables on the terminal, figures in benchmarks.json. `make bench` calls it."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

from benchmarks import export, out, pipeline, raw, tiles


def main() -> None:
    """Run them in turn and write the figures."""
    figures = {"machine": platform.processor() or platform.machine(), "python": platform.python_version()}
    results: dict[str, Any] = {"tiles": tiles.run(), "raw": raw.run(quick=True)}
    results |= {"memory": pipeline.memory(), "workers": pipeline.workers()}
    results["export"] = [export.run(size=4096, repeats=1)]
    out.print(tiles.table(results["tiles"]))
    out.print(raw.table(results["raw"]))
    out.print(pipeline.memory_table(results["memory"]))
    out.print(pipeline.workers_table(results["workers"]))
    out.print(export.table(results["export"][0]))
    path = Path("benchmarks.json")
    path.write_text(json.dumps({**figures, **results}, indent=1) + "\n")
    out.print(f"figures: {path}; quality: python -m benchmarks.quality")


main()
