"""The command metrics: what Prometheus reads, once on stdout or at an address."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.options import CatalogOption, chosen_catalog


def metrics(
    catalog: CatalogOption = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Answer http://127.0.0.1:PORT/metrics until Ctrl-C.")
    ] = None,
) -> None:
    """Counts of the store for Prometheus: scenes, tiles, MP/s, failures by code, queue, disk, last success."""
    from srcore.catalog import load_catalog
    from srcore.run.gauges import exposition

    path = chosen_catalog(catalog).absolute()
    load_catalog(path)  # now, not at the first question
    if port is None:
        sys.stdout.write(exposition(path).decode())
        return
    _answer(path, port)


LOOPBACK = "127.0.0.1"
"""Nobody beyond this machine is answered."""


def _answer(catalog: Path, port: int) -> None:
    from prometheus_client import CollectorRegistry, start_http_server

    from srcore.errors import PlanError
    from srcore.run.gauges import StoreCollector

    collectors = CollectorRegistry(auto_describe=False)
    collectors.register(StoreCollector(catalog))
    try:
        server, thread = start_http_server(port, LOOPBACK, collectors)
    except OSError as error:
        what = f"port {port} cannot be used"
        raise PlanError(what, error.strerror or str(error), "give another --port", code="PORT_IN_USE") from error
    typer.echo(f"metrics: http://{LOOPBACK}:{server.server_port}/metrics, until Ctrl-C", err=True)
    try:
        threading.Event().wait()
    finally:
        server.shutdown()
        thread.join()
