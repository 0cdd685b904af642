"""Commands for models: list, show, promote, rollback, verify, calibrate, retrain; `exchange` has import and export,
`judging` evaluate."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli import complete
from flows.cli.exchange import models_export, models_import, print_version
from flows.cli.options import (
    CatalogOption,
    JsonOption,
    ModelArgument,
    chosen_catalog,
    end_of_flow,
    here,
    out,
    print_json,
    user_name,
)
from flows.cli.registry import models_history, models_ui
from srcore.choices import Device

WhyOption = Annotated[str, typer.Option("--why", help="The reason, for `srcore models history`.")]

if TYPE_CHECKING:
    import torch

    from srcore.checkpoints import Spec
    from srcore.models import Generator
    from srcore.progress import Progress
    from srcore.registry.mlflow_store import Version

log = logging.getLogger(__name__)

VERIFY_CORE_PX = {2: 256, 3: 32}
"""Sides of the timed tiles, by the axes of the generator."""

models_app = typer.Typer(help="Look at the models that are there.", no_args_is_help=True)
models_app.command("import")(models_import)
models_app.command("export")(models_export)
models_app.command("history")(models_history)
models_app.command("ui")(models_ui)


@models_app.command("list")
def models_list(as_json: JsonOption = False) -> None:
    """The built-in models, and those of the registry."""
    from rich.table import Table

    from srcore.checkpoints import BUILTIN, builtin_names, read_spec

    specs = [read_spec(BUILTIN / name) for name in builtin_names()]
    versions = _registered()
    if as_json:
        print_json([*(spec.model_dump(mode="json") for spec in specs), *map(asdict, versions)])
        return
    table = Table("model", "for", "scale", "gain, dB", "architecture", "halo", "licence", "digest")
    for spec in specs:
        table.add_row(
            spec.name,
            _purpose(spec.name),
            "x".join(map(str, spec.scale)) if spec.zoom == 1 else f"{spec.zoom}x{spec.zoom} by guides",
            _gain(spec),
            spec.architecture.name,
            str(spec.halo[-1]),
            spec.licence,
            spec.digest[:12],
        )
    table.caption = "gain: as published over bicubic (volumes: trilinear), validation scenes"
    out.print(table)
    if versions:
        table = Table("registered", "version", "alias", "PSNR", "licence", "digest")
        for version in versions:
            psnr = version.metrics.get("psnr")
            table.add_row(
                version.name,
                version.version,
                " ".join(version.aliases),
                "" if psnr is None else f"{psnr:.2f}",
                version.licence,
                version.digest[:12],
            )
        out.print(table)


def _purpose(name: str) -> str:
    """What its recipe says."""
    from srcore.training.config import RECIPES, read_config

    path = RECIPES / f"{name}.yaml"
    return read_config(path).purpose if path.exists() else "interpolation, to compare with"


def _gain(spec: Spec) -> str:
    mean = spec.metrics.get("mean")
    return f"{mean['psnr'] - mean['psnr_bicubic']:+.2f}" if mean else ""


def _registered() -> list[Version]:
    """What is in the registry; nothing where there is none."""
    from srcore.errors import StoreError
    from srcore.registry.mlflow_store import open_registry

    try:
        return open_registry().versions()
    except StoreError as error:
        if error.code != "NO_REGISTRY":
            log.warning("%s", error)
        return []


@models_app.command("promote")
def models_promote(
    name: str,
    version: Annotated[str, typer.Option(help="A version's number, or its alias.")] = "challenger",
    why: WhyOption = "",
) -> None:
    """Make the challenger, or another version, the champion: the next runs use it."""
    from srcore.registry.mlflow_store import ready_registry

    print_version(ready_registry().promote(name, version, who=user_name(), why=why))


@models_app.command("rollback")
def models_rollback(name: str, why: WhyOption = "") -> None:
    """Make the champion before this one the champion again."""
    from srcore.registry.mlflow_store import ready_registry

    print_version(ready_registry().rollback(name, who=user_name(), why=why))


def retrain(
    dataset: Annotated[
        str,
        typer.Argument(help="A dataset of the catalog that has the key `retrain`.", autocompletion=complete.datasets),
    ],
    catalog: CatalogOption = None,
    force: Annotated[bool, typer.Option("--force", help="Also without new pairs.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Train a challenger on a dataset's scenes; promote it if it is better. With PREFECT_API_URL set, as a flow run."""
    from flows.progress import bars
    from flows.retrain import in_words, retrain_dataset
    from flows.retrain import retrain as flow

    path = chosen_catalog(catalog).absolute()
    if os.environ.get("PREFECT_API_URL"):
        end_of_flow(flow(str(path), dataset, force, return_state=True))

    def call(step: str, function: Callable[[Progress], Any]) -> Any:
        with bars(show=not as_json and step != "fit") as drawn:  # training draws a bar of its own
            return drawn(step, function)

    decision = retrain_dataset(path, dataset, call, force=force)
    if as_json:
        print_json(asdict(decision))
        return
    out.print(in_words(decision))
    if decision.page:
        out.print(f"report: {decision.page}")


