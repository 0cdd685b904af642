"""Measurements that anyone can repeat: each prints a table and gives figures as JSON."""

from __future__ import annotations

import os
from pathlib import Path

from rich.console import Console

out = Console(soft_wrap=True, highlight=False)


def shared() -> Path:
    """The folder of real imagery; SystemExit that says how to set it where it is not there."""
    folder = Path(os.environ.get("SRCORE_DATA", Path(__file__).parent.parent / ".." / "shared")).resolve()
    if not (folder / "data").is_dir():
        raise SystemExit(f"real imagery is not at {folder}; set SRCORE_DATA")
    return folder
