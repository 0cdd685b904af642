"""`srcore serve`: Prefect server, the catalog's schedules and the worker on one machine, until Ctrl-C."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from srcore.catalog import load_catalog
from srcore.errors import CatalogError, SRError

if TYPE_CHECKING:
    from prefect.runner import Runner

START_SECONDS = 180.0
"""A server's first start makes its database: 8 s on two cores, longer on a busy machine."""
STOP_SECONDS = 30.0
POLL_SECONDS = 5.0
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
    # The worker in this process, and the runs that it starts, read the same settings as the server.
    os.environ.update(environment)
    with prefect_server(host, port, environment) as server:
        _work(catalog, environment["PREFECT_SERVER_UI_API_URL"].removesuffix("/api"), server)


def is_loopback(host: str) -> bool:
    """True for an address that only this machine can reach."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def refuse_open_host(host: str, environ: Mapping[str, str]) -> None:
    """CatalogError when other machines could start runs here without a password."""
    if not is_loopback(host) and ":" not in environ.get(AUTH, ""):
        raise CatalogError(f"{host} can be reached from other machines and the API has no password", f"no {AUTH}",
                           f"set {AUTH}=user:password, or serve on 127.0.0.1", code="OPEN_HOST")  # fmt: skip


def refuse_taken_port(host: str, port: int) -> None:
    """CatalogError when nothing can listen on that address."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(address)
    except OSError as error:
        raise CatalogError(f"cannot listen on {host}:{port}", error.strerror or str(error),
                           "stop what listens there or give another --port", code="PORT_IN_USE") from error  # fmt: skip


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
        "PREFECT_LOGGING_EXTRA_LOGGERS": "srcore",
        "DASK_LOGGING__DISTRIBUTED": "warning",
    }
    return {**{key: environ.get(key, value) for key, value in defaults.items()}, **fixed}


@contextmanager
def prefect_server(host: str, port: int, environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A healthy Prefect server in a child process, its output in PREFECT_HOME/server.log; stopped at the end."""
    log = Path(environment["PREFECT_HOME"], "server.log")
    log.parent.mkdir(parents=True, exist_ok=True)
    print(f"starting the Prefect server (log: {log}) ...", flush=True)
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", host, "--port", str(port)]
    with log.open("wb") as output:
        # Its own session: Ctrl-C on the terminal reaches us alone, and the server goes last.
        server = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **environment}, start_new_session=True
        )
    try:
        _wait_until_healthy(server, environment["PREFECT_API_URL"], log)
        yield server
    finally:
        _stop(server)


def _wait_until_healthy(server: subprocess.Popen[bytes], api: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            break
        try:
            if httpx.get(f"{api}/health", timeout=5).status_code == httpx.codes.OK:
                return
        except httpx.HTTPError:
            time.sleep(0.2)  # not yet
    lines = log.read_text(errors="replace").split("\n")
    last = next((line for line in reversed(lines) if line.strip()), "nothing in its log")
    raise SRError("the Prefect server did not start", last.strip()[:200], f"see {log}", code="SERVER_DOWN")


def _stop(server: subprocess.Popen[bytes]) -> None:
    if server.poll() is None:
        server.send_signal(signal.SIGINT)
    try:
        server.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def _work(catalog: Path, url: str, server: subprocess.Popen[bytes]) -> None:
    # Prefect reads its settings when it is imported: not before `serve` has set them.
    from prefect.runner import Runner

    from flows import deploy

    wanted = deploy.deployments(catalog, load_catalog(catalog))
    runner = Runner(name="srcore", query_seconds=POLL_SECONDS, limit=1, pause_on_shutdown=False)
    for deployment in wanted:
        runner.add_deployment(deployment)
    for name in deploy.delete_others(wanted):
        print(f"removed the deployment {name}: not in the catalog any more")
    if interrupted := deploy.close_interrupted():
        print(f"{interrupted} runs were interrupted when the last server stopped; they are marked as crashed")
    print(f"\nPrefect UI: {url}\n  Deployments > {deploy.BY_HAND} > Run > Custom run: one scene, now", flush=True)
    for deployment in wanted:
        for schedule in deployment.schedules or []:
            print(f"  {deployment.name}: every due scene at {schedule.schedule}")
    print("Ctrl-C stops.", flush=True)
    asyncio.run(_run_until_stopped(runner, server))


async def _run_until_stopped(runner: Runner, server: subprocess.Popen[bytes]) -> None:
    """Run the worker until a signal; SRError when the server ends before that."""
    working = asyncio.create_task(runner.start())
    await asyncio.sleep(0)  # the runner sets its own handler for SIGTERM as it starts; ours replaces it
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, working.cancel)
    watching = asyncio.create_task(_until_ended(server))
    await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
    died = not working.done()
    for task in (working, watching):
        task.cancel()
    with suppress(asyncio.CancelledError):
        await working
    if died:
        raise SRError("the Prefect server ended", f"exit status {server.returncode}", "see its server.log",
                      code="SERVER_DOWN")  # fmt: skip


async def _until_ended(server: subprocess.Popen[bytes]) -> None:
    while server.poll() is None:
        await asyncio.sleep(1)
