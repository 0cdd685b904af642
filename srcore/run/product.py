"""A published product as Python sees it: its files, its report and how it was made."""

from __future__ import annotations

import os
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path

from markupsafe import escape

from srcore.checks import Check, Report
from srcore.layout import ProductPaths
from srcore.storage.archive.publish import Receipt

SHOWN_BYTES = 2**19
"""The largest quicklook that a notebook gets to keep."""


@dataclass(frozen=True)
class Product:
    """What stands published: the paths of its files, its checks and verdict, and the receipt.

    A product is a path, too, to its data: `rasterio.open(product)` opens it.
    """

    paths: ProductPaths
    receipt: Receipt

    @property
    def data(self) -> Path:
        """The COG or NIfTI file, or the folder of a DICOM series."""
        return self.paths.data

    @property
    def stac(self) -> Path | None:
        """The STAC item; None where none was made, as for all that follow."""
        return self._made(self.paths.stac)

    @property
    def quicklook(self) -> Path | None:
        """The picture of LR and SR."""
        return self._made(self.paths.quicklook)

    @property
    def page(self) -> Path | None:
        """The report for people, an HTML file."""
        return self._made(self.paths.page)

    @property
    def trust(self) -> Path | None:
        """The map of how far each pixel may be off."""
        return self._made(self.paths.trust)

    @property
    def report(self) -> Report:
        """Every check, with its value and its limit."""
        return Report(tuple(Check(**check) for check in self.receipt.checks))

    @property
    def verdict(self) -> str:
        """published, or degraded when a check warns."""
        return self.receipt.verdict

    @property
    def warnings(self) -> tuple[Check, ...]:
        """The checks that were not passed."""
        return tuple(check for check in self.report.checks if not check.passed)

    def _made(self, path: Path) -> Path | None:
        return path if path.name in {output.name for output in self.receipt.outputs} else None

    def __fspath__(self) -> str:
        return os.fspath(self.data)

    def __repr__(self) -> str:
        told = "".join(f"\n  {name:<10}{value}" for name, value in self._facts().items())
        return f"<srcore product {self.data.name}: {self.verdict}>{told}"

    def _repr_html_(self) -> str:
        """For a notebook: the quicklook, if it is small, above the facts."""
        rows = "".join(f"<tr><th>{escape(k)}</th><td>{escape(v)}</td></tr>" for k, v in self._facts().items())
        picture = ""
        if self.quicklook and self.quicklook.is_file() and self.quicklook.stat().st_size <= SHOWN_BYTES:
            data = b64encode(self.quicklook.read_bytes()).decode("ascii")
            picture = f'<img alt="LR and SR" style="max-width:100%" src="data:image/png;base64,{data}">'
        head = f"<b>{escape(self.data.name)}</b>: {escape(self.verdict)}"
        return f"<div>{head}<br>{picture}<table>{rows}</table></div>"

    def _facts(self) -> dict[str, str]:
        checks = self.report.checks
        passed, silent = sum(check.passed for check in checks), len(self.report.not_measured)
        told = "; ".join(f"{check.id} {check.value} (limit {check.limit})" for check in self.warnings)
        files = {"stac": self.stac, "quicklook": self.quicklook, "report": self.page, "trust": self.trust}
        return {
            "data": str(self.data),
            **{name: str(path) for name, path in files.items() if path},
            "receipt": str(self.paths.receipt),
            "model": f"{self.receipt.model} ({self.receipt.model_digest[:12]})",
            **({"notes": "; ".join(self.receipt.flags)} if self.receipt.flags else {}),
            "checks": f"{passed - silent} of {len(checks)} passed{f', {silent} not measured' if silent else ''}"
            f"{': ' + told if told else ''}",
        }
