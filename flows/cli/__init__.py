"""The command line `srcore`. EXIT_CODES says how it ends."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Annotated, NoReturn

import typer

from flows.cli import judging, models, scenes, training, validation
from flows.cli.catalog import catalog_app, init
from flows.cli.examples import add_epilogs
from flows.cli.explain import explain
from flows.cli.metrics import metrics
from flows.cli.options import out, print_json
from flows.cli.pairs import pairs_app
from flows.cli.privacy import privacy_app
from flows.cli.products import audit, products_app
from flows.cli.quarantine import quarantine_app
from flows.cli.settings import settings
from flows.cli.status import status
from flows.cli.upscale import upscale
from flows.cli.worker import worker
from flows.interrupt import INTERRUPTED
from srcore.errors import SRError, in_words
from srcore.version import __version__

EXIT_CODES = """\
Exit codes: 0 all is well; 1 a scene or a dataset failed that did not fail so before, or the scene that was named has
no product; 2 bad usage, catalog or input; 3 a gate stopped the product; 4 --no-validate wrote a product that did not
pass a gate; 130 interrupted by Ctrl-C or SIGTERM, and what is done is kept."""

app = typer.Typer(
    epilog=EXIT_CODES,
    help="Super-resolution of imagery archives: exact tiles, verified products, every night.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(catalog_app, name="catalog")
app.add_typer(models.models_app, name="models")
app.add_typer(quarantine_app, name="quarantine")
app.add_typer(products_app, name="products")
app.add_typer(privacy_app, name="privacy")
app.add_typer(pairs_app, name="pairs")
COMMANDS: tuple[Callable[..., None], ...] = (
    init,
    upscale,
    scenes.run,
    status,
    scenes.report,
    audit,
    validation.validate,
    training.train,
    models.retrain,
    judging.evaluate,
    scenes.serve,
    worker,
    scenes.demo,
    explain,
    settings,
    metrics,
)
for command in COMMANDS:
    app.command()(command)
add_epilogs(app)


def _version(wanted: bool) -> None:
    if wanted:
        out.print(f"srcore {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Say on stderr what was planned and chosen.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    # `debug` is read in `main`, which has to know it even where the options cannot be parsed.
    if verbose:
        ours = logging.getLogger("srcore")  # not the root: Dask tells much of how it comes and goes
        ours.addHandler(logging.StreamHandler())
        ours.setLevel(logging.INFO)


def main() -> NoReturn:
    """Run the command line; an SRError is one line on stderr, its reason code at the end, and its exit status."""
    try:
        app()
    except SystemExit as ended:
        if isinstance(ended.__context__, typer.Exit) and ended.code == INTERRUPTED:  # nobody has said a word yet
            print("interrupted; what was finished is kept, and the same command goes on from there", file=sys.stderr)
        raise
    except (SRError, MemoryError) as found:
        if "--debug" in sys.argv:
            raise
        error = in_words(found)
        if "--json" in sys.argv:  # whoever reads stdout as JSON gets some
            print_json({"error": {"code": error.code, "message": str(error), "exit": error.exit_code}})
        print(f"error: {error} [{error.code}]", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    raise SystemExit(0)
