"""MLflow's own page on the registry: the full package beside the client, an extra, in a process of its own."""

from __future__ import annotations

import os
import sys
from importlib.metadata import PackageNotFoundError, version

from srcore.errors import CatalogError, StoreError
from srcore.registry.client import QUIET
from srcore.registry.identity import database_of
from srcore.registry.mlflow_store import open_registry
from srcore.settings import load_settings

LOOPBACK = "127.0.0.1"


def page_command(port: int) -> list[str]:
    """What serves MLflow's page on the registry of the settings at that port of loopback, with one worker.

    StoreError NO_REGISTRY, REGISTRY_AWAY and the like where there is nothing to show, NOT_INSTALLED without MLflow's
    server; CatalogError BAD_SETTING for a registry that is a server, and has a page of its own.
    """
    uri = load_settings().registry_uri
    if database_of(uri) is None:
        raise CatalogError("the registry is a server", uri.rpartition("@")[2], "open its address", code="BAD_SETTING")
    open_registry()
    refuse_client_alone()
    served = ["--backend-store-uri", uri, "--host", LOOPBACK, "--port", str(port), "--workers", "1"]
    return [sys.executable, "-m", "mlflow", "server", *served]


def page_environment() -> dict[str, str]:
    """Of that process: as quiet as the client is."""
    return {**QUIET, **os.environ}


def refuse_client_alone() -> None:
    """StoreError NOT_INSTALLED unless the full MLflow is there: srcore needs its client alone."""
    try:
        version("mlflow")
    except PackageNotFoundError as error:
        what, do = "the page of the registry needs the full MLflow", "pip install 'srcore[train,ui]'"
        raise StoreError(what, "its client alone", do, code="NOT_INSTALLED") from error
