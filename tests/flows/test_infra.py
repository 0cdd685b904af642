"""The shipped unit starts a command that there is, and its README names what there is."""

from __future__ import annotations

import re
from configparser import ConfigParser
from pathlib import Path

from typer.testing import CliRunner

from flows.cli import app
from flows.serve import AUTH

INFRA = Path(__file__).parent.parent.parent / "infra"


def test_the_unit_starts_srcore_serve_with_options_that_it_has() -> None:
    unit = ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # systemd's keys have capitals
    unit.read(INFRA / "srcore.service")
    program, *arguments = unit["Service"]["ExecStart"].split()
    assert program.endswith("/.venv/bin/srcore")
    assert CliRunner().invoke(app, [*arguments, "--help"]).exit_code == 0
    assert float(unit["Service"]["TimeoutStopSec"]) > 60
    assert unit["Service"]["Environment"].startswith("SRCORE_CATALOG=")


def test_the_readme_names_the_unit_and_the_password_by_their_names() -> None:
    text = (INFRA / "README.md").read_text()
    assert AUTH in text
    assert set(re.findall(r"\w+\.service", text)) == {"srcore.service"}
