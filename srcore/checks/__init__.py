"""Checks of a product against its LR, one family a file. Findings, not exceptions: all are collected.

`suite.Suite` takes the scene block by block and runs every family; `pair` does so for two files of any origin.
A check that has no basis in a scene says so and stops nothing; one that comes to no finite number where it has a limit
is not passed. Neither gives NaN or infinity as a value: a report is JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite, isnan
from typing import Any, Literal

from srcore.limits import VERSION, Limit

Kind = Literal["GATE", "WARN", "INFO"]
State = Literal["measured", "not measured"]
Verdict = Literal["published", "degraded", "quarantined"]


@dataclass(frozen=True)
class Check:
    """One finding."""

    id: str
    kind: Kind
    """GATE stops the product, WARN is told, INFO is a figure."""
    passed: bool
    value: float | str
    """Finite; words where there is no number."""
    unit: str = ""
    limit: float | str | None = None
    basis: str = ""
    """What was compared with what; why nothing was, where it was not measured."""
    hint: str = ""
    """What to look at when it does not pass."""
    state: State = "measured"

    @property
    def told(self) -> str:
        """The finding in a line."""
        value, limit = (f"{one:.4g}" if isinstance(one, float) else one for one in (self.value, self.limit))
        return f"{self.id} is {value} {self.unit}, its limit {limit}: {self.hint or self.basis}"


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

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is told and stops nothing, a line each."""
        return tuple(check.told for check in self.checks if check.kind == "WARN" and not check.passed)

    @property
    def not_measured(self) -> list[Check]:
        """Checks that had nothing to say here."""
        return [check for check in self.checks if check.state == "not measured"]

    def to_json(self) -> dict[str, Any]:
        """The content of report.json: finite numbers and words."""
        return {
            "verdict": self.verdict,
            "limits": VERSION,
            "not_measured": len(self.not_measured),
            "checks": self.rows(),
        }

    def rows(self) -> list[dict[str, Any]]:
        """The checks as plain values."""
        return [dict(vars(check)) for check in self.checks]


def judge(
    limits: Mapping[str, Limit], name: str, value: float, unit: str, basis: str, hint: str = "", *, of: str = ""
) -> Check:
    """A value against its limits, those of `of` if given: the gate when it is crossed or alone, else the warning.

    A value that is not finite passes no limit, and is no figure.
    """
    value, limit = float(value), limits.get(of or name, Limit())
    kind: Kind = "INFO"
    bound = None
    if limit.gate is not None and (limit.warn is None or limit.worse(value, limit.gate)):
        kind, bound = "GATE", limit.gate
    elif limit.warn is not None:
        kind, bound = "WARN", limit.warn
    if isfinite(value):
        return Check(name, kind, not limit.worse(value, bound), value, unit, bound, basis, hint)
    if bound is None:
        return abstain(name, f"{basis}: no finite number came out")
    return Check(name, kind, False, "not a number" if isnan(value) else "infinite", unit, bound, basis, hint)


def abstain(name: str, reason: str) -> Check:
    """A check that has nothing to say here, and why."""
    return Check(name, "INFO", True, "not measured", basis=reason, state="not measured")
