"""Commands for models that go out and come in: export, import."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.options import JsonOption, ModelArgument, here, out, print_json

if TYPE_CHECKING:
    from srcore.checkpoints import Spec
    from srcore.registry.mlflow_store import Version


def models_export(
    model: ModelArgument,
    path: Annotated[Path | None, typer.Argument(metavar="[OUT]", help="The file; default: NAME.onnx here.")] = None,
    onnx: Annotated[bool, typer.Option("--onnx", help="As an ONNX graph: the one format that there is.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a model as ONNX, for any size of image; ONNX Runtime must give its numbers before the file is there."""
    if not onnx:
        raise typer.BadParameter("say the format: --onnx", param_hint="--onnx")
    from srcore.checkpoints import read_spec
    from srcore.registry.references import resolve
    from srcore.weights.onnx_graph import need_onnx

    need_onnx()
    from srcore.exchange.export import export_onnx

    folder = resolve(model).folder
    done = export_onnx(folder, path or Path(f"{read_spec(folder).name}.onnx"), overwrite=overwrite)
    if as_json:
        print_json({"path": str(done.path), "difference": done.difference, "sizes": done.sizes, "digest": done.digest})
        return
    out.print(
        f"{done.path}: {done.path.stat().st_size} bytes, {done.difference:.1g} from the model at most, relative, in "
        f"inputs of {', '.join(done.sizes)}; spec and licence in its metadata"
    )


def models_import(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL", help="A checkpoint folder, or a .onnx, .safetensors or .pth of others.", callback=here
        ),
    ],
    name: Annotated[str | None, typer.Option(help="Under this name; default: its own.")] = None,
    licence: Annotated[
        str | None, typer.Option(help="Of the weights, as its makers say, where the file does not.")
    ] = None,
    spec: Annotated[
        Path | None,
        typer.Option(
            "--spec", help="YAML: name, licence, scale, bands, range, normalise, architecture.", callback=here
        ),
    ] = None,
    bands: Annotated[str | None, typer.Option(help="Bands that it sees together, or any. Default: measured.")] = None,
    values: Annotated[
        str | None, typer.Option("--range", help="Its black and white: 0-1, 0-255 or -1-1. Default: measured.")
    ] = None,
    normalise: Annotated[str | None, typer.Option(help="percentile (default), or none.")] = None,
    to: Annotated[Path | None, typer.Option("--to", help="Write a checkpoint folder, and register nothing.")] = None,
) -> None:
    """Register a model as a new version; the first of its name is its champion.

    Of a file of others scale, halo, grid and range are measured, and what tiles or pixels would not bear is refused.
    """
    said = {"licence": licence, "bands": bands, "range": values, "normalise": normalise}
    if path.is_dir():
        _refuse_of_folder({**said, "spec": spec, "to": to})
        print_version(_registered(path, name))
        return
    from srcore.exchange.files import checkpoint_of, import_to
    from srcore.exchange.wishes import wishes_of

    wishes = wishes_of(spec, name=name, **said)
    if to is not None:
        made = import_to(path, wishes, to)
        out.print(f"{to}: {_told(made)}, digest {made.digest[:12]}")
        return
    with tempfile.TemporaryDirectory(prefix="srcore-import-") as hidden:
        made = checkpoint_of(path, wishes, Path(hidden))
        out.print(_told(made))
        print_version(_registered(Path(hidden), made.name))


def _registered(folder: Path, name: str | None) -> Version:
    from srcore.engine import prove
    from srcore.registry.mlflow_store import open_registry
    from srcore.weights import load_generator

    prove(*load_generator(folder))
    return open_registry(create=True).register(folder, name)


def _refuse_of_folder(options: dict[str, object]) -> None:
    """A checkpoint folder says all of itself."""
    given = [f"--{option}" for option, value in options.items() if value is not None]
    if given:
        raise typer.BadParameter("a checkpoint folder says that itself: leave it out", param_hint=given[0])


def _told(spec: Spec) -> str:
    """What was found of a model that came in."""
    seen = "band by band" if spec.bands == "any" else f"{spec.bands} bands together"
    values = spec.architecture.params.get("values")
    return (
        f"{spec.name}: {spec.kind}, scale {'x'.join(map(str, spec.scale))}, halo {spec.halo[-1]} px, grid "
        f"{spec.core_multiple}, {seen}{f', values {values}' if values else ''}, licence {spec.licence}"
    )


def print_version(version: Version) -> None:
    out.print(
        f"{version.name} version {version.version}: {' '.join(version.aliases) or 'no alias'}, "
        f"digest {version.digest[:12]}"
    )
