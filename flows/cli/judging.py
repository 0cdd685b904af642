"""The command evaluate: what a model gives on scenes whose truth is known, against bicubic and other models."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.options import CatalogOption, JsonOption, ModelArgument, chosen_catalog, here, out, print_json

if TYPE_CHECKING:
    from rich.table import Table

    from srcore.memory.whole import Form
    from srcore.report.evaluation import Evaluation


def evaluate(
    model: ModelArgument,
    data: Annotated[Path, typer.Argument(help="A folder of HR scenes that training never saw.", callback=here)],
    against: Annotated[list[str] | None, typer.Option(help="Another model: the champion, say; again for more.")] = None,
    lr: Annotated[
        Path | None,
        typer.Option(
            help="A folder of measured LR by the names of the HR; default: LR is made by antialiased bicubic.",
            callback=here,
        ),
    ] = None,
    network_alone: Annotated[
        bool,
        typer.Option("--network-alone", help="Without back-projection: the network's own numbers, for research."),
    ] = False,
    dataset: Annotated[
        str | None, typer.Option(help="Judge what this dataset of the catalog publishes: its steps, filters, nodata.")
    ] = None,
    catalog: CatalogOption = None,
    report: Annotated[
        Path | None, typer.Option(help="Also write a page with plots here (.html).", callback=here)
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """PSNR, SSIM, opensr-test and speed of a model against bicubic (and other models), on the HR scenes of a folder.

    Judged is what a run would publish: normalised, back-projected, rounded as a product is.
    """
    from flows.progress import bars
    from srcore.registry.references import resolve
    from srcore.report.evaluation import evaluation_page
    from srcore.storage.disk.files import write_atomic
    from srcore.training.judge.compare import evaluate_candidates, load_candidates

    others = against or []
    form = _form(dataset, catalog, alone=network_alone)
    folders = {name: resolve(name).folder for name in (*others, model)}
    candidates = load_candidates(folders)
    with bars(show=not as_json) as call:
        found = call("evaluate", partial(evaluate_candidates, candidates, data, lr, form))
    if report is not None:
        write_atomic(report, evaluation_page(found, f"{model}{_against(others)} on {data.name}").encode())
    if as_json:
        print_json(found.to_json())
        return
    for table in _evaluation_tables(found):
        out.print(table)
    for why in found.left_out.values():
        out.print(f"left out: {why}")
    if report is not None:
        out.print(f"report: {report}")


def _form(dataset: str | None, catalog: Path | None, *, alone: bool) -> Form:
    """What is judged: what a dataset, or one with no settings, publishes; or the network alone."""
    from srcore.catalog import load_catalog
    from srcore.memory.whole import NETWORK_ALONE, PUBLISHED, form_of

    if alone and dataset is not None:
        raise typer.BadParameter("--network-alone and --dataset exclude each other")
    if dataset is not None:
        return form_of(load_catalog(chosen_catalog(catalog)).dataset(dataset))
    return NETWORK_ALONE if alone else PUBLISHED


def _against(others: list[str]) -> str:
    return f" against {', '.join(others)}" if others else ""


def _evaluation_tables(found: Evaluation) -> Iterator[Table]:
    """Every scene; the means with their confidence intervals, and speed; the gains."""
    from rich.table import Column, Table

    names = [method.name for method in found.methods]
    scenes = Table(
        Column("scene", no_wrap=True),
        *(f"{figure} {name}" for name in names for figure in ("PSNR", "SSIM")),
        title=f"scenes, {found.form}",
    )
    for one in found.scenes:
        cells = [(f"{one.by[name].psnr:.2f}", f"{one.by[name].ssim:.4f}") for name in names]
        scenes.add_row(one.scene, *(cell for pair in cells for cell in pair))
    yield scenes
    means = Table("mean (95 % interval)", *names, title=f"{found.lr} SR {found.form}")
    for figure in found.means[names[-1]]:
        means.add_row(figure, *(str(found.means[name].get(figure, "")) for name in names))
    means.add_row(
        "LR MP a CPU second", *(f"{method.speed.lr_mpx_s:.3f}" if method.speed else "" for method in found.methods)
    )
    yield means
    gains = Table("gain in PSNR, dB", "all (95 % interval)", *found.sensors, title=found.form)
    for name, gain in found.gains.items():
        gains.add_row(
            name,
            gain.signed(),
            *(f"{sensor[name]:+.2f}" for sensor in found.sensors.values()),
        )
    yield gains
