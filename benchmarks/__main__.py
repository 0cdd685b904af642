"""All benchmarks: tables on the terminal, figures in benchmarks.json. `make bench` calls it."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks import export, out, peers, pipeline, raw, rooms, startup, throughput, tiles


def main() -> None:
    """Run them in turn, print each table as it comes, and write the figures."""
    figures: dict[str, Any] = {
        "machine": platform.processor() or platform.machine(),
        "python": platform.python_version(),
    }
    measures: dict[str, tuple[Callable[[], Any], Callable[[Any], Table]]] = {
        "startup": (lambda: startup.run(repeats=3), startup.table),
        "rooms": (lambda: rooms.run(repeats=1), rooms.table),
        "tiles": (tiles.run, tiles.table),
        "raw": (lambda: raw.run(quick=True), raw.table),
        "throughput": (lambda: throughput.run(rounds=1), throughput.table),
        "peers": (lambda: peers.run(side=512, rounds=1), peers.table),
        "memory": (pipeline.memory, pipeline.memory_table),
        "workers": (lambda: pipeline.workers(rounds=1), pipeline.workers_table),
        "export": (lambda: export.run(size=4096, repeats=1), export.table),
    }
    for name, (run, table) in measures.items():
        figures[name] = run()
        out.print(table(figures[name]))
    path = Path("benchmarks.json")
    path.write_text(json.dumps(figures, indent=1) + "\n")
    out.print(f"figures: {path}; quality: make bench-quality")


main()
