"""The command `srcore`: whatever it is at, Ctrl-C and SIGTERM end it in one line, and a reader that left in none."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import NoReturn

from flows.interrupt import INTERRUPTED

Handler = Callable[..., object]


def main() -> NoReturn:
    """Import the command line, which takes a while, and run it."""
    _on_signals(partial(_leave, "interrupted before anything was begun"))
    from flows.cli import main as command

    asked: list[int] = []
    _on_signals(partial(_interrupt, asked))
    try:
        command()
    except (Exception, KeyboardInterrupt):
        if not asked:
            raise
        # before Typer takes it, or a library that was being loaded told of it in words of its own
        print("interrupted; what was finished is kept", file=sys.stderr)
        raise SystemExit(INTERRUPTED) from None
    finally:
        _on_signals(partial(_leave, "interrupted at its end, when all was done"))
        _flush()


def _on_signals(handler: Handler) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup, or a shell's background
            signal.signal(number, handler)


def _leave(told: str, *_: object) -> NoReturn:
    """At once: an exception in the midst of an import is caught by whoever is imported, or shown as it is."""
    with suppress(OSError):
        os.write(2, f"{told}\n".encode())
    os._exit(INTERRUPTED)


def _interrupt(asked: list[int], number: int, _: object) -> NoReturn:
    asked.append(number)
    raise KeyboardInterrupt


def _flush() -> None:
    """Write what is left; to nobody where the reader has gone, as `| head -1` does."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
