"""How long work tells how far it is: one call for each step, with the steps done and the steps in all."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int], None]


def silent(_done: int, _total: int) -> None:
    """Tell nobody."""
