"""What a night costs before its first scene, and what one due scene costs among many: files opened, seconds, memory.

    python -m benchmarks.nights [--scenes 100 1000 10000] [--no-prefect] [--json FILE]
    python -m benchmarks.nights --due 100 1000      nights in which all is due, with Prefect and without: benchmarks.due

One tiny scene is published; its product is then linked under as many names as asked for, each with a receipt of its
own. What is opened is counted by Python's audit hook: those counts are the same on every machine, and are what
`tests/run/test_scale.py` holds.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks import out
from flows import WAITING
from srcore.layout import DatasetPaths
from srcore.storage.archive.publish import Receipt
from srcore.storage.disk.records import json_bytes

DATASET = "many"
COUNTED = {"open": "files", "os.listdir": "folders", "os.scandir": "folders"}
"""Events of the audit hook, and what they are counted as."""


class Opened:
    """What was opened and listed while it was counted."""

    def __init__(self) -> None:
        self.files: Counter[str] = Counter()
        self.folders: Counter[str] = Counter()

    def below(self, folder: Path) -> tuple[int, int]:
        """Files opened and folders listed in a folder and all below it."""
        start = f"{folder}{os.sep}"
        files, folders = (
            sum(count for path, count in counts.items() if f"{path}{os.sep}".startswith(start))
            for counts in (self.files, self.folders)
        )
        return files, folders


_COUNTING: list[Opened] = []


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if _COUNTING and event in COUNTED and arguments and isinstance(arguments[0], str | bytes | os.PathLike):
        for counted in _COUNTING:
            getattr(counted, COUNTED[event])[os.fsdecode(arguments[0])] += 1


@contextmanager
def counted() -> Iterator[Opened]:
    """Counts what this process opens meanwhile."""
    if not _HOOKED:
        sys.addaudithook(_hear)  # for good: a hook cannot be taken away
        _HOOKED.append(True)
    opened = Opened()
    _COUNTING.append(opened)
    try:
        yield opened
    finally:
        _COUNTING.remove(opened)


_HOOKED: list[bool] = []


def make_store(folder: Path, scenes: int) -> Path:
    """A catalog of one dataset of published scenes; gives its path. One is made, the others are links to its files."""
    from srcore.dispatch import Workers
    from srcore.run.dataset import run_dataset
    from srcore.run.scene import run_scene

    write_source(folder / "in" / "s00000.tif")
    catalog = folder / "data_catalog.yaml"
    catalog.write_text(
        f"version: 1\nstore: ./store\ndatasets:\n  {DATASET}:\n    kind: raster\n    source: ./in/*.tif\n"
        "    model: bicubic-x2\n    tile: 32\n"
    )
    [made] = run_dataset(catalog, DATASET, lambda job: run_scene(job, Workers(0)))
    if made.receipt is None:
        raise SystemExit(made.message)
    for number in range(1, scenes):
        _link(folder, made.receipt, f"s{number:05d}", number)
    return catalog


def write_source(path: Path) -> None:
    """A GeoTIFF of 24 x 38 pixels."""
    import numpy as np
    import rasterio
    from rasterio.transform import Affine

    y, x = np.mgrid[:24, :38]
    values = 900 + 300 * np.sin(x / 5) + 200 * np.cos(y / 7) + 20 * np.random.default_rng(0).standard_normal(y.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    profile: dict[str, Any] = {"driver": "GTiff", "count": 1, "height": 24, "width": 38, "dtype": "uint16"}
    place = {"crs": "EPSG:32632", "transform": Affine(10, 0, 600000, 0, -10, 5200000)}
    with rasterio.open(path, "w", **profile, **place) as target:
        target.write(values[None].astype("uint16"))


def _link(folder: Path, receipt: Receipt, scene: str, number: int) -> None:
    """The source and the product of a receipt under another name."""
    products = DatasetPaths(folder / "store" / DATASET).products
    (products / scene).mkdir()
    [source] = receipt.sources
    path = Path(source.path).with_name(f"{scene}.tif")
    os.link(source.path, path)
    outputs = []
    for output in receipt.outputs:
        name = output.name.replace(receipt.scene, scene)
        os.link(products / receipt.scene / output.name, products / scene / name)
        outputs.append(replace(output, name=name))
    created = (datetime.fromisoformat(receipt.created) - timedelta(minutes=number)).astimezone(UTC)
    record = replace(
        receipt,
        scene=scene,
        sources=(replace(source, path=str(path)),),
        outputs=tuple(outputs),
        created=created.isoformat(timespec="seconds"),
    )
    (products / scene / f"{scene}.receipt.json").write_bytes(json_bytes(record.__dict__ | _plain(record)))


def _plain(record: Receipt) -> dict[str, Any]:
    return {
        "sources": [source.__dict__ for source in record.sources],
        "outputs": [output.__dict__ for output in record.outputs],
    }


def measured(catalog: Path, *, prefect: bool) -> dict[str, Any]:
    """CPU seconds, files and memory of a night on a store of published scenes; in a process of its own."""
    from srcore.catalog import load_catalog
    from srcore.report.index import write_index
    from srcore.run.states import look

    figures: dict[str, Any] = {}
    loaded, idle = load_catalog(catalog), _peak_mb()
    with counted() as opened:
        scenes = sum(state.state == "published" for state in look(loaded, DATASET).states)
    files, folders = opened.below(catalog.parent)
    figures |= {"scenes": scenes, "files": files, "folders": folders, "peak_mb": _peak_mb(), "idle_mb": idle}
    # the least of three: the machine may be busy
    figures["decide_s"] = min(_cpu_s(lambda: Counter(one.state for one in look(loaded, DATASET).states)) for _ in "123")
    places = DatasetPaths(Path(loaded.store) / DATASET)
    write_index(places)  # imports, too
    figures["index_s"], figures["index_peak_mb"] = _cpu_s(lambda: write_index(places)), _peak_mb()
    pages = [path.stat().st_size for path in places.root.glob("index*.html")]
    figures |= {"pages": len(pages), "largest_page_bytes": max(pages)}
    return figures | _due(catalog) | (_with_prefect(catalog) if prefect else {})


def _due(catalog: Path) -> dict[str, Any]:
    """A night without Prefect: without work, and one scene that is due, by itself."""
    from srcore.catalog import load_catalog
    from srcore.dispatch import Workers
    from srcore.run.dataset import each_due, run_dataset, run_one
    from srcore.run.outcome import Outcome
    from srcore.run.scene import run_scene
    from srcore.run.states import SceneState

    figures: dict[str, Any] = {}
    loaded = load_catalog(catalog)

    def do(state: SceneState, again: bool) -> Outcome:
        started = time.process_time()
        with counted() as opened:
            outcome = run_one(loaded, state, lambda job: run_scene(job, Workers(0)), force=again)
        figures["due_s"] = time.process_time() - started
        figures["due_files"], figures["due_folders"] = opened.below(catalog.parent)
        return outcome

    for _ in range(3):  # the first imports
        _unpublish(catalog)
        each_due(loaded, DATASET, do)
    figures["night_s"] = _cpu_s(lambda: run_dataset(catalog, DATASET, lambda job: run_scene(job, Workers(0))))
    return figures


def _with_prefect(catalog: Path) -> dict[str, Any]:
    """The same nights as flows, on a server of their own: CPU of this process, in which the flows run."""
    from prefect.testing.utilities import prefect_test_harness

    from flows.nightly import nightly

    with prefect_test_harness(server_startup_timeout=180):
        nightly(str(catalog), return_state=True)  # imports, too
        _unpublish(catalog)
        nightly(str(catalog), return_state=True)
        idle = _cpu_s(lambda: nightly(str(catalog), return_state=True))
        _unpublish(catalog)
        started = time.monotonic()
        due = _cpu_s(lambda: nightly(str(catalog), return_state=True))
        return {"prefect_night_s": idle, "prefect_due_night_s": due, "prefect_due_wall_s": time.monotonic() - started}


def _unpublish(catalog: Path) -> None:
    products = DatasetPaths(catalog.parent / "store" / DATASET).products
    (products / "s00003" / "s00003.receipt.json").unlink()


def _cpu_s(call: Callable[[], Any]) -> float:
    started = time.process_time()
    call()
    return time.process_time() - started


def _peak_mb() -> float:
    # not getrusage: that begins with what the parent had
    [line] = [one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


def run(counts: Sequence[int] = (100, 1_000, 10_000), *, prefect: bool = True) -> list[dict[str, Any]]:
    """The figures of each count, in a process of its own each."""
    found = []
    for count in counts:
        with tempfile.TemporaryDirectory() as name:
            catalog = make_store(Path(name).resolve(), count)
            command = [sys.executable, "-m", "benchmarks.nights", "--one", str(catalog)]
            options = [] if prefect else ["--no-prefect"]
            quiet = {**WAITING, **os.environ, "PREFECT_LOGGING_LEVEL": "ERROR", "SRCORE_WORKERS": "0"}
            told = subprocess.run([*command, *options], check=True, stdout=subprocess.PIPE, text=True, env=quiet).stdout
            found.append(json.loads(told.splitlines()[-1]))
    return found


ROWS = (
    ("deciding, CPU s", "decide_s", "{:.2f}"),
    ("files opened", "files", "{:,}"),
    ("folders listed", "folders", "{:,}"),
    ("peak memory, MB", "peak_mb", "{:.0f}"),
    ("of it before", "idle_mb", "{:.0f}"),
    ("night without work, CPU s", "night_s", "{:.2f}"),
    ("the same in Prefect", "prefect_night_s", "{:.2f}"),
    ("one due scene, CPU s", "due_s", "{:.2f}"),
    ("files it opens", "due_files", "{:,}"),
    ("folders it lists", "due_folders", "{:,}"),
    ("night with it in Prefect, CPU s", "prefect_due_night_s", "{:.2f}"),
    ("all pages, CPU s", "index_s", "{:.2f}"),
    ("peak memory behind them, MB", "index_peak_mb", "{:.0f}"),
    ("pages", "pages", "{:,}"),
    ("largest page, kB", "largest_page_kb", "{:.0f}"),
)
"""What the table tells: title, figure, form."""


def table(figures: Sequence[dict[str, Any]]) -> Table:
    """For people."""
    result = Table("", *[f"{one['scenes']:,}" for one in figures], title="nights of published scenes")
    for title, name, form in ROWS:
        full = [{**one, "largest_page_kb": one["largest_page_bytes"] / 1e3} for one in figures]
        result.add_row(title, *[form.format(one[name]) if name in one else "" for one in full])
    return result


def due_table(figures: Sequence[dict[str, Any]]) -> Table:
    """For people: nights in which all is due."""
    heads = ("CPU s", "CPU s a scene", "outside the stages", "wall s", "wall s a scene", "outside")
    result = Table("scenes", "sort", "Prefect", *heads)
    for one in figures:
        row = [f"{one['scenes']:,}", one["sort"], "yes" if one["prefect"] else "no"]
        row += [f"{one['cpu_s']:.2f}", f"{one['cpu_s'] / one['scenes']:.4f}", _outside(one, "cpu")]
        row += [f"{one['wall_s']:.2f}", f"{one['wall_s'] / one['scenes']:.3f}", _outside(one, "wall")]
        result.add_row(*row)
    return result


def _outside(one: dict[str, Any], kind: str) -> str:
    """Seconds outside the stages, and their share."""
    seconds, whole = one[f"{kind}_s"] - one[f"stages_{kind}_s"], one[f"{kind}_s"]
    return f"{seconds:.2f} ({100 * seconds / whole:.1f} %)"


def main() -> None:
    """Print the table; write the figures where asked."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.nights", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scenes", type=int, nargs="+", default=[100, 1_000, 10_000])
    parser.add_argument("--no-prefect", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--due", type=int, nargs="*", metavar="COUNT")
    parser.add_argument("--small", type=int, nargs="*", default=[100], help="nights of real small scenes beside --due")
    parser.add_argument("--own", type=int, default=20, help="small scenes with a flow run each, beside --due; 0: none")
    parser.add_argument("--no-large", action="store_true", help="leave the large scene of --due out")
    given = parser.parse_args()
    if given.due is not None:
        from benchmarks.due import run_due

        found = run_due(given.due, given.small, given.own, large=not given.no_large)
        out.print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", due_table(found))
        _write(given.json, found)
        return
    if given.one:
        sys.stdout.write(json.dumps(measured(given.one, prefect=not given.no_prefect)) + "\n")
        return
    figures = run(given.scenes, prefect=not given.no_prefect)
    out.print(table(figures))
    _write(given.json, figures)


def _write(path: Path | None, figures: Sequence[dict[str, Any]]) -> None:
    if path:
        path.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
