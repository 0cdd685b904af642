"""The units of the model, measured: CPU seconds of a scene by its size, requests to an object store."""

from __future__ import annotations

import logging
import os
import socket
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks import nights, small
from benchmarks.due import make_due
from benchmarks.scale.model import Units

SIDES = 64, 1024
"""Of the scenes that the flow's part is measured on."""
SHOWN = (100, 600)
"""Scenes of the archives in which nothing is due."""


def measured(told: Callable[[str], None]) -> Units:
    """The units that take a minute or two to measure, `told` one by one; the others stand in Units, with where they
    come from."""
    units = Units()
    if (requests := requests_a_scene()) is not None:
        units = replace(units, requests=requests)
    told(f"{units.requests} requests a scene")
    few, many = (small.run(["nearest-x2"], scenes=3, side=side)[0] for side in SIDES)
    flow = [one["cpu_s"] - one["rooms"]["network"] for one in (few, many)]
    units = replace(units, scene_s=flow[0], mp_s=(flow[1] - flow[0]) / ((SIDES[1] ** 2 - SIDES[0] ** 2) / 1e6))
    told(f"{units.scene_s:.3f} s a scene and {units.mp_s:.2f} s a megapixel, in the flow's process")
    idle = nights.run(SHOWN, prefect=False)
    units = replace(units, known_s=sum(_slope(idle, name) for name in ("night_s", "index_s")))
    told(f"{1e3 * units.known_s:.2f} ms a scene that is not due")
    return units


def _slope(found: list[dict[str, Any]], name: str) -> float:
    return float(found[1][name] - found[0][name]) / (SHOWN[1] - SHOWN[0])


def planned(catalog: Path, tile: int) -> Path:
    """plan.json of the first scene of a catalog, ingested."""
    from srcore.catalog import load_catalog
    from srcore.run.states import look
    from srcore.stages.ingest import ingest
    from srcore.stages.plan import plan_scene, save_plan

    state = next(iter(look(load_catalog(catalog), "many").states))
    plan = plan_scene(replace(state.job, tile=tile, block=2 * tile), 0)
    plan.scratch.done.mkdir(parents=True)
    save_plan(plan)
    ingest(plan)
    return plan.scratch.plan


class _Counted:
    """A client of an object store whose calls are counted: by name, a request each."""

    def __init__(self, opened: Any, calls: Counter[str]) -> None:
        self.opened, self.calls = opened, calls

    def __getattr__(self, name: str) -> Any:
        self.calls[name] += 1
        return getattr(self.opened, name)


@contextmanager
def requests_counted() -> Iterator[Counter[str]]:
    """Counts the requests of this process to object stores meanwhile."""
    from srcore.storage.objects import client

    calls: Counter[str] = Counter()
    opened = client._opened
    with mock.patch.object(client, "_opened", lambda address: _Counted(opened(address), calls)):
        yield calls


def requests_a_scene() -> int | None:
    """Requests that one more due scene makes in a night on an object store; None where moto is not installed."""
    try:
        from moto.server import ThreadedMotoServer
    except ImportError:
        return None
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        few, more = (_requests("http://{}:{}".format(*server.get_host_and_port()), count) for count in (1, 3))
    finally:
        server.stop()
    return (more - few) // 2


def _requests(endpoint: str, scenes: int) -> int:
    import httpx

    from srcore.dispatch import Workers
    from srcore.run.dataset import run_dataset
    from srcore.run.scene import run_scene

    bucket = f"scale-{scenes}"
    httpx.put(f"{endpoint}/{bucket}").raise_for_status()
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "us-east-1"}
    with tempfile.TemporaryDirectory() as name:
        catalog = make_due(Path(name).resolve(), scenes)
        catalog.write_text(catalog.read_text().replace("./store", f"s3://{bucket}/archive"))
        there = {**keys, "AWS_ENDPOINT_URL": endpoint, "SRCORE_SCRATCH": f"{name}/stores"}
        with mock.patch.dict(os.environ, there), requests_counted() as calls:
            ended = run_dataset(catalog, "many", lambda job: run_scene(job, Workers(0)))
    if bad := [one.message for one in ended if not one.ok]:
        raise SystemExit(bad[0])
    return sum(calls.values())


def free_port() -> int:
    """A port of loopback that nobody has."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
