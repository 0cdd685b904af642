"""What comes behind UPSCALE is imported while the generator computes: torch leaves Python's lock alone meanwhile."""

from __future__ import annotations

from importlib import import_module

BEHIND = ("srcore.stages.export", "srcore.stages.validate", "srcore.report.page")
"""Modules that bring along most of a second: STAC, scipy, pyproj, the pages."""


def import_the_rest() -> None:
    """Import them; in a thread of its own. What cannot be imported says so where it is used."""
    for name in BEHIND:
        import_module(name)
