"""The record of a scene that failed: why, where, on which input, how often. It decides when the scene is due again."""

from __future__ import annotations

import logging
import threading
import traceback
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from srcore.errors import SRError, StoreError
from srcore.storage.disk.records import json_bytes, parse_json
from srcore.storage.disk.store import store_at
from srcore.storage.disk.watch import Source, hidden_sources, identify_if_there, same_sources
from srcore.version import __version__

LOG_LINES = 100
"""Of the log and of the traceback: the last ones are kept."""


@dataclass(frozen=True)
class Decision:
    """What a person decided about a scene in quarantine; `lapsed` is said by srcore, when the input changed."""

    what: Literal["ignore", "retry", "lapsed"]
    by: str
    why: str
    when: str
    """UTC, ISO 8601."""


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
    decisions: tuple[Decision, ...] = ()
    """The last one holds."""

    @property
    def decision(self) -> Decision | None:
        """What was decided last."""
        return self.decisions[-1] if self.decisions else None

    @property
    def ignored(self) -> bool:
        """True when somebody said that the scene is to be left alone as it is."""
        return self.decision is not None and self.decision.what == "ignore"

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
            decisions = tuple(Decision(**one) for one in value.get("decisions", ()))
            lists = {"tiles": tuple(value["tiles"]), "log": tuple(value["log"]), "decisions": decisions}
            return cls(**{**value, "sources": sources, **lists})
        except (StoreError, KeyError, TypeError):
            return None

    def applies(self, paths: Sequence[Path], configuration: str) -> bool:
        """True when nothing changed since that could make the scene succeed."""
        if self.ignored:  # the file is what somebody gave up; a release or another model gives it back to nobody
            return same_sources(self.sources, paths)
        same = self.configuration == configuration and self.code_version == __version__
        return same and same_sources(self.sources, paths)

    def is_old(self, error: SRError, paths: Sequence[Path], configuration: str) -> bool:
        """True when a failure by `error` is no news: the same as in this record, and nobody asked to try again."""
        asked = self.decision is not None and self.decision.what == "retry"
        return not asked and self.code == error.code and self.applies(paths, configuration)

    def decided(self, what: Literal["ignore", "retry"], by: str, why: str) -> Quarantine:
        """The record with a decision: a scene that is ignored is not due, one to retry is."""
        decision = Decision(what, by, why, _now())
        return replace(self, retryable=what == "retry", decisions=(*self.decisions, decision))


def find_quarantined(folder: Path) -> list[tuple[str, Quarantine | None]]:
    """Scene and record of everything in a dataset's quarantine, by scene; None for a record that cannot be read."""
    names = [stored.name for stored in store_at(folder).list() if stored.name.endswith(".json")]
    return [(name.removesuffix(".json"), Quarantine.load(folder / name)) for name in names]


def quarantine(
    path: Path,
    scene: str,
    error: SRError,
    paths: Sequence[Path],
    configuration: str,
    log: Sequence[str],
    *,
    private: bool = False,
) -> Quarantine:
    """Write the record of a failure at `path`; gives it. StoreError when the store cannot be written.

    With `private` it does not name the files; error and log must not, either.
    """
    before = Quarantine.load(path)
    again = before is not None and before.applies(paths, configuration)
    record = Quarantine(
        scene=scene,
        code=error.code,
        message=str(error),
        retryable=error.retryable,
        tiles=tuple(getattr(error, "tiles", ())),
        # of the first attempt: a large file is not read every night only to note the same digest
        sources=before.sources if before is not None and again else _noted(paths, private=private),
        configuration=configuration,
        code_version=__version__,
        attempts=before.attempts + 1 if before is not None and again else 1,
        when=_now(),
        log=(*tuple(log)[-LOG_LINES:], *_trace(error)),
        decisions=_kept(before, again=again),
    )
    record.save(path)
    return record


def _noted(paths: Sequence[Path], *, private: bool) -> tuple[Source, ...]:
    found = tuple(identify_if_there(path) for path in paths)
    return hidden_sources(found) if private else found


def _kept(before: Quarantine | None, *, again: bool) -> tuple[Decision, ...]:
    """The decisions so far. Another input is not what somebody gave up, and a retry that failed is done."""
    if before is None:
        return ()
    if before.decision is None or (before.ignored and again) or before.decision.what == "lapsed":
        return before.decisions
    why = "it was tried, and failed" if before.decision.what == "retry" else "the input changed"
    return (*before.decisions, Decision("lapsed", "srcore", why, _now()))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _trace(error: BaseException) -> list[str]:
    return "".join(traceback.format_exception(error)).splitlines()[-LOG_LINES:]


_LISTENING: set[int] = set()
"""Threads that do a scene."""


@contextmanager
def listening() -> Iterator[Sequence[str]]:
    """What srcore logs meanwhile, the last LOG_LINES lines of it; not what another thread that listens logs."""
    lines: deque[str] = deque(maxlen=LOG_LINES)
    here = threading.get_ident()

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.thread == here or record.thread not in _LISTENING:  # that one does another scene
                lines.append(self.format(record))

    handler, logger = Keep(), logging.getLogger("srcore")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(handler)
    _LISTENING.add(here)
    try:
        yield lines
    finally:
        _LISTENING.discard(here)
        logger.removeHandler(handler)
