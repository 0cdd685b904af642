"""A disk that really fills, at many sizes: run it with `unshare -Urm`.

    unshare -Urm python -m tests.faults.disk FOLDER

A small tmpfs in FOLDER holds the archive. The projection before the run is taken out, so that the disk fills while
the run writes: also under Zarr, wherever it writes. Prints what was found as a JSON line.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import torch

import srcore.stages.plan
from tests.faults import archive
from tests.faults.crash import forked

DISK_KIB = 4096
STEP_KIB = 24
SHAPE = (90, 100)


def main() -> None:
    """Fill the disk more and more; after each run free it, and run again."""
    torch.set_num_threads(1)
    folder = Path(sys.argv[1]) / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_KIB}k", "tmpfs", str(folder)], check=True)
    srcore.stages.plan._check_disk = lambda plan: None
    archive.write_scene(folder / "in" / "scene.tif", shape=SHAPE)
    catalog = archive.write_catalog(folder)
    archive.run(catalog)
    right = archive.published(folder)
    wrong, codes, left = [], [], 0
    while left == 0 or codes[-1] != "":
        archive.reset(folder)
        fill(folder / "fill", left)
        told = forked(lambda: [(outcome.code, str(outcome.message)) for outcome in archive.run(catalog)])
        codes.append(told[0][0] if told else "died")
        if codes[-1] not in ("", "DISK_FULL") or "\n" in told[0][1]:
            wrong.append(f"{left} KiB left: {told}")
        seen = archive.products(archive.published(folder))
        if seen and codes[-1]:
            wrong.append(f"{left} KiB left: published {sorted(seen)}")
        (folder / "fill").unlink()
        archive.later(folder)
        again = forked(lambda: [outcome.ok for outcome in archive.run(catalog)])
        if again != [True] or archive.published(folder) != right or archive.leftovers(folder):
            wrong.append(f"{left} KiB left: the next run ended with {again}, {archive.leftovers(folder)}")
        left += STEP_KIB
    json.dump({"injected": len(codes) - 1, "needs_kib": left - STEP_KIB, "wrong": wrong}, sys.stdout)


def fill(path: Path, left_kib: int) -> None:
    """Write zeros until only `left_kib` KiB are free."""
    with open(path, "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            file.truncate(max(0, file.tell() // 4096 * 4096 - (left_kib << 10)))


if __name__ == "__main__":
    main()
