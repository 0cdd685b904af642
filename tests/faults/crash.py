"""The crash sweep: a tiny run, broken once at every point at which it changes the disk, then run again.

    python -m tests.faults.crash FOLDER FAULT [--source KIND] [--control] [--replace] [--only TEXT] [--every K]

A process imports all and runs once; every broken run is a fork of it. Prints a JSON line: points, injected, and what
was wrong. Of a source that is unpacked or fetched (zip, stac) the cache counts as well. With --control products are
published by writing straight to their names: that must be found wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import shutil
import sys
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import srcore.run.scene
from srcore.errors import SRError
from srcore.layout import ProductPaths, Scratch
from srcore.storage.archive.publish import Output, Receipt
from srcore.storage.disk.files import sha256_file
from tests.elsewhere import item, serve
from tests.faults import archive
from tests.faults.points import Fault, Points
from tests.storage.providers.products import NAME, make_safe

TAKE_NO_SPACE = ("remove", "rmdir")
"""Points at which a full disk cannot be met."""


def put_source(folder: Path, kind: str) -> dict[str, str]:
    """Have a scene of that kind; gives what the catalog says of it."""
    if kind == "tif":
        archive.write_scene(folder / "in" / "scene.tif", seed=1)
        return {}
    if kind == "stac":
        world, _ = serve()
        href = world.put("/scene.tif", archive.write_scene(folder / "there" / "scene.tif", seed=1).read_bytes())
        world.items = [item("scene", {"image": {"href": href, "roles": ["data"]}}, world.address)]
        return {"source": f"{{stac: {world.address}/api}}"}
    safe = make_safe(folder / ("in" if kind == "safe" else "there"), {"B05": 20, "B11": 20})
    if kind == "safe":
        return {"source": "./in/*.SAFE"}
    (folder / "in").mkdir()
    with zipfile.ZipFile(folder / "in" / f"{NAME}.zip", "w") as packed:
        for path in sorted(safe.rglob("*")):
            packed.write(path, path.relative_to(safe.parent))
    return {"source": "./in/*.zip"}


def forked(work: Callable[[], Any]) -> Any:
    """What `work` gives in a fork of this process; None when that process was killed."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            torch.set_num_threads(1)  # the threads of this process are not in its fork, which would wait for them
            os.close(read)
            with os.fdopen(write, "wb") as pipe:
                pipe.write(pickle.dumps(work()))
            status = 0
        finally:
            os._exit(status)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        told = pipe.read()
    _, status = os.waitpid(child, 0)
    return pickle.loads(told) if os.waitstatus_to_exitcode(status) == 0 else None


class Sweep:
    """Breaks the run of the archive in `folder` at each of its points."""

    def __init__(self, folder: Path, *, replace: bool, kind: str = "tif") -> None:
        self.folder, self.replace = folder, replace
        self.root = folder / "store" if kind in ("tif", "safe") else folder
        self.catalog = archive.write_catalog(folder, **put_source(folder, kind))
        self.wrong: list[str] = []
        self.injected: Counter[str] = Counter()
        self.before: archive.Files = {}
        [outcome] = archive.run(self.catalog)  # warms up: libraries load and cache what they need
        assert outcome.ok, outcome
        if replace:
            self.before = archive.published(folder)
            shutil.copytree(folder / "store", folder / "kept")
            archive.write_scene(folder / "in" / "scene.tif", seed=2)
        self._reset()
        self.points = forked(self._counted)
        self.right = archive.published(folder)
        assert not archive.wrong_outputs(folder, self.right), "the unbroken run is not right"
        assert not archive.leftovers(folder), archive.leftovers(folder)

    def _reset(self) -> None:
        archive.reset(self.folder)
        if self.replace:
            shutil.copytree(self.folder / "kept", self.folder / "store")

    def _counted(self) -> list[str]:
        points = Points(self.root)
        points.install()
        archive.run(self.catalog)
        return points.seen

    def break_at(self, number: int, fault: Fault) -> None:
        """One fault: nothing wrong is seen after it, and the next run ends as if nothing had happened."""
        name = f"{fault} at {number}, {self.points[number - 1]}"
        self._reset()

        def broken() -> tuple[str, str, bool]:
            points = Points(self.root, number, fault)
            points.install()
            try:
                [outcome] = archive.run(self.catalog)
            except SRError as error:  # before a scene is known: the dataset failed
                return "failed", error.code, len(points.seen) >= number
            return outcome.result, outcome.code, len(points.seen) >= number

        told = forked(broken)
        self.injected[self.points[number - 1].split()[0]] += 1
        if fault == "kill" and told is not None:
            self.wrong.append(f"{name}: was not killed, {told}")
        if fault == "full" and (told is None or told[1] not in ("", "DISK_FULL") or not told[2]):
            self.wrong.append(f"{name}: ended with {told}")
        wrong = archive.wrong_outputs(self.folder, self.right, self.before)
        self.wrong += [f"{name}: wrong {found}" for found in wrong]
        archive.later(self.folder)
        again = forked(lambda: [outcome.result for outcome in archive.run(self.catalog)])
        if again not in (["published"], ["up to date"]):
            self.wrong.append(f"{name}: the next run ended with {again}")
        found = archive.published(self.folder)
        if found != self.right:
            differs = {key for key in {*found, *self.right} if found.get(key) != self.right.get(key)}
            self.wrong.append(f"{name}: the next run made something else of {sorted(differs)}")
        if left := archive.leftovers(self.folder):
            self.wrong.append(f"{name}: left behind {left}")


def publish_directly(product: ProductPaths, scratch: Scratch, receipt: Receipt, _: dict[str, str]) -> Receipt:
    """What srcore must not do: write to the published names. The control."""
    product.folder.mkdir(parents=True, exist_ok=True)
    outputs = []
    product.folder.mkdir(parents=True, exist_ok=True)
    for path in product.files:
        staged = scratch.staged / path.name
        if staged.exists():
            with open(staged, "rb") as source, open(path, "wb") as target:
                while piece := source.read(1 << 14):
                    target.write(piece)
            outputs.append(Output(path.name, sha256_file(path), path.stat().st_size))
    complete = Receipt(**{**receipt.__dict__, "outputs": tuple(outputs)})
    complete.save(product.receipt)
    return complete


def main() -> None:
    """Sweep, and say what was found."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("fault", choices=["kill", "full"])
    parser.add_argument("--source", choices=["tif", "safe", "zip", "stac"], default="tif")
    parser.add_argument("--control", action="store_true")
    parser.add_argument("--replace", action="store_true")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--only", default="", help="points whose line contains this text")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.control:
        srcore.run.scene.publish = publish_directly  # type: ignore[assignment]
    folder = options.folder.resolve()
    if options.source != "tif":
        os.environ["SRCORE_CACHE"] = str(folder / "cache")
    sweep = Sweep(folder, replace=options.replace, kind=options.source)
    never = TAKE_NO_SPACE if options.fault == "full" else ()
    numbers = [
        number for number, point in enumerate(sweep.points, 1) if options.only in point and not point.startswith(never)
    ]
    for number in numbers[:: options.every]:
        sweep.break_at(number, options.fault)
    kinds = Counter(point.split()[0] for point in sweep.points)
    json.dump(
        {
            "points": len(sweep.points),
            "kinds": kinds,
            "injected": sum(sweep.injected.values()),
            "wrong": sweep.wrong,
            "list": sweep.points,
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
