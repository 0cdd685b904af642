"""The Prefect server behind `flows.guard`, its database its owner's alone: `python -m flows.server HOST PORT`."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

import uvicorn


def main(host: str, port: int) -> None:
    """Serve until SIGINT, or until stdin ends: with the service that started this, however that ended."""
    os.umask(0o077)  # before the database is made
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    from prefect.server.api.server import create_app

    from flows.guard import AUTH, IN_FORCE, guarded, names_of
    from flows.service.pages import with_pages

    app = with_pages(create_app(final=True), Path(os.environ[IN_FORCE]), os.environ.get(AUTH, ""))
    uvicorn.run(guarded(app, names_of(host, port)), host=host, port=port, log_level="warning")


def _end_with_stdin() -> None:
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