@models_app.command("show")
def models_show(model: ModelArgument) -> None:
    """The spec and the card of a model."""
    from srcore.checkpoints import read_spec
    from srcore.registry.references import resolve

    folder = resolve(model).folder
    print_json(read_spec(folder).model_dump(mode="json"))
    out.print((folder / "README.md").read_text())


@models_app.command("verify")
def models_verify(
    model: ModelArgument,
    device: Annotated[Device, typer.Option(help="What computes.")] = "cpu",
    as_json: JsonOption = False,
) -> None:
    """Load a model: digest, tensors, the probe of its halo; then every backend: how exact it is, and how fast."""
    from rich.table import Table

    from srcore.engine import choose_device, prove
    from srcore.registry.references import resolve
    from srcore.weights import load_generator

    spec, generator = load_generator(resolve(model).folder)
    prove(spec, generator)
    rows = _backends(spec, generator, choose_device(device))
    if as_json:
        print_json({"model": spec.name, "halo": spec.halo[-1], "scale": spec.scale[-1], "backends": rows})
        return
    out.print(f"{spec.name}: weights, halo {spec.halo[-1]} px and scale {spec.scale[-1]} verified")
    table = Table("precision", "backend", "DN rms", "DN max", "LR MP/s", "", title="against float32, of 10,000 DN")
    for row in rows:
        table.add_row(
            row["precision"],
            row["backend"],
            f"{row['rms_dn']:.3f}",
            f"{row['max_dn']:.2f}",
            "" if row["lr_mpx_s"] is None else f"{row['lr_mpx_s']:.3f}",
            row["refused"],
        )
    out.print(table)


def _backends(spec: Spec, generator: Generator, device: torch.device) -> list[dict[str, Any]]:
    """A row a precision and installed backend, measured in one thread."""
    import torch

    from srcore.engine.backends import Precision, installed
    from srcore.engine.choice import Case, measure

    torch.set_num_threads(1)
    tile = (VERIFY_CORE_PX[generator.axes] + 2 * generator.halo,) * generator.axes
    precisions: tuple[Precision, ...] = ("float32", "bfloat16")
    rows = []
    for precision in precisions:
        case = Case(spec, generator, device, precision, tile)
        trials = measure(case, installed(generator, device, precision))
        rows += [{"precision": precision, **asdict(trial)} for trial in trials]
    return rows


@models_app.command("calibrate")
def models_calibrate(
    model: Annotated[Path, typer.Argument(help="A checkpoint folder; its spec gets what is found.", callback=here)],
    data: Annotated[Path, typer.Argument(help="A folder of HR scenes that training never saw.", callback=here)],
    coverage: Annotated[float, typer.Option(min=0.5, max=0.99, help="Share of the true values to be covered.")] = 0.9,
    as_json: JsonOption = False,
) -> None:
    """Find out how wide the trust map of a model must be, and write it into its spec."""
    from srcore.checkpoints import read_spec, write_spec
    from srcore.training.judge.calibrate import calibrate

    spec = read_spec(model)
    trust = calibrate(model, data, coverage)
    write_spec(model, spec.model_copy(update={"trust": trust}))
    if as_json:
        print_json(trust.model_dump(mode="json"))
        return
    low, mean, high = trust.found
    out.print(
        f"{spec.name}: half width = {trust.factor:.3g} x (spread + {trust.floor:g}) for {coverage:.0%}; "
        f"on a sensor left out {low:.0%} to {high:.0%}, {mean:.0%} on average"
    )
