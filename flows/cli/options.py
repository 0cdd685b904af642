"""Options that several commands share, and how they print."""

from __future__ import annotations

import getpass
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, cast

import typer

from flows.cli import complete
from srcore.choices import Modality, Resample
from srcore.errors import PlanError

if TYPE_CHECKING:
    from prefect import State

    from srcore.choices import QualityUse, QualityWish, ValuesRule
    from srcore.dispatch import Workers


class _Terminal:
    """Stdout for people. What draws there, and what commands need, is imported when it is used: help comes at once.

    Words are shown as they are: scenes may be called ct[a] and :x:, which are markup and a picture elsewhere.
    """

    def print(self, what: object) -> None:
        from rich.console import Console
        from rich.table import Table

        console = Console(highlight=False, markup=False, emoji=False)
        if isinstance(what, Table):
            from flows.cli.tables import print_table

            print_table(console, what)
        else:
            console.print(what, soft_wrap=True)


out = _Terminal()


def here(path: Path | None) -> Path | None:
    """A path of this machine, as an option or argument takes it; SourceError OUTSIDE for an address."""
    if path is not None:
        from srcore.storage.disk.real_file import refuse_elsewhere

        refuse_elsewhere(path)
    return path


CatalogOption = Annotated[
    Path | None,
    typer.Option("--catalog", help="The catalog; default: SRCORE_CATALOG, or data_catalog.yaml.", callback=here),
]
DatasetArgument = Annotated[
    str, typer.Argument(help="A dataset of the catalog.", autocompletion=complete.datasets, show_default=False)
]
AnyDatasetArgument = Annotated[
    str | None, typer.Argument(help="A dataset of the catalog; default: all.", autocompletion=complete.datasets)
]
ModelOption = Annotated[
    str,
    typer.Option(
        "--model", help="Built-in model, checkpoint folder, or NAME@champion.", autocompletion=complete.models
    ),
]
ModelArgument = Annotated[
    str,
    typer.Argument(help="A built-in model, a checkpoint folder, or NAME@champion.", autocompletion=complete.models),
]
SceneOption = Annotated[str | None, typer.Option("--scene", help="Only this scene.", autocompletion=complete.scenes)]
WorkersOption = Annotated[
    int | None,
    typer.Option("--workers", min=0, help="Worker processes; 0: none, in this process. Default: cores."),
]
SchedulerOption = Annotated[str | None, typer.Option("--scheduler", help="Address of a running Dask scheduler.")]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be done, its time, disk and memory, and write nothing.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


SeriesOption = Annotated[
    str | None, typer.Option(help="Which DICOM series of a folder, by its UID or the name that it is listed by.")
]
VolumeOption = Annotated[
    str | None,
    typer.Option(
        metavar="TAG=VALUE", help="Which volume of several: EchoTime=30 of a DICOM series, Volume=1 of a NIfTI."
    ),
]
ResampleOption = Annotated[
    Resample | None,
    typer.Option(help="A DICOM series that is refused: make its slices even, or untilt: straight too."),
]
ModalityOption = Annotated[
    Modality | None,
    typer.Option(help="What a volume is of, where its file does not say it, as no NIfTI does: a CT is in HU."),
]
ValuesOption = Annotated[
    str,
    typer.Option(
        help="What the numbers are: continuous, categorical, bits, circular, or auto: what they look like. "
        "Of single bands as SCL=categorical,QA=bits."
    ),
]
RangeOption = Annotated[
    str | None, typer.Option(metavar="LEAST,GREATEST", help="Ends that the SR keeps to, as 0,1 or 0, (no end).")
]


def chosen_workers(count: int | None, scheduler: str | None) -> Workers:
    """Options before settings before defaults; tiles may run in this process, so it keeps their memory."""
    from srcore.dispatch import Workers
    from srcore.dispatch.cluster import keep_memory
    from srcore.settings import load_settings

    keep_memory()
    settings = load_settings()
    if count is not None and scheduler is None:
        return Workers(count)
    return Workers(count if count is not None else settings.workers, scheduler or settings.scheduler)


def user_name() -> str:
    """Who types; in a container a user may have a number and no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # OSError: from Python 3.13 on
        return f"user {os.getuid()}"


def chosen_catalog(path: Path | None) -> Path:
    """The catalog that is named, or the one of the settings."""
    from srcore.settings import load_settings

    return path or load_settings().catalog


def chosen_backend(name: str | None) -> str:
    """The backend that is named, or the one of the settings."""
    from srcore.settings import load_settings

    return name or load_settings().backend


def check_choice(option: str, value: str, known: tuple[str, ...]) -> None:
    """Bad usage when `value` is not one of `known`."""
    if value not in known:
        raise typer.BadParameter(f"{value!r} is not one of {', '.join(known)}", param_hint=option)


def values_rule(text: str) -> ValuesRule | dict[str, ValuesRule]:
    """What --values says: one word for all bands, or BAND=WORD by commas."""
    from srcore.choices import VALUES_RULES

    known = {word: word for word in VALUES_RULES}
    parts = [part.rpartition("=") for part in text.split(",")]
    for _, _, word in parts:
        check_choice("--values", word, VALUES_RULES)
    if len(parts) == 1 and not parts[0][1]:
        return known[text]  # type: ignore[index]  # it was checked
    if any(not name for name, _, _ in parts):
        raise typer.BadParameter(f"{text!r} is neither a word nor BAND=WORD by commas", param_hint="--values")
    return {name: known[word] for name, _, word in parts}  # type: ignore[index]  # as above


def number_range(text: str | None) -> tuple[float | None, float | None] | None:
    """What --valid-range says: LEAST,GREATEST, of which one may be left out."""
    if text is None:
        return None
    try:
        least, greatest = (float(part) if part.strip() else None for part in text.split(","))
    except ValueError:
        least = greatest = None
    if least is None and greatest is None:
        raise typer.BadParameter(f"{text!r} is no LEAST,GREATEST, as in 0,1 or 0,", param_hint="--valid-range")
    return least, greatest


def end_of_flow(state: State[Any]) -> NoReturn:
    """Say how the run of a flow ended, and end so."""
    out.print(state.message)
    raise typer.Exit(1 if state.is_failed() else 0)


def print_json(value: Any) -> None:
    """A document on stdout, for programs."""
    sys.stdout.write(json.dumps(value, indent=2, sort_keys=True) + "\n")


def quality_wish(layer: str | None, use_as: str, use: str | None) -> QualityWish | None:
    """The quality layer that the options ask for; None where none is named."""
    from srcore.choices import QUALITY_USES

    if layer is None:
        return None
    check_choice("--quality-as", use_as, QUALITY_USES)
    words: list[str | int] | None = (
        [int(word) if word.isdecimal() else word for word in use.split(",")] if use else None
    )
    return {"layer": layer, "use": words, "as_": cast("QualityUse", use_as)}


def made(folder: Path) -> Path:
    """`folder`, made where it is not there; PlanError where nothing can be written into it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PlanError(f"{folder} cannot be made", str(error.strerror), "give another", code="BAD_OUTPUT") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PlanError(f"{folder} cannot be written to", "no right to", "give another", code="BAD_OUTPUT")
    return folder
