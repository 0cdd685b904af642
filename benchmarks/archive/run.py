"""One scene through srcore, and how that ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.archive.cases import Case
from benchmarks.archive.seen import Seen
from srcore.dispatch import Workers
from srcore.errors import SRError
from srcore.run.direct import direct_job
from srcore.run.scene import run_scene

EARLY = 2
"""Exit code of what is refused before a pixel is computed."""
MODELS = {"raster": "srcore-x2", "medical": "srcore-volume-x2"}
"""By the folder of the cases."""


@dataclass(frozen=True)
class Ended:
    """How a run ended."""

    result: str
    """published, degraded, refused, stopped (by a gate, after all the work), failed, or crashed."""
    code: str = ""
    message: str = ""
    early: bool = False
    flags: tuple[str, ...] = ()

    @property
    def published(self) -> bool:
        return self.result in ("published", "degraded")


def outcome_of(sources: tuple[Path, ...], output: Path, **options: Any) -> Ended:
    """How `srcore upscale` ends; several sources are files of one band each, named by `options["bands"]`."""
    source = str(sources[0])
    if len(sources) > 1:
        source = source.replace(options["bands"][0], "{band}")
    try:
        receipt = run_scene(direct_job(source, output, **options), Workers(0))
    except SRError as error:
        result = {"GATE_FAILED": "stopped"}.get(error.code, "refused" if error.exit_code == EARLY else "failed")
        return Ended(result, error.code, str(error), error.exit_code == EARLY)
    except Exception as error:
        return Ended("crashed", type(error).__name__, str(error))
    assert receipt is not None, "run to its end"
    return Ended(receipt.verdict, flags=receipt.flags)


@dataclass(frozen=True)
class Row:
    """A line of the table of cases."""

    case: str
    verdict: str
    """published right, refused rightly, or wrong."""
    why: str


def judged(case: Case, folder: Path, scratch: Path, **options: Any) -> Row:
    """What became of a case of the files in `folder`, and whether it is right."""
    sources = tuple(folder / file for file in case.files)
    kind = case.files[0].partition("/")[0]
    output = scratch / ("sr.nii.gz" if kind == "medical" else "sr.tif")
    ended = outcome_of(sources, output, **{"model": MODELS[kind], **case.options, **options})
    if not ended.published:
        right = ended.early and bool(case.refused & {"*", ended.code})
        return Row(
            case.title, "refused rightly" if right else "wrong", f"{ended.result}: {ended.message} [{ended.code}]"
        )
    if case.checks is None:
        return Row(case.title, "wrong", f"{ended.result}, and should be refused")
    seen = Seen(sources, output, ended.flags)
    found = [text for check in case.checks if (text := check(seen))]
    return Row(case.title, "wrong" if found else "published right", "; ".join(found or (ended.result, *ended.flags)))


def counted(rows: Iterable[Row]) -> dict[str, int]:
    """How many of each verdict."""
    counts = Counter(row.verdict for row in rows)
    return {verdict: counts[verdict] for verdict in ("published right", "refused rightly", "wrong")}
