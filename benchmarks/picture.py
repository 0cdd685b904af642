"""The picture of the README: LR, bicubic, SR and true HR of the sample archive, at two places.

srcore demo && python -m benchmarks.picture
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from benchmarks import out
from srcore.report.quicklook import readme_picture
from srcore.samples import SAMPLES
from srcore.storage.header import Header
from srcore.storage.scene import SceneReader, open_scene, read_header

ROOT = Path(__file__).parent.parent
TARGET = ROOT / "docs" / "sample.png"


def main() -> None:
    """Draw the first scene of the sample archive from its published product."""
    name = SAMPLES[0].name
    files = {
        "lr": ROOT / f"incoming/sample/lr/{name}.tif",
        "hr": ROOT / f"incoming/sample/hr/{name}.tif",
        "sr": ROOT / f"archive/sample-landscape/products/{name}/{name}.tif",
    }
    missing = [str(path) for path in files.values() if not path.exists()]
    if missing:
        raise SystemExit(f"{missing[0]} is not there; run `srcore demo` first")
    headers = {key: read_header([path], "raster") for key, path in files.items()}
    with ExitStack() as stack:
        readers = {key: stack.enter_context(open_scene(header)) for key, header in headers.items()}
        values = {key: _whole(readers[key], header) for key, header in headers.items()}
        _, valid = readers["lr"].read(_window(headers["lr"]))
        picture = readme_picture(
            lambda window: readers["lr"].read(window)[0],
            valid,
            values["sr"],
            values["hr"],
            [band.name for band in headers["lr"].bands],
            [band.colour for band in headers["lr"].bands],
        )
    TARGET.write_bytes(picture)
    out.print(f"{TARGET}: {len(picture) / 1024:.0f} KiB")


def _window(header: Header) -> tuple[slice, ...]:
    return tuple(slice(0, size) for size in header.grid.shape)


def _whole(reader: SceneReader, header: Header) -> NDArray[Any]:
    return reader.read(_window(header))[0]


if __name__ == "__main__":
    main()
