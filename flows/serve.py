"""`srcore serve`: Prefect server, the catalog's schedules and the worker on one machine, until Ctrl-C."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from flows.guard import SERVED, is_loopback
from srcore.catalog import load_catalog
from srcore.errors import CatalogError, SRError

if TYPE_CHECKING:
    from prefect.runner import Runner

START_SECONDS = 180.0
"""A server's first start makes its database: 8 s on two cores, longer on a busy machine."""
STOP_SECONDS = 30.0
POLL_SECONDS = 2.0
"""Between two looks of the worker for runs that are due."""
AUTH = "PREFECT_SERVER_API_AUTH_STRING"


def serve(catalog: Path, host: str = "127.0.0.1", port: int = 4200) -> None:
    """Serve the flows of the catalog until SIGINT or SIGTERM; then stop the run in progress and the server.

    CatalogError when the catalog is broken, the host is open without a password, or the port is taken;
    SRError when the server does not start or dies.
    """
    loaded = load_catalog(catalog)
    refuse_open_host(host, os.environ)
    refuse_taken_port(host, port)
    environment = server_environment(Path(loaded.store), host, port, os.environ)
    environment[SERVED] = json.dumps([os.path.realpath(catalog)])
    # The worker in this process, and the runs that it starts, read the same settings as the server.
    os.environ.update(environment)
    stop = threading.Event()
    _stop_on_signals(stop)
    with prefect_server(host, port, environment) as server:
        _wait_until_healthy(server, environment, stop)
        _work(catalog, environment["PREFECT_SERVER_UI_API_URL"].removesuffix("/api"), server, stop)
    print("stopped", flush=True)


def _stop_on_signals(stop: threading.Event) -> None:
    """Signals set a flag and interrupt nothing: whatever has been started is known, and gets stopped."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())


def refuse_open_host(host: str, environ: Mapping[str, str]) -> None:
    """CatalogError when other machines could start runs here without a password."""
    if not is_loopback(host) and ":" not in environ.get(AUTH, ""):
        raise CatalogError(
            f"{host} can be reached from other machines and the API has no password",
            f"no {AUTH}",
            f"set {AUTH}=user:password, or serve on 127.0.0.1",
            code="OPEN_HOST",
        )


def refuse_taken_port(host: str, port: int) -> None:
    """CatalogError when nothing can listen on that address."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(address)
    except OSError as error:
        raise CatalogError(
            f"cannot listen on {host}:{port}",
            error.strerror or str(error),
            "stop what listens there or give another --port",
            code="PORT_IN_USE",
        ) from error


def server_environment(store: Path, host: str, port: int, environ: Mapping[str, str]) -> dict[str, str]:
    """The settings of server, worker and runs. What the user has set already is kept, addresses excepted."""
    name = f"[{host}]" if ":" in host else host
    reached = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(name, name)
    url = f"http://{reached}:{port}"
    fixed = {"PREFECT_API_URL": f"{url}/api", "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}
    if environ.get(AUTH):
        fixed["PREFECT_API_AUTH_STRING"] = environ[AUTH]
    defaults = {
        "PREFECT_HOME": str(store / ".prefect"),
        "PREFECT_SERVER_UI_API_URL": f"{url}/api",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        # A page of another site, open in the same browser, must not start runs.
        "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS": url,
        # Each run leaves a picture in the database; runs go after 90 days (receipts stay).
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
        "PREFECT_LOGGING_EXTRA_LOGGERS": "srcore",
        "DASK_LOGGING__DISTRIBUTED": "warning",
    }
    return {**{key: environ.get(key, value) for key, value in defaults.items()}, **fixed}


@contextmanager
def prefect_server(host: str, port: int, environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A Prefect server in a child process, its output in PREFECT_HOME/server.log; stopped at the end."""
    log = server_log(environment)
    log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    for private in (log, *log.parent.glob("prefect.db*")):  # those of an earlier version, too
        private.touch(mode=0o600)
        private.chmod(0o600)
    print(f"starting the Prefect server (log: {log}) ...", flush=True)
    command = [sys.executable, "-m", "flows.server", host, str(port)]
    with log.open("wb") as output:
        # Its own session: Ctrl-C on the terminal reaches us alone, and the server goes last.
        server = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **environment}, start_new_session=True
        )
    try:
        yield server
    finally:
        server.send_signal(signal.SIGINT)
        try:
            server.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def server_log(environment: Mapping[str, str]) -> Path:
    """Where the server writes what it has to say."""
    return Path(environment["PREFECT_HOME"], "server.log")


def _wait_until_healthy(server: subprocess.Popen[bytes], environment: Mapping[str, str], stop: threading.Event) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not stop.is_set() and time.monotonic() < deadline and server.poll() is None:
        try:
            if httpx.get(f"{environment['PREFECT_API_URL']}/health", timeout=5).status_code == httpx.codes.OK:
                return
        except httpx.HTTPError:
            time.sleep(0.2)  # not yet
    if stop.is_set():
        return
    log = server_log(environment)
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    raise SRError(
        "the Prefect server did not start",
        lines[-1][:200] if lines else "an empty log",
        f"see {log}",
        code="SERVER_DOWN",
    )


def _work(catalog: Path, url: str, server: subprocess.Popen[bytes], stop: threading.Event) -> None:
    """Create the deployments and run what comes due, until `stop`."""
    if stop.is_set():
        return
    # Prefect reads its settings when it is imported: not before `serve` has set them.
    from prefect.runner import Runner

    from flows import deploy

    wanted = deploy.deployments(catalog, load_catalog(catalog))
    paused = deploy.keep_pauses(wanted)
    runners = []
    for lane in deploy.lanes(wanted):
        runners.append(Runner(name="srcore", query_seconds=POLL_SECONDS, limit=1, pause_on_shutdown=False))
        for deployment in lane:
            runners[-1].add_deployment(deployment)
    for name in deploy.delete_others(wanted):
        print(f"removed the deployment {name}: not in the catalog any more")
    if interrupted := deploy.close_interrupted():
        print(f"{interrupted} runs were interrupted when the last server stopped; they are marked as crashed")
    print(f"\nPrefect UI: {url}\n  Deployments > {deploy.BY_HAND} > Run > Custom run: one scene, now", flush=True)
    for line in deploy.schedules(wanted):
        print(f"  {line}")
    for name in paused:
        print(f"  {name} is paused")
    logging.getLogger("prefect.runner").setLevel(logging.WARNING)  # it tells every two seconds that a run waits
    print("Ctrl-C stops.", flush=True)
    asyncio.run(_run_until_stopped(runners, server, stop))


async def _run_until_stopped(runners: Sequence[Runner], server: subprocess.Popen[bytes], stop: threading.Event) -> None:
    """Run the workers, one run each at a time, until `stop`; SRError when the server, or one of them, ends before."""
    working = [asyncio.create_task(runner.start()) for runner in runners]
    await asyncio.sleep(0)  # as they start, the runners take SIGTERM for themselves
    _stop_on_signals(stop)
    while not stop.is_set() and not any(one.done() for one in working) and server.poll() is None:
        await asyncio.sleep(0.2)
    for one in working:
        one.cancel()
    ended = await asyncio.gather(*working, return_exceptions=True)
    for error in ended:
        if isinstance(error, Exception):  # a cancelled task is none
            raise error
    if not stop.is_set():
        raise SRError(
            "the Prefect server ended", f"exit status {server.poll()}", "see its server.log", code="SERVER_DOWN"
        )
