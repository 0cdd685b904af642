"""The record of a scene that failed: why, where, on which input, how often. It decides when the scene is due again."""

from __future__ import annotations

import logging
import traceback
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from srcore.errors import SRError, StoreError
from srcore.storage.disk.records import json_bytes, parse_json
from srcore.storage.disk.store import store_at
from srcore.storage.disk.watch import Source, identify_if_there, same_sources
from srcore.version import __version__

LOG_LINES = 100
"""Of the log and of the traceback: the last ones are kept."""


@dataclass(frozen=True)
class Quarantine:
    """Why a scene has no product now."""

    scene: str
    code: str
    message: str
    retryable: bool
    """True: due again in the next run; False: due when the input, the configuration or srcore changed."""
    tiles: tuple[int, ...]
    """Which failed, where single tiles did."""
    sources: tuple[Source, ...]
    configuration: str
    code_version: str
    attempts: int
    """With this input, configuration and version."""
    when: str
    """Of the last attempt; UTC, ISO 8601."""
    log: tuple[str, ...]
    """What the last attempt said, and the traceback of its error."""

    def save(self, path: Path) -> None:
        """Write the record, whole or not at all."""
        store_at(path.parent).put(path.name, json_bytes(asdict(self)))

    @classmethod
    def load(cls, path: Path) -> Quarantine | None:
        """The record at `path`; None when there is none, or when it cannot be read: then the scene is tried again."""
        try:
            data = store_at(path.parent).get(path.name)
            if data is None:
                return None
            value = parse_json(data, path.name)
            sources = tuple(Source(**source) for source in value["sources"])
            return cls(**{**value, "sources": sources, "tiles": tuple(value["tiles"]), "log": tuple(value["log"])})
        except (StoreError, KeyError, TypeError):
            return None

    def applies(self, paths: Sequence[Path], configuration: str) -> bool:
        """True when nothing changed since that could make the scene succeed."""
        same = self.configuration == configuration and self.code_version == __version__
        return same and same_sources(self.sources, paths)


def quarantine(
    path: Path, scene: str, error: SRError, paths: Sequence[Path], configuration: str, log: Sequence[str]
) -> Quarantine:
    """Write the record of a failure at `path`; gives it. StoreError when the store cannot be written."""
    before = Quarantine.load(path)
    again = before is not None and before.applies(paths, configuration)
    record = Quarantine(
        scene=scene,
        code=error.code,
        message=str(error),
        retryable=error.retryable,
        tiles=tuple(getattr(error, "tiles", ())),
        # of the first attempt: a large file is not read every night only to note the same digest
        sources=before.sources if before is not None and again else tuple(identify_if_there(p) for p in paths),
        configuration=configuration,
        code_version=__version__,
        attempts=before.attempts + 1 if before is not None and again else 1,
        when=datetime.now(UTC).isoformat(timespec="seconds"),
        log=(*tuple(log)[-LOG_LINES:], *_trace(error)),
    )
    record.save(path)
    return record


def _trace(error: BaseException) -> list[str]:
    return "".join(traceback.format_exception(error)).splitlines()[-LOG_LINES:]


@contextmanager
def listening() -> Iterator[Sequence[str]]:
    """What srcore logs meanwhile, the last LOG_LINES lines of it."""
    lines: deque[str] = deque(maxlen=LOG_LINES)

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    handler, logger = Keep(), logging.getLogger("srcore")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(handler)
    try:
        yield lines
    finally:
        logger.removeHandler(handler)
