"""Commands for models: list, show, verify, calibrate, train, evaluate."""

from __future__ import annotations

import logging
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from flows.cli.options import JsonOption, check_choice, out, print_json

if TYPE_CHECKING:
    import torch

    from srcore.checkpoints import Spec
    from srcore.models import Generator

VERIFY_CORE_PX = {2: 256, 3: 32}
"""Sides of the timed tiles, by the axes of the generator."""

models_app = typer.Typer(help="Look at the models that are there.", no_args_is_help=True)


@models_app.command("list")
def models_list(as_json: JsonOption = False) -> None:
    """The built-in models."""
    from srcore.checkpoints import BUILTIN, builtin_names, read_spec

    specs = [read_spec(BUILTIN / name) for name in builtin_names()]
    if as_json:
        print_json([spec.model_dump(mode="json") for spec in specs])
        return
    table = Table("model", "architecture", "scale", "halo", "digest")
    for spec in specs:
        table.add_row(spec.name, spec.architecture.name, "x".join(map(str, spec.scale)), str(spec.halo[-1]),
                      spec.digest[:12])  # fmt: skip
    out.print(table)


@models_app.command("show")
def models_show(model: str) -> None:
    """The spec and the card of a model."""
    from srcore.checkpoints import locate, read_spec

    folder = locate(model)
    print_json(read_spec(folder).model_dump(mode="json"))
    out.print((folder / "README.md").read_text())


@models_app.command("verify")
def models_verify(
    model: str,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "cpu",
    as_json: JsonOption = False,
) -> None:
    """Load a model: digest, tensors, the probe of its halo; then every backend: how exact it is, and how fast."""
    from srcore.checkpoints import locate
    from srcore.engine import choose_device, prove
    from srcore.weights import load_generator

    check_choice("--device", device, ("auto", "cpu", "cuda"))
    spec, generator = load_generator(locate(model))
    prove(spec, generator)
    rows = _backends(spec, generator, choose_device(device))
    if as_json:
        print_json({"model": spec.name, "halo": spec.halo[-1], "scale": spec.scale[-1], "backends": rows})
        return
    out.print(f"{spec.name}: weights, halo {spec.halo[-1]} px and scale {spec.scale[-1]} verified")
    table = Table("precision", "backend", "DN rms", "DN max", "LR MP/s", "", title="against float32, of 10,000 DN")
    for row in rows:
        table.add_row(row["precision"], row["backend"], f"{row['rms_dn']:.3f}", f"{row['max_dn']:.2f}",
                      "" if row["lr_mpx_s"] is None else f"{row['lr_mpx_s']:.3f}", row["refused"])  # fmt: skip
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
    model: Annotated[Path, typer.Argument(help="A checkpoint folder; its spec gets what is found.")],
    data: Annotated[Path, typer.Argument(help="A folder of HR scenes that training never saw.")],
    coverage: Annotated[float, typer.Option(min=0.5, max=0.99, help="Share of the true values to be covered.")] = 0.9,
    as_json: JsonOption = False,
) -> None:
    """Find out how wide the trust map of a model must be, and write it into its spec."""
    from srcore.checkpoints import read_spec, write_spec
    from srcore.training.calibrate import calibrate

    spec = read_spec(model)
    trust = calibrate(model, data, coverage)
    write_spec(model, spec.model_copy(update={"trust": trust}))
    if as_json:
        print_json(trust.model_dump(mode="json"))
        return
    low, mean, high = trust.found
    out.print(f"{spec.name}: half width = {trust.factor:.3g} x (spread + {trust.floor:g}) for {coverage:.0%}; "
              f"on a sensor left out {low:.0%} to {high:.0%}, {mean:.0%} on average")  # fmt: skip


def train(
    config: Annotated[Path, typer.Argument(help="A recipe, as srcore/training/recipes/srcore-x2.yaml.")],
    resume: Annotated[bool, typer.Option("--resume", help="Go on where an interrupted run stood.")] = False,
    pack: Annotated[Path | None, typer.Option(help="Train nothing: write here what a bare GPU machine needs.")] = None,
) -> None:
    """Train a generator by a recipe; ends with a checkpoint folder and its model card."""
    from srcore.training import bare
    from srcore.training.config import read_config
    from srcore.training.loop import prepare
    from srcore.training.loop import train as train_generator

    if pack is not None:
        recipe = read_config(config)
        state, planes, _ = prepare(recipe)
        bare.pack(pack, recipe, planes, state)
        out.print(f"packed: {pack}; there: python -m srcore.training.bare {pack.name}")
        return
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")  # the run reports so off a terminal
    out.print(f"checkpoint: {train_generator(read_config(config), resume=resume)}")


def evaluate(
    model: Annotated[str, typer.Argument(help="A built-in model, or a checkpoint folder.")],
    data: Annotated[Path, typer.Argument(help="A folder of HR scenes that training never saw.")],
    as_json: JsonOption = False,
) -> None:
    """PSNR and SSIM of a model against bicubic, on every HR scene of a folder."""
    from srcore.checkpoints import locate
    from srcore.training.evaluate import evaluate as score

    scores = score(locate(model), data)
    if as_json:
        print_json([asdict(row) for row in scores])
        return
    table = Table("scene", "PSNR", "bicubic", "gain", "SSIM", "bicubic")
    for row in scores:
        table.add_row(row.scene, f"{row.psnr:.2f}", f"{row.psnr_bicubic:.2f}", f"{row.psnr - row.psnr_bicubic:+.2f}",
                      f"{row.ssim:.4f}", f"{row.ssim_bicubic:.4f}")  # fmt: skip
    out.print(table)
