"""MLflow's client: imported when it is asked for and without telemetry, its lists whole, its failures one line each."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from srcore.errors import SRError, StoreError
from srcore.registry.identity import check_database
from srcore.settings import load_settings

QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
"""Set before MLflow is imported, where the user has not: it reports nothing, and a dead server costs seconds."""
FAILURES = {
    "disk is full": "DISK_FULL",
    "readonly database": "NOT_WRITABLE",
    "No space left": "DISK_FULL",
    "Permission denied": "NOT_WRITABLE",
    "File too large": "BAD_STORE",
}
"""What a database or a disk says, to its reason code; MLflow wraps it in words of its own."""


def mlflow() -> Any:
    """MLflow: it takes two seconds to import, and is an extra. StoreError REGISTRY_AWAY where it is not installed."""
    for variable, value in QUIET.items():
        os.environ.setdefault(variable, value)
    try:
        import mlflow as found
        import mlflow.artifacts
    except ImportError as error:
        raise StoreError(
            "the registry of models needs MLflow", str(error), "pip install 'srcore[train]'", code="REGISTRY_AWAY"
        ) from error
    return found


def whole(search: Callable[..., Any], question: str | None) -> list[Any]:
    """All that a search of MLflow finds, which gives it in pages."""
    found: list[Any] = []
    page = ""
    while True:
        part = search(question, page_token=page or None)
        found += part
        page = part.token
        if not page:
            return found


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Whatever MLflow, its database or the network raise, as a StoreError of one line: DISK_FULL, NOT_WRITABLE,
    REGISTRY_DAMAGED where the database of the settings is no sound one, else REGISTRY_AWAY."""
    try:
        yield
    except SRError:
        raise
    except Exception as error:  # MLflow lets those of its database, of HTTP and of the disk through
        text = str(error)
        code = next((code for words, code in FAILURES.items() if words in text), "REGISTRY_AWAY")
        if code == "REGISTRY_AWAY":
            check_database(load_settings().registry_uri)
        # of several files that failed MLflow has a heading first, and what the system said of each below
        lines = sorted(text.splitlines(), key=lambda line: "[Errno" not in line) or [type(error).__name__]
        reason = lines[0][:200]
        raise StoreError(what, reason, "see SRCORE_REGISTRY", code=code) from error


def shown(uri: str) -> str:
    """Without a password."""
    return re.sub(r"//[^/@]+@", "//...@", uri)
