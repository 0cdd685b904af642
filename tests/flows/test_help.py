"""The command line as people use it: examples, completion, pipes, Ctrl-C, narrow terminals, no colours."""

from __future__ import annotations

import os
import pty
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import typer.main

from flows.cli import app
from flows.cli.examples import EXAMPLES
from flows.progress import line_each
from srcore.report.evaluation import Estimate
from srcore.settings import PREFIX, Settings
from tests.conftest import ROOT
from tests.flows.conftest import make_archive

COMMAND = [sys.executable, "-m", "srcore"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80"}


def leaves(group: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """Every command by its words."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from leaves(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


COMMANDS = dict(leaves(typer.main.get_command(app)))


def test_every_command_has_examples_and_every_example_a_command() -> None:
    assert {name for name, command in COMMANDS.items() if "Examples:" not in (command.epilog or "")} == set()
    assert set(EXAMPLES) == set(COMMANDS)


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_every_example_is_read_by_its_command(name: str) -> None:
    for example in EXAMPLES[name][0]:
        words = shlex.split(example)
        assert words[: 1 + len(name.split())] == ["srcore", *name.split()]
        COMMANDS[name].make_context(name, words[1 + len(name.split()) :])


def test_the_variables_of_the_examples_are_settings() -> None:
    known = {PREFIX + field.upper() for field in Settings.model_fields} | {"SRCORE_DATA", "SRCORE_*"}
    known |= {"PREFECT_API_URL", "PREFECT_SERVER_API_AUTH_STRING", "PREFECT_API_AUTH_STRING"}
    assert {variable for _, variables in EXAMPLES.values() for variable in variables} <= known


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_help_fits_narrow_terminals_and_keeps_examples_whole(name: str) -> None:
    command = COMMANDS[name]
    with command.make_context(name, [], resilient_parsing=True, terminal_width=40) as context:
        text = command.get_help(context)
    for example in EXAMPLES[name][0]:
        assert example in text
    assert name.split()[-1] in text


def completed(words: str, cwd: Path) -> list[str]:
    """What bash is offered behind `words`, whose last one is not finished."""
    environment = {**ENVIRONMENT, "_SRCORE_COMPLETE": "complete_bash", "COMP_WORDS": f"srcore {words}"}
    environment["COMP_CWORD"] = str(len(f"srcore {words}".split(" ")) - 1)
    code = "import sys; sys.argv[0] = 'srcore'; from flows.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], env=environment, cwd=cwd, capture_output=True, text=True)
    assert done.stderr == ""
    return done.stdout.split()


def test_the_shell_completes_datasets_scenes_and_models(tmp_path: Path) -> None:
    make_archive(tmp_path)
    assert completed("run hi", tmp_path) == ["hills"]
    assert completed("run hills --scene w", tmp_path) == ["west"]
    assert completed("upscale a.tif b.tif --model srcore-x2-", tmp_path) == [
        "srcore-x2-fast",
        "srcore-x2-sensor",
        "srcore-x2-sensor-fast",
    ]


def test_the_shell_is_offered_nothing_where_the_catalog_is_broken(tmp_path: Path) -> None:
    (tmp_path / "data_catalog.yaml").write_text("version: [")
    assert completed("run h", tmp_path) == []


def test_a_pipe_that_closes_ends_without_a_word(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [*COMMAND, "explain"], stdout=writing, stderr=subprocess.PIPE, env=ENVIRONMENT, text=True, cwd=tmp_path
    )
    os.close(writing)
    assert done.stderr == ""
    assert done.returncode in (0, 1)


def test_ctrl_c_is_told_in_words(tmp_path: Path) -> None:
    """Of a command that has no words of its own for it: it waits for a catalog that is a pipe."""
    code = """
import sys, time
from flows.cli import app, main
@app.command("wait")
def wait():
    print("ready", flush=True)
    time.sleep(30)
sys.argv = ["srcore", "wait"]
main()
"""
    # a test run in the background of a shell hands on that Ctrl-C is ignored
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(
        [sys.executable, "-c", code], **pipes, text=True, env=ENVIRONMENT, preexec_fn=heed
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert err.startswith("interrupted; ")
    assert "Traceback" not in err


def on_terminal(columns: int, *arguments: str, cwd: Path, **environment: str) -> str:
    """What a terminal of so many columns shows."""
    parent, child = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        stdin=child,
        stdout=child,
        stderr=child,
        cwd=cwd,
        env={**ENVIRONMENT, "TERM": "xterm-256color", "COLUMNS": str(columns), **environment},
    )
    os.close(child)
    shown, end = b"", time.monotonic() + 30
    while time.monotonic() < end:
        try:
            piece = os.read(parent, 65536)
        except OSError:
            break
        if not piece:
            break
        shown += piece
    process.wait(timeout=10)
    os.close(parent)
    return shown.decode().replace("\r\n", "\n")


@pytest.mark.parametrize("columns", [40, 80])
def test_a_terminal_shows_all_words_within_its_columns(columns: int, tmp_path: Path) -> None:
    make_archive(tmp_path)
    shown = on_terminal(columns, "catalog", "list", cwd=tmp_path, NO_COLOR="1")
    assert "hills" in shown
    assert "bicubic-x2" in shown.replace("\n", "")
    assert max(map(len, shown.splitlines())) <= columns
    assert not any(f"\x1b[{colour}" in shown for colour in range(30, 38))


def test_a_stage_is_a_line_where_nobody_watches(capsys: pytest.CaptureFixture[str]) -> None:
    def stage(progress: Callable[[int, int], None]) -> str:
        progress(3, 4)
        return "done"

    assert line_each("upscale", stage) == "done"
    assert capsys.readouterr().err == "upscale: done in 0.0 s, 3 of 4 tiles\n"


def test_an_interval_is_told_of_three_scenes_and_not_of_two() -> None:
    assert str(Estimate(1.0, 0.5, 1.5, 2)) == "1"
    assert Estimate(1.0, 0.5, 1.5, 2).signed() == "+1.00"
    assert str(Estimate(1.0, 0.5, 1.5, 3)) == "1 (0.5 to 1.5)"
    assert Estimate(1.0, 0.5, 1.5, 3).signed(1) == "+1.0 (+0.5 to +1.5)"
