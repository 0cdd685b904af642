"""Checks of a product against its LR, one family a file. Findings, not exceptions: all are collected.

`suite.Suite` takes the scene block by block and runs every family; `pair` does so for two files of any origin.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from srcore.limits import Limit

Kind = Literal["GATE", "WARN", "INFO"]
Verdict = Literal["published", "degraded", "quarantined"]


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


@dataclass(frozen=True)
class Report:
    """All findings on one product."""

    checks: tuple[Check, ...]

    @property
    def verdict(self) -> Verdict:
        """published when all pass, degraded when only warnings do not, quarantined when a gate does not."""
        failed = {check.kind for check in self.checks if not check.passed}
        return "quarantined" if "GATE" in failed else "degraded" if "WARN" in failed else "published"

    @property
    def failed_gates(self) -> list[Check]:
        """Gates that were not passed."""
        return [check for check in self.checks if check.kind == "GATE" and not check.passed]


def judge(
    limits: Mapping[str, Limit], name: str, value: float, unit: str, basis: str, hint: str = "", *, of: str = ""
) -> Check:
    """A value against its limits, those of `of` if given: the gate when it is crossed or alone, else the warning."""
    limit = limits.get(of or name, Limit())
    kind: Kind = "INFO"
    bound = None
    if limit.gate is not None and (limit.warn is None or limit.worse(value, limit.gate)):
        kind, bound = "GATE", limit.gate
    elif limit.warn is not None:
        kind, bound = "WARN", limit.warn
    return Check(name, kind, not limit.worse(value, bound), value, unit, bound, basis, hint)


def abstain(name: str, reason: str) -> Check:
    """A check that has nothing to say here, and why."""
    return Check(name, "INFO", True, "not measured", "", None, reason)
