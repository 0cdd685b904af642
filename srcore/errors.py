"""The errors of srcore: each says WHAT is wrong, what was FOUND and what to DO, in one line.

Each class is also a standard-library class, so that callers need not know the tree. Its reason code, one of
`srcore.codes`, says whether trying again can help.
"""

from __future__ import annotations

from srcore.codes import Code, look_up


def printable(text: str) -> str:
    """`text` as any program reads it: bytes of a file's name that are no UTF-8 are written out, as \\udcff."""
    return text.encode("utf-8", "backslashreplace").decode()


def shortened(text: str, most: int = 200) -> str:
    """`text`, or its beginning: what a file says is repeated, and can be as long as it likes."""
    return text if len(text) <= most else f"{text[:most]}..."


def plain(text: str, most: int = 200) -> str:
    """What a stranger's document says, as one short line: no line ends, no signs that turn or hide others."""
    return "".join(sign for sign in printable(" ".join(text.split()))[:most] if sign.isprintable())


class SRError(Exception):
    """Base of all errors that srcore raises on purpose.

    `code` is the reason code that a quarantined scene keeps; `exit_code` is the status of the command line.
    """

    code = "FAILED"
    exit_code = 1

    def __init__(self, what: str, found: str = "", do: str = "", *, code: str | None = None) -> None:
        super().__init__(what, found, do)
        self.what, self.found, self.do = what, found, do
        if code is not None:
            self.code = code

    @property
    def reason(self) -> Code:
        """What its code means."""
        return look_up(self.code)

    @property
    def retryable(self) -> bool:
        """True when the next run should try the same again."""
        return self.reason.retryable

    def __str__(self) -> str:
        parts = [self.what, f"found {self.found}" if self.found else "", self.do]
        return printable(" ".join("; ".join(part for part in parts if part).split()))

    def __reduce__(self) -> tuple[object, ...]:
        # Dask and Prefect pickle errors; what the instance says of itself has to survive that.
        return (_rebuild, (type(self), self.what, self.found, self.do, self.code), dict(self.__dict__))


def _rebuild(kind: type[SRError], what: str, found: str, do: str, code: str) -> SRError:
    return kind(what, found, do, code=code)


def in_words(error: Exception) -> SRError:
    """An error as one of srcore's: itself, or that the memory is full, or that nobody expected it."""
    if isinstance(error, SRError):
        return error
    if isinstance(error, MemoryError):
        told = SRError("the memory is full", str(error), "wait for other work, or use fewer workers", code="NO_MEMORY")
    else:
        what = f"unexpected {type(error).__name__}"
        told = SRError(what, str(error), "see the log; please report it", code="UNEXPECTED")
    told.__cause__ = error
    return told


class CatalogError(SRError, ValueError):
    """The catalog, or a setting, is not what it should be."""

    code = "BAD_CATALOG"
    exit_code = 2


class SourceError(SRError, OSError):
    """An input cannot be read, or must not be."""

    code = "BAD_SOURCE"
    exit_code = 2


class GridError(SRError, ValueError):
    """A grid (shape, affine, CRS) that cannot be kept."""

    code = "BAD_GRID"
    exit_code = 2


class PlanError(SRError, ValueError):
    """The work cannot be laid out: model and scene do not fit each other, or the machine."""

    code = "BAD_PLAN"
    exit_code = 2


class CheckpointError(SRError, ValueError):
    """A generator cannot be loaded, or is not what its spec says."""

    code = "BAD_CHECKPOINT"
    exit_code = 2


class TileError(SRError, RuntimeError):
    """A tile failed, after its retries."""

    code = "TILE_FAILED"
    tiles: tuple[int, ...] = ()
    """Which, where that is known."""


class TrainingError(SRError, ArithmeticError):
    """A training run cannot start or go on: its numbers are no longer numbers, or what it needs is not installed."""

    code = "TRAINING_FAILED"


class StoreError(SRError, OSError):
    """Stored bytes are not the bytes that were written, or cannot be written."""

    code = "BAD_STORE"


class AwayError(SRError, RuntimeError):
    """The store that holds the products cannot be used now: nothing can be said of what lies there.

    No OSError: who passes over a file that is not there must not pass over a store that is away.
    """

    code = "STORE_AWAY"


class LeaseError(SRError, RuntimeError):
    """Another run works on this scene."""

    code = "LEASED"


class GateError(SRError, RuntimeError):
    """A product did not pass a gate and is not published."""

    code = "GATE_FAILED"
    exit_code = 3
