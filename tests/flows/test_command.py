"""The command from its first import to its last line: no signal and no closed pipe shows a traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.conftest import ROOT

SCRIPT = "import sys; from flows.command import main; sys.exit(main())"
"""As pip writes it."""
ENTRIES = pytest.mark.parametrize("entry", [["-m", "srcore"], ["-c", SCRIPT]], ids=["module", "script"])
SIGNALS = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["INT", "TERM"])
SLOW = """
import os, sys
print("ready", flush=True)
sys.stdin.read()
os._exit(7)
"""
COMMAND = """
import atexit, os, sys, time
import flows.cli
from flows.cli import app
from flows.command import main

@app.command("wait")
def wait(told: bool = False):
    try:
        print("ready", flush=True)
        time.sleep(30)
    except KeyboardInterrupt as error:  # as what is imported by C does
        if told:
            raise ImportError("initialization failed") from error
        raise

@app.command("at-end")
def at_end():
    atexit.register(lambda: (print("ready", flush=True), time.sleep(30)))

def early():
    print("ready", flush=True)
    time.sleep(30)

if "early" in sys.argv:  # Typer builds its commands before it listens
    flows.cli.app = early
sys.argv[0] = "srcore"
main()
"""


@contextmanager
def ready(
    *arguments: str, path: str = str(ROOT), before: signal.Handlers = signal.SIG_DFL
) -> Iterator[subprocess.Popen[str]]:
    """A Python that has said that it is ready."""
    set_up = partial(
        signal.signal, signal.SIGINT, before
    )  # tests in the background of a shell hand on that it is ignored
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    environment = {**os.environ, "PYTHONPATH": path}
    command = [sys.executable, *arguments]
    with subprocess.Popen(command, **pipes, text=True, env=environment, preexec_fn=set_up, cwd="/") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process


def ended(process: subprocess.Popen[str], number: signal.Signals) -> tuple[int, str]:
    process.send_signal(number)
    _, err = process.communicate(timeout=20)
    return process.returncode, err


@ENTRIES
@SIGNALS
def test_while_it_is_imported(entry: list[str], number: signal.Signals, tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text(SLOW)
    with ready(*entry, "status", path=f"{tmp_path}{os.pathsep}{ROOT}") as process:
        assert ended(process, number) == (130, "interrupted before anything was begun\n")


def test_in_the_background_of_a_shell_it_goes_on(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text(SLOW)
    with ready("-m", "srcore", path=f"{tmp_path}{os.pathsep}{ROOT}", before=signal.SIG_IGN) as process:
        assert ended(process, signal.SIGINT) == (7, "")


@SIGNALS
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["wait"], "interrupted; what was finished is kept, and the same command goes on from there\n"),
        (["wait", "--told"], "interrupted; what was finished is kept\n"),
        (["early"], "interrupted; what was finished is kept\n"),
        (["at-end"], "interrupted at its end, when all was done\n"),
    ],
    ids=["at work", "told by a library", "before Typer", "at its end"],
)
def test_at_work_and_at_its_end(words: list[str], told: str, number: signal.Signals) -> None:
    with ready("-c", COMMAND, *words) as process:
        assert ended(process, number) == (130, told)


@pytest.mark.parametrize("words", [["explain"], ["settings"], ["explain", "--json"]], ids=" ".join)
def test_a_reader_of_one_line_hears_no_more(words: list[str], tmp_path: Path) -> None:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-m", "srcore", *words], **pipes, env=environment, cwd=tmp_path) as said:
        assert said.stdout is not None
        assert said.stderr is not None
        said.stdout.readline()
        said.stdout.close()
        assert said.stderr.read() == b""
    assert said.returncode in (0, 1)
