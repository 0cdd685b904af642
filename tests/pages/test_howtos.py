"""The how-tos do what they say: each page is done from top to bottom in a fresh folder, on inputs that are drawn here.

Lines of a shell run in the page's own folder, in their order; each catalog, or part of one, in a folder beside it, and
every dataset of it must give a product. The tutorial and the notebook have tests of their own.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
import yaml

from flows.cli import main
from srcore.checkpoints import locate
from srcore.storage.archive.sources import hidden_id
from srcore.storage.dicom.series import NAME_DIGITS
from srcore.storage.disk.veil import veiled
from tests.conftest import ROOT
from tests.elsewhere import Elsewhere
from tests.exchange import graphs
from tests.pages import drawn
from tests.pages.steps import Step, steps_of
from tests.storage.providers.products import write

INSTALLED = "pip install "
"""Begins lines that set up what the tests have already."""
CATALOG = (
    "version: 1\nstore: ./archive\ndatasets:\n  {}: {{kind: raster, source: ./incoming/*.tif, model: nearest-x2}}\n"
)


ON_A_GPU = ("srcore models verify srcore-x2 --device cuda", "srcore upscale scene.tif sr.tif --device cuda")
"""NO_DEVICE elsewhere, as the page says."""


@dataclass(frozen=True)
class Page:
    """How a page is tried."""

    draw: Callable[[Path, Elsewhere], object]
    """What its lines find in their folder."""
    ends: Mapping[str, int] = field(default_factory=dict)
    """Lines that end with another exit status than 0: it says so of them."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Lines, by their beginnings, that are not done here: why."""
    before: Mapping[str, Callable[[Path], object]] = field(default_factory=dict)
    """What somebody has done before a line, by its beginning."""
    names: Mapping[str, Callable[[], str]] = field(default_factory=dict)
    """Names of somebody's own that the page shows, and what they are here."""

    def here(self, text: str, world: Elsewhere) -> str:
        """A step with the addresses and names of this test."""
        text = text.replace("https://example.org", world.address).replace("/v1", "/api")
        for shown, own in self.names.items():
            text = text.replace(shown, own()) if shown in text else text
        return text


def scenes(folder: Path, _: Elsewhere) -> None:
    """One scene, and a folder of them."""
    drawn.scene(folder / "scene.tif")
    drawn.scene(folder / "incoming/one.tif")


def catalog_of(name: str) -> Callable[[Path], object]:
    """Have a catalog with a dataset of that name."""
    return lambda folder: (folder / "data_catalog.yaml").write_text(CATALOG.format(name))


def without_catalog(folder: Path) -> None:
    """Have none."""
    (folder / "data_catalog.yaml").unlink()


def products(folder: Path, world: Elsewhere) -> None:
    """Products of providers, here and elsewhere."""
    drawn.safe(folder), drawn.landsat(folder), drawn.landsat_1(folder)
    drawn.elsewhere(folder, world)


def models(folder: Path, _: Elsewhere) -> None:
    """A graph of somebody's, and the weights that the page's spec is of."""
    from safetensors.torch import save_file

    from srcore.models import GENERATORS

    graphs.saved(graphs.upscaler(bands=3), folder / "theirs.onnx")
    [spec] = [step.text for step in steps_of(ROOT / "docs/models.md") if step.kind == "catalog"]
    (folder / "weights.yaml").write_text(spec)
    told = yaml.safe_load(spec)["architecture"]
    generator = GENERATORS[told["name"]](**told["params"])
    torch.nn.init.zeros_(generator.tail.weight)  # type: ignore[union-attr, arg-type]
    save_file(generator.state_dict(), folder / "weights.safetensors")


def windows(folder: Path, _: Elsewhere) -> None:
    """A scene that is wide enough, and what is added to a catalog."""
    drawn.wide(folder / "scene.tif")
    write(folder / "incoming/LC81070352015122.tif", drawn.ground(512), 10)
    write(folder / "in/T32TQM_B02.tif", drawn.ground()[0], 10)


def archive(folder: Path, _: Elsewhere) -> None:
    """An archive with a product in both forms."""
    with rasterio.open(drawn.scene(folder / "incoming/SCENE.tif"), "r+") as file:
        file.descriptions = ("B04", "B03")
    text = CATALOG.format("DATASET").replace("nearest-x2", "nearest-x2, products: [cog, zarr, stac]")
    (folder / "data_catalog.yaml").write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert call(["run", "DATASET"]) == 0
    shutil.copy(folder / "archive/DATASET/products/SCENE/SCENE.zarr.zip", folder)


def hospital(folder: Path, _: Elsewhere) -> None:
    """A study by hand, and an archive of a series."""
    drawn.study(folder)
    drawn.series(folder / "incoming/ct/p1/s1")
    text = (
        CATALOG.format("ct")
        .replace("raster", "volume")
        .replace("./incoming/*.tif", '"./incoming/ct/{patient}/{series}/"')
    )
    (folder / "data_catalog.yaml").write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert call(["run", "ct"]) == 0


