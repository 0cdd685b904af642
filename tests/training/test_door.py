"""The second door: what trains, calibrates, judges and validates follows no more than what upscales.

Every disguise of `tests.storage.raster.canary` in every role that a file can have. Either it is refused in one line, or
what comes out is what comes out of the harmless file without its disguise.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from rasterio.transform import from_origin

from srcore.catalog.dataset import Dataset
from srcore.checkpoints import BUILTIN, Architecture, Spec
from srcore.checks.pair import validate_pair
from srcore.errors import SRError
from srcore.limits import with_changes
from srcore.progress import silent
from srcore.storage.raster.gdal import gdal_env
from srcore.storage.whole_images import read_bands
from srcore.training.config import TrainConfig, parse_config
from srcore.training.data.collect import collect, find_pairs
from srcore.training.fit.loop import prepare
from srcore.training.fit.validation import Validation
from srcore.training.judge.calibrate import calibrate
from srcore.training.judge.compare import evaluate_candidates, load_candidates
from srcore.training.pairs.measure import read_pair
from srcore.weights import build, save_checkpoint
from tests.storage.raster import canary as files
from tests.storage.raster.canary import HARMLESS, PROXIES, SIDE_PX, Canary, listening, texture, write

Outcome = Any
Role = Callable[[Path, str, int], Outcome]
"""From the folder, the disguised file's name in it and the file's side to what was made of it."""

IN_A_FOLDER = tuple(one for one in files.DISGUISES if one not in (files.xml_path, files.vsi_path, files.dotted))
"""Those that a walk through a folder meets; the others are names that somebody has to type."""
TYPED = tuple(one for one in files.DISGUISES if one not in (files.linked, files.dotted, files.linked_folder))
"""Those that are no way to a file that the user chose."""
LARGE = (files.ovr, files.aux_xml, files.overview_inside)
"""What lies beside these is a level of half the size."""
BESIDE = (files.ovr, files.msk, files.aux_xml)
"""What lies beside the file: not looked at, or the file is refused for it."""
REFUSED = (files.vrt_named_tif, files.overview_inside, files.wms, files.gti, files.linked)
SOURCES = {"a file": "{secret}", "the network": "/vsicurl/{url}"}


@pytest.fixture
def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Canary]:
    torch.set_num_threads(1)
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
    with listening(tmp_path) as made:
        yield made


def tiny(folder: Path) -> Path:
    """A checkpoint with a halo of 3 and four channels."""
    spec = Spec(
        name="tiny",
        architecture=Architecture(name="edsr", params={"scale": 2, "width": 4, "blocks": 0}),
        scale=(2, 2),
        halo=(3, 3),
    )
    torch.manual_seed(0)
    save_checkpoint(folder / "tiny", spec, build(spec), "")
    return folder / "tiny"


def near(hr: Path, lr: Path | None = None) -> Outcome:
    found = evaluate_candidates(load_candidates({"near": BUILTIN / "nearest-x2"}), hr, lr, timed=False)
    return found.to_json()["scenes"]


def evaluated(root: Path, _name: str, _side: int) -> Outcome:
    return near(root)


def evaluated_on_its_lr(root: Path, name: str, side: int) -> Outcome:
    hr = root.parent / "hr"
    hr.mkdir()
    write(hr / name, texture(HARMLESS, 2 * side))
    return near(hr, root)


def recipe(root: Path, **more: Any) -> TrainConfig:
    document = {
        "name": "tiny",
        "data": str(root),
        "output": str(root.parent / "run"),
        "sources": [{"files": "**/*.*", "share": 1}],
        "architecture": {"name": "edsr", "params": {"scale": 2, "width": 4, "blocks": 0}},
        "steps": 1,
        "core_px": 4,
        "threads": 1,
    }
    return parse_config({**document, **more}, "test")


def trained_on(root: Path, _name: str, _side: int) -> Outcome:
    return [plane.values.tolist() for plane in prepare(recipe(root))[1]]


def trained_on_its_lr(root: Path, name: str, side: int) -> Outcome:
    (root.parent / "hr").mkdir()
    write(root.parent / "hr" / name, texture(HARMLESS, 2 * side))
    config = recipe(root.parent, sources=[{"files": f"hr/{name}", "share": 1, "lr": root.name}])
    return [(plane.values.tolist(), plane.lr.tolist()) for plane in prepare(config)[1] if plane.lr is not None]


def validated_on(root: Path, _name: str, _side: int) -> Outcome:
    (root.parent / "train").mkdir()
    write(root.parent / "train" / "a.tif", texture(HARMLESS))
    geometry = prepare(recipe(root.parent / "train"))[2]
    return float(Validation(recipe(root, validation=str(root)), geometry, 1).hr.sum())


def calibrated_on(root: Path, _name: str, _side: int) -> Outcome:
    write(root / "other_1.tif", texture(HARMLESS))
    return calibrate(tiny(root.parent), root).model_dump()


def write_elsewhere(path: Path, values: np.ndarray, gsd: float = 10) -> None:
    """Each letter at a place of its own, with pixels of its own."""
    index = ord(path.stem) - ord("a")
    write(path, np.roll(values, index, 1))
    with gdal_env(), rasterio.open(path, "r+") as dataset:
        dataset.transform = from_origin(300000 + 50000 * index, 5000000, gsd, gsd)


def retrained_on(root: Path, name: str, _side: int) -> Outcome:
    for letter in "bcde":
        write_elsewhere(root / f"{letter}.tif", texture(HARMLESS))
    entry = Dataset(kind="raster", source=f"{root}/**/*.[tj][ip][f2]", model="srcore-x2@champion", retrain={})
    return collected(entry, root.parent)


def retrained_on_its_hr(root: Path, name: str, side: int) -> Outcome:
    lr = root.parent / "lr"
    lr.mkdir()
    write(lr / f"{Path(name).stem}.tif", texture(HARMLESS, side // 2), gsd=20)
    for letter in "bcde":
        write_elsewhere(root / f"{letter}.tif", texture(HARMLESS))
        write_elsewhere(lr / f"{letter}.tif", texture(HARMLESS, SIDE_PX // 2), gsd=20)
    hr = f"{root}/**/*.[tj][ip][f2]"
    entry = Dataset(kind="raster", source=f"{lr}/*.tif", hr=hr, model="srcore-x2@champion", retrain={})
    found = find_pairs(entry, Path("/"), root.parent / "split.json")
    if found.left_out:
        return "; ".join(f"{scene} is left out: {why}" for scene, why in found.left_out.items())
    read = {pair.scene: read_pair(entry, pair, (2, 2), SIDE_PX * 2).sample for pair in found.pairs}  # noise is no pair
    assert all({*np.unique(one.hr), *np.unique(one.lr)} <= HARMLESS for one in read.values())
    return {scene: float(one.hr.sum()) for scene, one in read.items()}


def collected(entry: Dataset, folder: Path) -> Outcome:
    """The pairs that a retraining would copy."""
    found = find_pairs(entry, Path("/"), folder / "split.json")
    out = {**found.left_out, **collect(entry, found.pairs, (2, 2), folder / "pairs", silent).left_out}
    if out:
        return "; ".join(f"{scene} is left out: {why}" for scene, why in out.items())
    copies = {path.name: np.ma.getdata(read_bands(path)) for path in sorted((folder / "pairs").rglob("*.tif"))}
    assert all({*np.unique(values)} <= HARMLESS for values in copies.values())
    return {name: float(values.sum()) for name, values in copies.items()}


ROLES: tuple[Role, ...] = (
    evaluated,
    evaluated_on_its_lr,
    trained_on,
    trained_on_its_lr,
    validated_on,
    calibrated_on,
    retrained_on,
    retrained_on_its_hr,
)


def told(role: Role, root: Path, name: str, side: int) -> Outcome:
    """What comes out; a refusal as its line."""
    try:
        return json.loads(json.dumps(role(root, name, side)))
    except SRError as error:
        return str(error)


@cache
def expected(role: Role, name: str, side: int) -> Outcome:
    """What comes out of the harmless file alone."""
    with TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        root.mkdir()
        jp2 = {"QUALITY": 100, "REVERSIBLE": "YES"} if name.endswith(".jp2") else {}
        write(root / name, texture(HARMLESS, side), "JP2OpenJPEG" if jp2 else "GTiff", **jp2)
        return told(role, root, name, side)


@pytest.mark.parametrize("role", ROLES, ids=lambda f: f.__name__)
@pytest.mark.parametrize("disguise", IN_A_FOLDER, ids=lambda f: f.__name__)
def test_a_folder_is_read_and_nothing_else(canary: Canary, disguise, role: Role) -> None:
    source = SOURCES["a file" if ROLES.index(role) % 2 else "the network"]
    path = disguise(canary, source.format(secret=canary.secret, url=canary.url))
    side = 2 * SIDE_PX if disguise in LARGE else SIDE_PX
    before = {entry: entry.read_bytes() for entry in canary.root.rglob("*") if entry.is_file()}
    found = told(role, canary.root, path.name, side)
    assert canary.visits == []
    assert canary.secret.read_bytes() == canary.bytes
    assert all(entry.read_bytes() == content for entry, content in before.items())
    if disguise in REFUSED:
        assert isinstance(found, str), "refused"
        assert path.stem in found or path.resolve().stem in found
        assert "\n" not in found
    elif disguise is files.linked_folder:  # a walk does not follow it, and the door is shut
        assert "secret.tif" not in found or isinstance(found, str)
    elif disguise in BESIDE and isinstance(found, str):
        assert path.stem in found
        assert "\n" not in found
    else:
        assert found == expected(role, path.name, side)
        assert not isinstance(found, str), "the harmless file is read"


@pytest.mark.parametrize("place", ["sr", "lr", "hr"])
@pytest.mark.parametrize("disguise", TYPED, ids=lambda f: f.__name__)
def test_validate_follows_nothing(canary: Canary, tmp_path: Path, disguise, place: str) -> None:
    local = place == "lr" and disguise is not files.vsi_path  # a path that is typed is a choice
    source = SOURCES["a file" if local else "the network"]
    path = disguise(canary, source.format(secret=canary.secret, url=canary.url))
    side = 2 * SIDE_PX if disguise in LARGE else SIDE_PX
    lr = side if place == "lr" else side // 2
    gsd = 10 if place == "lr" else 20
    for name, pixels in (("sr", 2 * lr), ("lr", lr), ("hr", 2 * lr)):
        write(tmp_path / f"{name}.tif", texture(HARMLESS, pixels), gsd=gsd * lr / pixels)

    def report(own: Path) -> str:
        given = {name: own if name == place else tmp_path / f"{name}.tif" for name in ("sr", "lr", "hr")}
        try:
            found = validate_pair(given["sr"], given["lr"], with_changes({}), given["hr"])
            return repr([asdict(check) for check in found.checks])
        except SRError as error:
            return f"refused: {error}"

    found = report(path)
    assert canary.visits == []
    assert canary.secret.read_bytes() == canary.bytes
    if disguise in BESIDE and not found.startswith("refused"):
        assert found == report(tmp_path / f"{place}.tif")
        assert len(found) > 1000, "all checks"
    elif disguise is not files.gml_in_jp2:
        assert found.startswith("refused")
        assert "\n" not in found


COMMANDS = """
import json, sys
from flows.cli import main
for command in json.loads(sys.argv[1]):
    sys.argv = ["srcore", *command]
    try:
        main()
    except SystemExit as ended:
        print("ended", ended.code)
