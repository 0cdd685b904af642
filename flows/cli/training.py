"""The command train: one training, a search through recipes, or a cross-validation."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.options import here, out
from flows.interrupt import INTERRUPTED

if TYPE_CHECKING:
    from rich.table import Table

    from srcore.report.choosing import Folds, SearchFigures
    from srcore.training.config import TrainConfig


GFLOPS = 50
"""Of one core in float32, roughly: what costs are told by."""


def train(
    config: Annotated[
        Path | None, typer.Argument(help="A recipe: a file, or the name of one that ships (see --list).", callback=here)
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where an interrupted run stood.")] = False,
    pack: Annotated[Path | None, typer.Option(help="Train nothing: write here what a bare GPU machine needs.")] = None,
    search: Annotated[
        bool, typer.Option("--search", help="Try what the recipe's key `search` lists; ends with the best as a recipe.")
    ] = False,
    folds: Annotated[
        int | None, typer.Option(help="Cross-validate: so many trainings, each judged on places that it did not see.")
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="Show the recipes that ship, and train nothing.")] = False,
) -> None:
    """Train a generator by a recipe; ends with a checkpoint folder and its model card."""
    from srcore.training.config import read_config, recipe_at

    if list_:
        out.print(_recipes_table())
        return
    if config is None:
        raise typer.BadParameter("name a recipe, or ask for those that ship: --list")
    if sum((pack is not None, search, folds is not None)) > 1:
        raise typer.BadParameter("--pack, --search and --folds exclude each other")
    recipe = read_config(recipe_at(config))
    if pack is not None:
        _pack(recipe, pack)
        return
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")  # the run reports so off a terminal
    try:
        _trained(recipe, resume=resume, search=search, folds=folds)
    except KeyboardInterrupt:
        print("interrupted; the same command with --resume goes on from what was kept last", file=sys.stderr)
        raise SystemExit(INTERRUPTED) from None


def _trained(recipe: TrainConfig, *, resume: bool, search: bool, folds: int | None) -> None:
    """One training, a search or the folds; what came of it is printed."""
    if search:
        from srcore.training.fit.search import FOLDER
        from srcore.training.fit.search import search as search_recipes

        out.print(_search_table(search_recipes(recipe, resume=resume)))
        out.print(f"best recipe: {recipe.output / FOLDER / 'best.yaml'}\nreport: {recipe.output / FOLDER}/search.html")
    elif folds is not None:
        from srcore.training.fit.folds import FOLDER, cross_validate

        out.print(_folds_table(cross_validate(recipe, folds, resume=resume)))
        out.print(f"report: {recipe.output / FOLDER}/folds.html")
    else:
        from srcore.training.fit.loop import train as train_generator

        out.print(f"checkpoint: {train_generator(recipe, resume=resume)}")


def _recipes_table() -> Table:
    """A row a recipe that ships."""
    from rich.table import Table

    from srcore.training.shipped import shipped

    table = Table("recipe", "for", "cost", "gained", caption=f"core hours: at {GFLOPS} GFLOP/s a core", show_lines=True)
    table.columns[0].no_wrap = True
    for one in shipped():
        hours = one.operations / GFLOPS / 1e9 / 3600
        generator = f"{one.config.architecture.name} of {one.parameters / 1000:,.0f} K parameters"
        steps = f"{one.config.steps:,} steps, {hours:.1f} core hours"
        table.add_row(one.config.name, one.config.purpose, f"{generator}; {steps}", one.config.gained or "not measured")
    return table


def _pack(recipe: TrainConfig, folder: Path) -> None:
    from srcore.errors import SRError
    from srcore.storage.disk.files import store_error
    from srcore.training.fit import bare
    from srcore.training.fit.folder import refuse_foreign_pack
    from srcore.training.fit.loop import prepare
    from srcore.training.fit.state import STATE

    refuse_foreign_pack(folder, (bare.RECIPE, bare.PLANES, STATE))

    state, planes, _ = prepare(recipe)
    try:
        bare.pack(folder, recipe, planes, state)
    except SRError:
        raise
    except OSError as error:
        raise store_error(folder, error) from error
    out.print(f"packed: {folder}; there: python -m srcore.training.fit.bare {folder.name}")


def _search_table(found: SearchFigures) -> Table:
    """A row a trial."""
    from rich.table import Table

    from srcore.report.choosing import short_keys
    from srcore.report.page import setting

    keys = short_keys(found.trials[0].values)
    table = Table("trial", *keys.values(), f"dB over {found.plain}", "LR MP a CPU s", "")
    table.title = f"search for {found.name}"
    for one in found.trials:
        told = [
            word for word, true in (("best", one.number == found.best), ("front", one.number in found.front)) if true
        ]
        last = f"{one.curve[-1][1]:+.3f} at step {one.curve[-1][0]}" if one.curve else ""
        table.add_row(
            str(one.number),
            *(setting(one.values[key]) for key in keys),
            one.gain.signed(3) if one.gain else last,
            f"{one.speed.lr_mpx_s:.3f}" if one.speed else "",
            ", ".join(told) or one.ending,
        )
    return table


def _folds_table(found: Folds) -> Table:
    """A row a fold, and their mean with its standard deviation."""
    from rich.table import Table

    table = Table("fold", f"dB over {found.plain} (95 % interval)", "places", title=f"folds of {found.name}")
    for fold in found.folds:
        gain = fold.gain
        table.add_row(
            str(fold.number),
            gain.signed(),
            ", ".join(place.place for place in fold.places),
        )
    table.add_section()
    table.add_row(
        "mean",
        f"{found.mean:+.2f} ± {found.deviation:.2f}",
        f"{found.gain.scenes} places: {found.gain.signed()}",
    )
    return table
