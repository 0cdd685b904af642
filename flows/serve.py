"""`srcore serve`: Prefect server, the catalog's schedules and the worker on one machine, until Ctrl-C."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from flows.guard import AUTH, IN_FORCE, PAGES, SERVED, is_loopback
from flows.service.alone import alone, places, refuse_second, refuse_shared
from flows.service.follow import Followed, first
from flows.service.temporary import use_own_temporary
from srcore.errors import CatalogError, SRError
from srcore.settings import load_settings

if TYPE_CHECKING:
    from flows.service.runs import Unfinished
    from flows.service.work import Work

START_SECONDS = 180.0
"""A server's first start makes its database: 8 s on two cores, longer on a busy machine."""
STOP_SECONDS = 30.0
AGAIN_SECONDS = 2.0
"""Behind a first Ctrl-C, before a second one ends at once."""
LATE_SECONDS = 1800
"""A run that waits so long behind another is called late, and somebody is told."""
BEAT_SECONDS = 30
"""Between two heartbeats of a run: the least that Prefect takes."""


def serve(catalog: Path, host: str = "127.0.0.1", port: int = 4200) -> None:
    """Serve the flows of the catalog until SIGINT or SIGTERM; then stop the run in progress and the server.

    CatalogError when the catalog is broken, its store is served already, the host is open without a password, or the
    port is taken; SRError when the server does not start or dies.
    """
    followed = first(catalog.absolute())
    refuse_open_host(host, os.environ)
    store = Path(followed.catalog.store)
    environment = server_environment(store, host, port, os.environ, load_settings().history_days)
    home, url = Path(environment["PREFECT_HOME"]), environment["PREFECT_API_URL"].removesuffix("/api")
    refuse_second(places(store, home), say)
    refuse_shared(store)
    refuse_taken_port(host, port)
    copy = home / "catalog.yaml"
    environment |= {SERVED: json.dumps([os.path.realpath(catalog), str(copy)]), IN_FORCE: str(copy)}
    environment[PAGES] = f"{url}/store"
    # The worker in this process, and the runs that it starts, read the same settings as the server.
    os.environ.update(environment)
    use_own_temporary()
    stop = Stop()
    stop_on_signals(stop)
    with alone(places(store, home), url), prefect_server(host, port, environment) as server:
        _wait_until_healthy(server, environment, stop)
        if not stop.is_set():
            _work(followed, copy, server, stop)
    say("stopped")


def say(line: str) -> None:
    """Print; a terminal that went away is no reason to leave a server behind."""
    try:
        print(line, flush=True)
    except OSError:  # nobody reads it, now and until the end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Stop(threading.Event):
    """Set by a signal. Asked for once more, it ends this process as it is: as a kill, which the next start mends."""

    since = 0.0

    def ask(self, *_: object) -> None:
        """Set it; or end, where it was set some seconds ago: what passes signals on may send one twice."""
        if not self.is_set():
            self.since = time.monotonic()
            self.set()
        elif time.monotonic() - self.since > AGAIN_SECONDS:
            os._exit(130)


def stop_on_signals(stop: Stop) -> None:
    """Signals set a flag and interrupt nothing: whatever has been started is known, and gets stopped."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop.ask)


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


def server_environment(store: Path, host: str, port: int, environ: Mapping[str, str], days: int = 90) -> dict[str, str]:
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
        # Each run leaves a picture in the database; Prefect's own service removes what is old (receipts stay).
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": str(days * 86400),
        "PREFECT_SERVER_EVENTS_RETENTION_PERIOD": f"P{days}D",
        "PREFECT_SERVER_SERVICES_LATE_RUNS_AFTER_SECONDS": str(LATE_SECONDS),
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(BEAT_SECONDS),
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
    say(f"starting the Prefect server (log: {log}) ...")
    command = [sys.executable, "-m", "flows.server", host, str(port)]
    with log.open("wb") as output:
        # Its own session: Ctrl-C on the terminal reaches us alone, and the server goes last.
        server = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,  # it ends with us, also where we are killed
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
            start_new_session=True,
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


def _wait_until_healthy(server: subprocess.Popen[bytes], environment: Mapping[str, str], stop: Stop) -> None:
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
    found = why_it_ended(log.read_text(errors="replace"))
    raise SRError("the Prefect server did not start", found, f"see {log}", code="SERVER_DOWN")


def why_it_ended(log: str) -> str:
    """The line of a server's log that tells most: its last error, as 'OperationalError: database or disk is full'."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"[\w.]*(Error|Exception)\b\S*: ", line)]
    return (errors or lines or ["an empty log"])[-1][:200]