def registered(_: Path) -> None:
    """A model of that name."""
    assert call(["models", "import", str(locate("srcore-x2-fast")), "--name", "my-model"]) == 0


def recipe(folder: Path) -> object:
    """A recipe, and what it learns from."""
    found = [step.text for step in steps_of(ROOT / "docs/own-model.md") if "architecture:" in step.text]
    (folder / "mine.yaml").write_text(found[0])
    for part in ("train", "validation"):
        write(folder / f"imagery/hr/{part}/a.tif", drawn.ground(160), 10)


PAGES: Mapping[str, Page] = {
    "dataset": Page(scenes),
    "landsat": Page(products),
    "sources": Page(products),
    "medical": Page(
        hospital,
        names={"3f9c2a10": lambda: veiled("1.2.3.4", NAME_DIGITS), "s-380442f50fa3430a": lambda: hidden_id("p1/s1")},
    ),
    "models": Page(models, before={"srcore models export my-model@champion": registered}),
    "archive": Page(archive),
    "commandline": Page(
        windows,
        before={"srcore run my-dataset": catalog_of("my-dataset"), "srcore init": without_catalog},
        left_out={"srcore metrics --port": "until Ctrl-C: tests/flows/test_metrics_command.py"},
    ),
    "gpu": Page(
        scenes,
        before={"srcore run my-dataset": catalog_of("my-dataset"), "srcore train mine.yaml": recipe},
        ends={} if torch.cuda.is_available() else dict.fromkeys(ON_A_GPU, 2),
    ),
    "index": Page(scenes),
}
QUICK = ("landsat", "index")


def call(words: list[str]) -> int:
    """The command line, in this process; its exit status."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["srcore", *words])
        with pytest.raises(SystemExit) as ended:
            main()
    return int(ended.value.code or 0)


def pages() -> Iterator[object]:
    for name in PAGES:
        yield pytest.param(name, marks=[] if name in QUICK else [pytest.mark.nightly], id=name)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(pages()))
def test_a_page_works_from_top_to_bottom(
    name: str, tmp_path: Path, world: Elsewhere, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    page, here = PAGES[name], tmp_path / "page"
    here.mkdir()
    for key, value in {
        "WORKERS": "0",
        "BACKEND": "eager",
        "CACHE": str(tmp_path / "cache"),
        "DATA": str(here / "imagery"),
    }.items():
        monkeypatch.setenv(f"SRCORE_{key}", value)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    page.draw(here, world)
    for number, step in enumerate(steps_of(ROOT / f"docs/{name}.md")):
        said = Step(step.kind, page.here(step.text, world))
        if step.kind == "catalog":
            try_catalog(said, tmp_path / f"catalog-{number}", world)
            continue
        monkeypatch.chdir(here)
        if step.kind == "python":
            exec(compile(said.text, name, "exec"), {"array": np.ones((1, 16, 16), np.float32)})
        elif not said.text.startswith((INSTALLED, *page.left_out)):
            for start, prepare in page.before.items():
                if said.text.startswith(start):
                    prepare(here)
            found = do(said, monkeypatch)
            assert found == page.ends.get(step.text, 0), (step.text, capfd.readouterr())


def do(step: Step, monkeypatch: pytest.MonkeyPatch) -> int:
    """One line of a shell; its exit status."""
    program, *words = step.words
    if program == "srcore":
        return call(words)
    if program == "export":
        for one in words:
            monkeypatch.setenv(*one.split("=", 1))
        return 0
    assert (program, words[0]) == ("python", "-c"), f"no way to do {step.text!r}: leave it out, and say why"
    exec(words[1], {})
    return 0


def try_catalog(step: Step, folder: Path, world: Elsewhere) -> None:
    """Every dataset of it gives a product of what is drawn for it."""
    if not step.datasets:
        return
    folder.mkdir()
    document = {"version": 1, "store": "./archive", "datasets": dict(step.datasets)}
    (folder / "data_catalog.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world, "items", world.items)  # those of the lines come back
        for entry in step.datasets.values():
            drawn.source_of(folder, entry, world)
        patch.chdir(folder)
        for name in step.datasets:
            assert call(["run", name]) == 0, step.text
            assert list((folder / f"archive/{name}/products").glob("*/*.receipt.json")), step.text


def test_every_page_of_the_site_is_tried_or_said_not_to_be() -> None:
    elsewhere = {"tutorial", "notebook", "own-model", "retraining", "cluster", "serve"}  # they have tests of their own
    elsewhere |= {"api", "commands", "quality"}  # examples of the reference; figures that take hours
    told = {path.stem for path in (ROOT / "docs").glob("*.md") if any(True for _ in steps_of(path))}
    assert told - PAGES.keys() - elsewhere == set()
