"""Commands for scenes whose names are hidden: privacy who, privacy erase."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from flows.cli.options import CatalogOption, JsonOption, chosen_catalog, out, print_json

privacy_app = typer.Typer(help="Who a hidden scene is, and its erasure.", no_args_is_help=True)

SceneArgument = Annotated[str, typer.Argument(metavar="ID", help="The scene, as `srcore status` names it.")]


@privacy_app.command("who")
def privacy_who(scene: SceneArgument, catalog: CatalogOption = None, as_json: JsonOption = False) -> None:
    """Say which source an id stands for. It is told here alone; the map lies beside the key, outside every store."""
    from srcore.catalog import load_catalog
    from srcore.run.privacy import who

    path = chosen_catalog(catalog)
    found = who(load_catalog(path) if catalog is not None or path.exists() else None, scene)
    if as_json:
        print_json([asdict(one) for one in found])
        return
    for one in found:
        out.print(f"{one.dataset} in {one.store}:")
        for source in one.paths:
            out.print(f"  {source}")


@privacy_app.command("erase")
def privacy_erase(
    scene: SceneArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without, only say where it would be removed.")] = False,
    catalog: CatalogOption = None,
) -> None:
    """Remove a scene everywhere in the catalog's store: product, work, records, pages, its note. Its source stays.

    What a Prefect server keeps of its runs is told by the id alone, and goes with SRCORE_HISTORY_DAYS. Dry without
    --yes.
    """
    from srcore.catalog import load_catalog
    from srcore.catalog.object_stores import shown
    from srcore.errors import CatalogError, StoreError
    from srcore.run.privacy import erase, holders

    loaded = load_catalog(chosen_catalog(catalog))
    if not yes:
        names = holders(loaded, scene)
        if not names:
            raise CatalogError(f"nothing is there of a scene {scene!r}", "", "see `srcore status`")
        out.print(f"would erase {scene} from {', '.join(names)}; --yes does it")
        return
    done = erase(loaded, scene)
    for one in done:
        out.print(f"erased {scene} from {one.dataset}")
        if one.comes_again:
            out.print("its source is there: the next run makes it again unless it is moved or `exclude` names it")
        for path in one.left:
            out.print(f"left, since srcore did not make it: {shown(path)}")
        for path in one.learned:
            out.print(f"left, since a model learned from it or was judged by it: {shown(path)}")
    out.print("copies made elsewhere, backups, what a bucket keeps, and a Prefect server's runs are not looked at")
    if any(one.versions for one in done):
        raise StoreError(
            f"{loaded.shown_store} keeps versions: whoever may read those can still read what was erased",
            "versioning of the bucket is on",
            "delete the old versions below these names there, by its own tools or a lifecycle rule",
            code="VERSIONS_KEPT",
        )
