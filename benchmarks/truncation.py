"""Every real file of the shared imagery cut at 10, 50 and 99 %: what becomes of it. Nothing may be published.

python -m benchmarks.truncation
"""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

from rich.table import Table

from benchmarks import out, shared
from srcore.dispatch import Workers
from srcore.errors import SRError
from srcore.run.direct import direct_job
from srcore.run.scene import run_scene

SHARES = (0.10, 0.50, 0.99)


def run() -> list[dict[str, str]]:
    """One row a file: the reason code at each share; 'published' would be a fault."""
    rows = []
    data = shared() / "data"
    files = sorted([*data.glob("satellite/**/*.tif*"), *data.glob("medical/**/*.nii.gz")])
    for path in files:
        row = {"file": path.name}
        for share in SHARES:
            row[f"{share:.0%}"] = _one(path, share)
        rows.append(row)
    return rows


def _one(path: Path, share: float) -> str:
    with tempfile.TemporaryDirectory() as folder:
        cut = Path(folder) / path.name
        cut.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
        output = Path(folder) / ("sr.nii.gz" if path.name.endswith(".gz") else "sr.tif")
        try:
            run_scene(direct_job(str(cut), output, model="nearest-x2"), Workers(0))
        except SRError as error:
            return error.code if not output.exists() else "published"
        return "published"


def main() -> None:
    """Print the table and the counts."""
    rows = run()
    table = Table(*rows[0], title="real files cut short")
    for row in rows:
        table.add_row(*row.values())
    out.print(table)
    counts = Counter(code for row in rows for key, code in row.items() if key != "file")
    out.print(f"{len(rows)} files, {sum(counts.values())} cuts: {dict(counts)}")


if __name__ == "__main__":
    main()
