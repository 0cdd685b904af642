"""`srcore serve --server URL`: the catalog's schedules and workers at a Prefect server that others use, too."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from flows.guard import IN_FORCE, PAGES, POOL, SERVED
from flows.serve import BEAT_SECONDS, Stop, go_on, say, stop_on_signals
from flows.service.alone import alone, places, places_here, refuse_second
from flows.service.follow import Followed, first
from flows.service.reach import api_of, in_the_clear, pool_of, refuse_unusable
from flows.service.temporary import use_own_temporary
from srcore.catalog import Catalog
from srcore.catalog.object_stores import on_object_store
from srcore.settings import load_settings

POLL_SECONDS = 5
"""Between two looks of a worker for runs that are due; of one server many machines ask."""


def serve_on(catalog: Path, server: str, pool: str | None = None) -> None:
    """Serve the flows of the catalog at `server` until SIGINT or SIGTERM; the server goes on, and so do others' runs.

    CatalogError when the catalog is broken, its store is served already, or the pool is another store's; SRError
    SERVER_AWAY, SERVER_REFUSED or SERVER_VERSION.
    """
    followed = first(catalog.absolute())
    load_settings()
    store, api, pool = Path(followed.catalog.store), api_of(server), pool_of(pool)
    environment = client_environment(store, api, pool, os.environ)
    home = Path(environment["PREFECT_HOME"])
    own = places_here(store, home)
    refuse_second((*places(store, home), *own), say)  # one with a server of its own has the store alone
    version = refuse_unusable(api)
    copy = home / "catalog.yaml"
    environment |= {SERVED: json.dumps([os.path.realpath(catalog), str(copy)]), IN_FORCE: str(copy)}
    # The workers in this process, and the runs that they start, read the same settings.
    os.environ.update(environment)
    os.environ.pop(PAGES, None)  # pages are shown by a server of srcore's own
    use_own_temporary()
    stop = Stop()
    stop_on_signals(stop)
    say(f"Prefect {version} at {api.removesuffix('/api')}, work pool {pool}")
    if clear := in_the_clear(api):
        say(clear)
    with alone(own, api.removesuffix("/api")):
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        _work(followed, copy, pool, stop)
    say("stopped")


def client_environment(store: Path, api: str, pool: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The settings of workers and runs. What the user has set already is kept, the address and the pool excepted."""
    defaults = {
        "PREFECT_HOME": str(store / ".prefect"),
        "PREFECT_WORKER_QUERY_SECONDS": str(POLL_SECONDS),
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(BEAT_SECONDS),
        "PREFECT_LOGGING_EXTRA_LOGGERS": "srcore",
        "DASK_LOGGING__DISTRIBUTED": "warning",
    }
    fixed = {"PREFECT_API_URL": api, "DO_NOT_TRACK": "1", POOL: pool}
    return {**{key: environ.get(key, value) for key, value in defaults.items()}, **fixed}


def identity(catalog: Catalog) -> str:
    """Which store a pool's deployments are of: an address is one for all machines, a folder is one of this machine."""
    shown = catalog.shown_store
    return shown if on_object_store(Path(catalog.store)) else f"{socket.gethostname()}:{shown}"


def _work(followed: Followed, copy: Path, pool: str, stop: Stop) -> None:
    # Prefect reads its settings when it is imported: not before `serve_on` has set them.
    from flows.service.pool import PROCESS, PoolLane, open_pool
    from flows.service.work import AWAY, Work, refused

    store = identity(followed.catalog)
    try:
        kind = open_pool(pool, store)
    except AWAY as error:
        raise refused(error) from error
    if kind != PROCESS:
        say(
            f"{pool} is a pool of type {kind}: its runs wait for workers elsewhere (prefect worker start --pool {pool})"
        )
    work = Work(followed, copy, "", say, partial(PoolLane, pool=pool, store=store))
    go_on(work, stop, lambda: True)
