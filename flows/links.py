"""Where people find the files of the store: by HTTP where `srcore serve` serves them, else by their paths."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from srcore.settings import load_settings


def report_url(page: Path, store: Path, *, restricted: bool = False) -> str:
    """The address of a file of the store below SRCORE_REPORTS_URL; its plain path where that is not set.

    Of a restricted dataset nothing is served: its path, always.
    """
    base = load_settings().reports_url
    if base is None or restricted:
        return str(page)
    return f"{base.rstrip('/')}/{quote(page.relative_to(store).as_posix())}"
