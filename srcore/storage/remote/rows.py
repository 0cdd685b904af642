"""A program by itself: the items of a stac-geoparquet file, a line of JSON each; or what is wrong, on stderr, and 1.

A file of strangers is decoded in a process of its own, with so much memory and no more: some bytes of Parquet can stand
for any amount of rows, and what is written in Rust ends its process where memory does.
"""

from __future__ import annotations

import json
import os
import sys


def main(folder: str, name: str, memory_bytes: str) -> None:
    """Print the items of FOLDER/NAME; the name has plain letters."""
    try:
        import resource

        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        most = int(memory_bytes) if hard == resource.RLIM_INFINITY else min(int(memory_bytes), hard)
        resource.setrlimit(resource.RLIMIT_AS, (most, hard))
    except ImportError:  # not on Windows
        pass
    os.environ.setdefault("TOKIO_WORKER_THREADS", "1")
    from rustac import RustacError, read_sync
    from rustac.store import LocalStore

    try:
        found = read_sync(name, format="geoparquet", store=LocalStore(prefix=folder), set_self_link=False)
    except (RustacError, MemoryError) as error:
        sys.exit(str(error).partition("\n")[0] or "not enough memory")
    for item in found["features"]:
        sys.stdout.write(json.dumps(item) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
