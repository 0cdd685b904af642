"""The page of the whole store: a row a dataset, what failed first. It names no scene: what is hidden stays so."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from srcore.catalog.object_stores import shown
from srcore.errors import StoreError
from srcore.report.totals import INDEX, Totals, find_totals
from srcore.storage.disk.store import store_at

log = logging.getLogger(__name__)

MADE = b'<meta name="generator" content="srcore">'
"""In every page of srcore's."""


def write_store_page(store: Path) -> Path | None:
    """Write STORE/index.html in place of ours; None where somebody else's, or a dataset, has that name.

    StoreError of a disk.
    """
    if not _is_ours(store / INDEX):
        log.warning("%s is left as it is: srcore did not make it", shown(store / INDEX))
        return None
    store_at(store).put(INDEX, store_page(*find_totals(store)).encode("utf-8", "backslashreplace"))
    return store / INDEX


def _is_ours(path: Path) -> bool:
    """True of a page of srcore's, and where nothing stands: a store may lie in a folder that has a page already."""
    try:
        data = store_at(path.parent).get(path.name)
    except StoreError:
        return False
    return data is None or MADE in data


def store_page(datasets: Sequence[Totals], untold: Sequence[str] = ()) -> str:
    """The page; pure."""
    from srcore.report.page import policy, render

    return render(
        "store.html",
        datasets=datasets,
        untold=untold,
        worst=[one for one in datasets if one.held or one.degraded],
        products=sum(one.products for one in datasets),
        degraded=sum(one.degraded for one in datasets),
        held=sum(one.held for one in datasets),
        policy=policy((), "'self' file:"),
    )