"""


@pytest.mark.slow
def test_a_fresh_process_refuses_by_the_command_line(canary: Canary, tmp_path: Path) -> None:
    """GDAL's drivers are those of a new process: nothing went through the door before."""
    path = files.vrt_named_tif(canary, f"/vsicurl/{canary.url}")
    write(tmp_path / "lr.tif", texture(HARMLESS, SIDE_PX // 2))
    rule = recipe(canary.root).model_dump(mode="json", exclude_defaults=True)
    (tmp_path / "recipe.yaml").write_text(json.dumps(rule))
    commands = [
        ["evaluate", "nearest-x2", str(canary.root), "--json"],
        ["train", str(tmp_path / "recipe.yaml")],
        ["models", "calibrate", str(tiny(tmp_path)), str(canary.root)],
        ["validate", str(path), "--lr", str(tmp_path / "lr.tif")],
    ]
    shutil.rmtree(tmp_path / "run", ignore_errors=True)
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS, json.dumps(commands)], capture_output=True, text=True, timeout=300, check=True
    )
    ended = [line for line in done.stdout.splitlines() if line.startswith("ended")]  # beside the errors as JSON
    assert ended == ["ended 2"] * len(commands), done.stderr
    assert sum(line.startswith("error: ") for line in done.stderr.splitlines()) == len(commands)
    assert canary.visits == []
