"""The page of the whole store: a row a dataset, what failed first. It names no scene: what is hidden stays so."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from srcore.report.totals import INDEX, Totals, find_totals
from srcore.storage.disk.store import store_at


def write_store_page(store: Path) -> Path | None:
    """Write STORE/index.html in place of the one there; None where a dataset has that name. StoreError of a disk."""
    if (store / INDEX).is_dir():
        return None
    store_at(store).put(INDEX, store_page(*find_totals(store)).encode("utf-8", "backslashreplace"))
    return store / INDEX


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
        policy=policy(None, "'self' file:"),
    )
