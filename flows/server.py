"""The Prefect server behind `flows.guard`, its database its owner's alone: `python -m flows.server HOST PORT`."""

from __future__ import annotations

import os
import sys

import uvicorn


def main(host: str, port: int) -> None:
    """Serve until SIGINT."""
    os.umask(0o077)  # before the database is made
    from prefect.server.api.server import create_app

    from flows.guard import guarded, names_of

    uvicorn.run(guarded(create_app(final=True), names_of(host, port)), host=host, port=port, log_level="warning")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
