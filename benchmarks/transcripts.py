"""What the command line looks like: on terminals of 80 and of 40 columns, in a pipe, and as JSON.

    python -m benchmarks.transcripts [--markdown]

A small archive is made (two scenes, a file that is no raster), a night of it is run, and each command is started in a
process of its own, on a pseudo-terminal of that width. docs/commandline.md keeps some of it, made by `--markdown`;
times and folders are written over.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.transform import Affine

COMMANDS = (
    ("status", "hills"),
    ("run", "hills", "--dry-run"),
    ("quarantine", "list"),
    ("models", "list"),
    ("upscale", "in/broken.tif", "sr.tif"),
)
"""What is shown, in this order."""
WIDTHS = (80, 40)
KEPT = {
    ("status", "hills"): ("80 columns", "40 columns", "piped"),
    ("upscale", "in/broken.tif", "sr.tif"): ("piped", "--json"),
}
"""What docs/commandline.md has, in which forms."""
STAND_IN = "/home/ada/imagery"
WITH_JSON = frozenset({"status", "run", "quarantine", "models", "upscale"})


def make_archive(folder: Path) -> None:
    """Two scenes, a file that is no raster, and the catalog."""
    (folder / "in").mkdir(parents=True)
    y, x = np.mgrid[:64, :80]
    values = (1500 + 900 * np.sin(x / 7) * np.cos(y / 9)).astype("uint16")[None]
    profile: dict[str, Any] = {"count": 1, "height": 64, "width": 80, "dtype": "uint16", "crs": "EPSG:32632"}
    place = Affine(10, 0, 600000, 0, -10, 5200000)
    for name in ("LC08_L1TP_193028_20261120_20261126_02_T1", "west"):
        with rasterio.open(folder / f"in/{name}.tif", "w", driver="GTiff", transform=place, **profile) as target:
            target.write(values)
    (folder / "in/broken.tif").write_bytes(b"no raster")
    (folder / "data_catalog.yaml").write_text(
        "version: 1\nstore: ./archive\ndatasets:\n  hills:\n    kind: raster\n    source: ./in/*.tif\n"
        "    model: bicubic-x2\n"
    )


def on_terminal(folder: Path, command: tuple[str, ...], columns: int) -> str:
    """What a terminal of that width gets, stdout and stderr as they come."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    process = subprocess.Popen(_call(command), cwd=folder, env=_environment(folder), stdout=theirs, stderr=theirs)
    os.close(theirs)
    said = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # the end of a pseudo-terminal
            break
        if not piece:
            break
        said += piece
    os.close(ours)
    process.wait()
    return _plain(said.decode(errors="replace"), folder)


def in_pipe(folder: Path, command: tuple[str, ...]) -> str:
    """What a pipe and a log get, stdout before stderr."""
    done = subprocess.run(_call(command), cwd=folder, env=_environment(folder), capture_output=True, text=True)
    return _plain(done.stdout + done.stderr, folder)


def _call(command: tuple[str, ...]) -> list[str]:
    return [sys.executable, "-m", "srcore", *command]


def _environment(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT", "SRCORE", "COLUMNS"))}
    here = str(Path(__file__).resolve().parent.parent)
    return {**kept, "PYTHONPATH": here, "SRCORE_WORKERS": "0", "SRCORE_CACHE": str(folder / ".cache"), "NO_COLOR": "1"}


def _plain(said: str, folder: Path) -> str:
    """Without the signs that move a cursor, and with times, sizes of this machine and folders written over."""
    said = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said).replace("\r", "")
    said = said.replace(
        str(folder), STAND_IN[: len(str(folder))].ljust(len(str(folder)), "s")
    )  # tables keep their form
    said = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", "2026-11-26T02:00:00+00:00", said)
    return "\n".join(line.rstrip() for line in said.splitlines()).strip("\n")


def shown(folder: Path, command: tuple[str, ...]) -> dict[str, str]:
    """A command in each of its forms."""
    found = {f"{columns} columns": on_terminal(folder, command, columns) for columns in WIDTHS}
    found["piped"] = in_pipe(folder, command)
    if command[0] in WITH_JSON:
        found["--json"] = in_pipe(folder, (*command, "--json"))
    return found


def main() -> None:
    """Print them."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.transcripts", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--markdown", action="store_true", help="what docs/commandline.md keeps")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        make_archive(folder)
        in_pipe(folder, ("run", "hills"))
        for command in KEPT if given.markdown else COMMANDS:
            for form, said in shown(folder, command).items():
                if given.markdown and form not in KEPT[command]:
                    continue
                words = f"{' '.join(command)}{' --json' if form == '--json' else ''}"
                head = f"`srcore {words}`, {form}:" if form != "--json" else f"`srcore {words}`:"
                text = "\n".join(f"    {line}".rstrip() for line in said.splitlines()) if given.markdown else said
                sys.stdout.write(f"{head}\n\n{text}\n\n")


if __name__ == "__main__":
    main()
