"""Checks of a product against its LR, one family a file. Findings, not exceptions: all are collected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["GATE", "WARN", "INFO"]


@dataclass(frozen=True)
class Check:
    """One finding."""

    id: str
    kind: Kind
    """GATE stops the product, WARN is told, INFO is a figure."""
    passed: bool
    value: float | str
    unit: str = ""
    limit: float | str | None = None
    basis: str = ""
    """What was compared with what."""
    hint: str = ""
    """What to look at when it does not pass."""
