"""Small files that mislead, or with --real the real imagery: published right, refused rightly, or wrong.

python -m benchmarks.archive [--only TEXT]
python -m benchmarks.archive --real [--models A,B] [--max-pixels N] [--keep archive.jsonl]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path

from rich.table import Table

from benchmarks import out, shared
from benchmarks.archive import real
from benchmarks.archive.cases import CASES
from benchmarks.archive.run import Row, counted, judged


def cases(only: str) -> list[Row]:
    """Every case whose title contains a text."""
    rows = []
    for case in CASES:
        if only in case.title:
            with tempfile.TemporaryDirectory() as folder:
                rows.append(judged(case, shared() / "cases", Path(folder)))
    return rows


def show(rows: list[Row]) -> None:
    """A line a case, and the three numbers."""
    for row in rows:
        out.print(f"{row.verdict:15}  {row.case}: {row.why}", markup=False)
    out.print(f"{len(rows)} cases: {counted(rows)}")


def main() -> None:
    """Print the tables; exit code 1 where something is wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.archive", description=__doc__)
    parser.add_argument("--only", default="", help="cases whose title contains this")
    parser.add_argument("--real", action="store_true")
    parser.add_argument("--models", default="", help="comma-separated; default: all that ship")
    parser.add_argument("--max-pixels", type=int, default=2**16)
    parser.add_argument("--keep", type=Path, default=Path("archive.jsonl"))
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if not options.real:
        rows = cases(options.only)
        show(rows)
        sys.exit(int(counted(rows)["wrong"] > 0))
    models = tuple(options.models.split(",")) if options.models else ()
    found = real.run(shared() / "data", options.keep, options.max_pixels, models)
    table = Table("model", "files", "published", "degraded", "refused", "stopped", "wrong", title="real files")
    for model in dict.fromkeys(row["model"] for row in found):
        counts = Counter(row["result"] for row in found if row["model"] == model)
        bad = counts["wrong"] + counts["failed"] + counts["crashed"]
        table.add_row(
            model,
            *(
                str(n)
                for n in (counts.total(), *(counts[r] for r in ("published", "degraded", "refused", "stopped")), bad)
            ),
        )
    out.print(table)
    sys.exit(int(any(row["result"] in ("wrong", "failed", "crashed") for row in found)))


if __name__ == "__main__":
    main()
