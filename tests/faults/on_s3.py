"""The crash sweep on an object store: a night, killed at every request that changes the store, then run again.

    python -m tests.faults.on_s3 FOLDER ENDPOINT [--every K]

This process imports all and asks nothing of the store by obstore, which hangs in a fork of who used it: each night is a
fork, and the looks at the bucket go by boto3. Prints a JSON line: points, injected, and what was wrong.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import boto3
import torch

from srcore.storage.objects import store
from srcore.storage.objects.client import CONDITIONS
from tests.faults import archive
from tests.faults.crash import forked

BUCKET = "night"


class Requests:
    """Counts the requests that change the store, and kills this process at one: before it, or done and unanswered."""

    def __init__(self, at: int = 0, *, applied: bool = False) -> None:
        self.at, self.applied, self.seen = at, applied, list[str]()
        self.client = store.client

    def install(self) -> None:
        """From now on, and until this process ends."""
        store.client = self._counted

    def _counted(self, address: str) -> Any:
        return _Counted(self.client(address), self)

    def around(self, kind: str, call: Any, name: Any, args: Any, options: Any) -> Any:
        """One request."""
        self.seen.append(f"{kind} {name}")
        if len(self.seen) == self.at and not self.applied:
            os.kill(os.getpid(), signal.SIGKILL)
        found = call(name, *args, **options)
        if len(self.seen) == self.at:
            os.kill(os.getpid(), signal.SIGKILL)
        return found


class _Counted:
    def __init__(self, opened: Any, requests: Requests) -> None:
        self._opened, self._requests = opened, requests

    def put(self, name: str, *args: Any, **options: Any) -> Any:
        return self._requests.around("PUT", self._opened.put, name, args, options)

    def delete(self, names: Any) -> Any:
        return self._requests.around("DELETE", self._opened.delete, names, (), {})

    def __getattr__(self, name: str) -> Any:
        return getattr(self._opened, name)


class Sweep:
    """Kills the night of one scene at each of its requests; the scene's source changed since its product was made."""

    def __init__(self, folder: Path, endpoint: str) -> None:
        self.folder, self.wrong, self.injected = folder, list[str](), 0
        self.s3 = boto3.client("s3", endpoint_url=endpoint)
        self.s3.create_bucket(Bucket=BUCKET)
        archive.write_scene(folder / "warm" / "in" / "scene.tif")
        archive.run(archive.write_catalog(folder / "warm"))  # libraries load here, not in every fork
        self.catalog = archive.write_catalog(folder)
        self.catalog.write_text(self.catalog.read_text().replace("store: ./store", f"store: s3://{BUCKET}/archive"))
        self.source = folder / "in" / "scene.tif"
        archive.write_scene(self.source, seed=1)
        assert forked(self._night) == ["published"]
        self.kept, self.old = self.objects(), self.product()
        archive.write_scene(self.source, seed=2)
        self.points = forked(self._counted)
        self.new = self.product()
        assert len({"", "wrong", self.old, self.new}) == 4

    def _night(self) -> list[str]:
        return [outcome.result for outcome in archive.run(self.catalog)]

    def _counted(self) -> list[str]:
        requests = Requests()
        requests.install()
        self._night()
        return requests.seen

    def objects(self) -> dict[str, bytes]:
        """All that lies in the bucket."""
        found = self.s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])
        return {one["Key"]: self.s3.get_object(Bucket=BUCKET, Key=one["Key"])["Body"].read() for one in found}

    def product(self) -> str:
        """The digest of the scene's image, by its receipt; 'wrong' where one of its files is not what that says."""
        there, products = self.objects(), "archive/fields/products/scene/"
        receipt = json.loads(there[f"{products}scene.receipt.json"])
        for one in receipt["outputs"]:
            if hashlib.sha256(there.get(products + one["name"], b"")).hexdigest() != one["sha256"]:
                return "wrong"
        return next(str(one["sha256"]) for one in receipt["outputs"] if one["name"].endswith(".tif"))

    def kill_at(self, number: int, *, applied: bool) -> None:
        """One kill: the old product or the new one, and the next night ends as if nothing had happened."""
        name = f"{number} {self.points[number - 1]}, applied {applied}"
        for key in self.objects():
            self.s3.delete_object(Bucket=BUCKET, Key=key)
        for key, data in self.kept.items():
            self.s3.put_object(Bucket=BUCKET, Key=key, Body=data)

        def broken() -> list[str]:
            Requests(number, applied=applied).install()
            return self._night()

        if (told := forked(broken)) is not None:
            self.wrong.append(f"{name}: was not killed, {told}")
        self.injected += 1
        if (seen := self.product()) not in (self.old, self.new):
            self.wrong.append(f"{name}: a reader saw {seen}")
        again = forked(self._night)
        if again not in (["published"], ["up to date"]) or self.product() != self.new:
            self.wrong.append(f"{name}: the next night ended with {again}, {self.product()}")
        if left := self.left():
            self.wrong.append(f"{name}: left behind {left}")

    def left(self) -> list[str]:
        """Leases, and runs that the receipt does not name."""
        there, products = self.objects(), "archive/fields/products/scene/"
        named = {products + one["name"] for one in json.loads(there[f"{products}scene.receipt.json"])["outputs"]}
        runs = [name for name in there if name.startswith(products) and name.count("/") == 5 and name not in named]
        return runs + [name for name in there if "/." in name and not name.endswith(CONDITIONS)]


def main() -> None:
    """Sweep, and say what was found."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("endpoint")
    parser.add_argument("--every", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(1)
    sweep = Sweep(options.folder.resolve(), options.endpoint)
    for number in range(1, len(sweep.points) + 1, options.every):
        for applied in (False, True):
            sweep.kill_at(number, applied=applied)
    kinds = Counter(point.split()[0] for point in sweep.points)
    told = {"points": len(sweep.points), "kinds": kinds, "injected": sweep.injected, "wrong": sweep.wrong}
    json.dump({**told, "list": sweep.points}, sys.stdout)


if __name__ == "__main__":
    main()
