"""What the shell offers behind TAB: datasets, scenes and models, by what has been typed.

A shell that waits or shows a traceback is worse than one that offers nothing: what goes wrong here gives nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from srcore.catalog import Catalog

MOST = 200
"""Of scenes: nobody reads more of them behind a prompt."""


def datasets(ctx: typer.Context, incomplete: str) -> list[str]:
    """Of the catalog that was named before, or that of the settings."""
    return _quietly(lambda: [name for name in _catalog(ctx).datasets if name.startswith(incomplete)])


def scenes(ctx: typer.Context, incomplete: str) -> list[str]:
    """Of the dataset that was named before."""

    def found() -> list[str]:
        from srcore.storage.archive.sources import find_scenes

        catalog = _catalog(ctx)
        # behind an option that still waits for its value, arguments are not taken apart yet
        entry = catalog.dataset(str(ctx.params.get("dataset") or next(iter(ctx.args), "")))
        all_of_them = (one.id for one in find_scenes(entry, catalog.base))
        return list(islice((name for name in all_of_them if name.startswith(incomplete)), MOST))

    return _quietly(found)


def models(incomplete: str) -> list[str]:
    """Those that ship; no registry is asked, which may be far away."""

    def found() -> list[str]:
        from srcore.checkpoints import builtin_names

        return [name for name in builtin_names() if name.startswith(incomplete)]

    return _quietly(found)


def _catalog(ctx: typer.Context) -> Catalog:
    from flows.cli.options import chosen_catalog
    from srcore.catalog import load_catalog

    named = ctx.params.get("catalog")
    return load_catalog(chosen_catalog(Path(named) if named else None))


def _quietly(found: Callable[[], list[str]]) -> list[str]:
    with _silence():
        try:
            return found()
        except Exception:
            return []


@contextmanager
def _silence() -> Iterator[None]:
    """No word of a log on the user's prompt."""
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