def _work(followed: Followed, copy: Path, server: subprocess.Popen[bytes], stop: Stop) -> None:
    """Create the deployments, and run what comes due until `stop`."""
    # Prefect reads its settings when it is imported: not before `serve` has set them.
    from flows.service.work import Lane, Work

    url = os.environ["PREFECT_SERVER_UI_API_URL"].removesuffix("/api")
    go_on(Work(followed, copy, url, say, Lane), stop, lambda: server.poll() is None)
    if not stop.is_set():
        log = server_log(os.environ)
        why = f"exit status {server.poll()}, {why_it_ended(log.read_text(errors='replace'))}"
        raise SRError("the Prefect server ended", why, f"see {log}", code="SERVER_DOWN")


def go_on(work: Work, stop: Stop, alive: Callable[[], bool]) -> None:
    """Begin, say what there is, and work until `stop`, or until the server is not `alive`."""
    from flows.service import runs
    from flows.service.work import AWAY

    _begin(work)
    say("Ctrl-C stops.")
    asyncio.run(_until_stopped(work, alive, stop))
    with suppress(*AWAY):  # the next start closes them
        runs.close_dead()


def _begin(work: Work) -> None:
    from flows import deploy
    from flows.service import runs
    from flows.service.work import AWAY, refused
    from flows.tagged import BY_HAND, here

    wanted = work.begin()
    try:
        told = runs.close_dead()
    except AWAY as error:
        raise refused(error) from error
    for line in in_words(told):
        say(line)
    say(f"\nPrefect UI: {work.url or os.environ['PREFECT_API_URL'].removesuffix('/api')}")
    say(f"  Deployments > {here(BY_HAND)} > Run > Custom run: one scene, now")
    for line in [*deploy.schedules(wanted), *(f"{one.name} is paused" for one in wanted if one.paused)]:
        say(f"  {line}")
    for teller in ("prefect.runner", "prefect.workers"):  # one tells every two seconds that a run waits
        logging.getLogger(teller).setLevel(logging.WARNING)


def in_words(found: Unfinished) -> list[str]:
    """What a start says of the runs that it found unfinished."""
    told = {
        "were interrupted when the last server stopped; they are marked as crashed": found.dead,
        "of a service that was killed go on": found.alive,
        "belong to another machine; they end as crashed when their heartbeats stop": found.elsewhere,
    }
    return [f"{len(names)} runs {what}: {', '.join(names[:8])}" for what, names in told.items() if names]


async def _until_stopped(work: Work, alive: Callable[[], bool], stop: Stop) -> None:
    """Work until `stop`, or until the server ends; says what a stop leaves."""
    working = asyncio.create_task(work.go_on())
    while not stop.is_set() and not working.done() and alive():
        await asyncio.sleep(0.2)
        stop_on_signals(stop)  # a worker that starts takes SIGTERM for itself
    if stop.is_set():
        asked = asyncio.create_task(asyncio.to_thread(_left))
        if not (await asyncio.wait([asked], timeout=AGAIN_SECONDS))[0]:
            say("stopping; the Prefect server takes its time: Ctrl-C again ends at once, and a run in progress goes on")
        for line in await asked:
            say(line)
    working.cancel()
    [ended] = await asyncio.gather(working, return_exceptions=True)
    if isinstance(ended, Exception):  # a cancelled task is none
        raise ended


def _left() -> list[str]:
    from flows.service.runs import running
    from flows.service.work import AWAY

    try:
        left = running()
    except AWAY as error:
        return [f"stopping; what runs is not known: {str(error)[:200]}"]
    if not left:
        return ["stopping; nothing runs. Nights that are missed start when the service is back"]
    kept = "finished products and tiles stay, and the next run goes on from them"
    return [f"stopping {', '.join(left)}: {kept}"]
