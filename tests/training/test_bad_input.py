"""What a retraining is given wrongly, by the command line: one line that says what, and what to do."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import rasterio
from affine import Affine

from flows.cli import main
from srcore.layout import LEASE
from srcore.registry.mlflow_store import Registry, open_registry
from srcore.storage.disk.leases import held
from srcore.training import promote
from srcore.training.data.sealed import read_split
from srcore.training.fit import loop
from tests.training.retrain_cases import draw_archive, register_tiny

pytest.importorskip("mlflow", reason="the registry needs MLflow (extra: train)")

Call = Callable[..., tuple[int, str]]

STEPS: dict[str, tuple[Any, str]] = {
    "collect": (promote, "_refuse_unfit"),
    "fit": (loop, "draw_batch"),
    "judge": (promote, "stops"),
    "promote": (Registry, "register"),
}
"""Something that each step of a round calls."""


@pytest.fixture
def srcore(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Call the command line; gives exit status and the last line on stderr."""
    monkeypatch.setenv("SRCORE_REGISTRY", f"sqlite:///{tmp_path}/registry/registry.db")
    monkeypatch.setenv("SRCORE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)

    def call(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["srcore", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), (capsys.readouterr().err.splitlines() or [""])[-1]

    return call


def retrain(srcore: Call, catalog: Path) -> tuple[int, str]:
    return srcore("retrain", "drawn", "--catalog", catalog)


def test_no_champion_yet(srcore: Call, tmp_path: Path) -> None:
    catalog = draw_archive(tmp_path, count=4)
    assert retrain(srcore, catalog)[1].endswith("srcore models import FOLDER makes one [NO_REGISTRY]")
    register_tiny(tmp_path)
    catalog.write_text(catalog.read_text().replace("tiny@", "nobody@"))
    assert retrain(srcore, catalog) == (
        2,
        "error: the registry has no nobody@champion; see `srcore models list` [UNKNOWN_MODEL]",
    )


def test_pairs_of_another_scale(srcore: Call, tmp_path: Path) -> None:
    register_tiny(tmp_path)
    catalog = draw_archive(tmp_path, count=8)
    for path in (tmp_path / "lr").iterdir():
        with rasterio.open(path) as source:
            values, profile = source.read()[:, ::2, ::2], source.profile
            profile["transform"] = source.transform @ Affine.scale(2)
        with rasterio.open(path, "w", **{**profile, "width": 24, "height": 24}) as target:
            target.write(values)
    status, line = retrain(srcore, catalog)
    assert status == 2
    assert "found 0 of 0; left out: 8, first a_0: BAD_PAIR: HR and LR do not belong together" in line
    assert "a ratio of 4 x 4; the model's scale asks for 2 x 2" in line


def test_a_key_that_no_network_has(srcore: Call, tmp_path: Path) -> None:
    recipe = tmp_path / "net.yaml"
    text = f"name: t\ndata: {tmp_path}\noutput: {tmp_path}/out\nsources: [{{files: '*.tif', share: 1}}]\nsteps: 2\n"
    recipe.write_text(f"{text}batch: 2\ncore_px: 16\narchitecture: {{name: edsr, params: {{widht: 8}}}}\n")
    assert srcore("train", recipe) == (
        2,
        "error: architecture edsr of t has no param widht; "
        "known are scale, width, blocks, bias, bands [BAD_CHECKPOINT]",
    )
    recipe.write_text(recipe.read_text().replace("widht: 8", "width: eight"))
    assert "correct width: 'eight'" in srcore("train", recipe)[1]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("files: '/etc/*.tif'", "a glob below the data folder is needed"),
        ("files: ''", "a path is needed"),
        ("files: 'a**b.tif'", "a glob below the data folder is needed"),
        ("files: '*/../../*.tif'", ".. can only stand before the first wildcard"),
        ("files: '*.tif', share: .inf", "share in sources.0: Input should be"),
        ("batch: 100000000", "batch: Input should be less than or equal to 4096"),
        ("core_px: 5000", "core_px: must be whole numbers above 0, 4096 at most; found 5000"),
        ("learning_rate: .inf", "learning_rate: Input should be a finite number"),
        ("losses: {l1: .inf}", "l1 in losses: Input should be a finite number"),
    ],
)
def test_a_recipe_with_a_value_that_cannot_be_is_one_line_with_its_key(
    srcore: Call, tmp_path: Path, line: str, told: str
) -> None:
    source = line if line.startswith("files") else "files: '*.tif'"
    source += "" if "share" in source else ", share: 1"
    keys = {"batch": "2", "core_px": "12"} | ({} if line.startswith("files") else dict([line.split(": ", 1)]))
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        f"name: t\ndata: {tmp_path}\noutput: {tmp_path}/out\nsources: [{{{source}}}]\nsteps: 2\n"
        "architecture: {name: edsr, params: {scale: 2, width: 8}}\n"
        + "".join(f"{key}: {value}\n" for key, value in keys.items())
    )
    status, said = srcore("train", recipe)
    assert status == 2
    assert told in said
    assert said.endswith("[BAD_CATALOG]")


def test_a_folder_with_somebodys_files_is_no_output(srcore: Call, tmp_path: Path) -> None:
    draw_archive(tmp_path, count=2)
    mine = tmp_path / "hr/README.md"
    mine.write_text("mine")
    recipe = tmp_path / "recipe.yaml"
    text = f"name: t\ndata: {tmp_path}/hr\noutput: {tmp_path}/hr\nsources: [{{files: '*.tif', share: 1}}]\nsteps: 2\n"
    recipe.write_text(f"{text}batch: 2\ncore_px: 8\narchitecture: {{name: edsr, params: {{scale: 2, width: 8}}}}\n")
    status, said = srcore("train", recipe)
    assert (status, said.endswith("found README.md; give another folder [OUTPUT_EXISTS]")) == (2, True)
    assert mine.read_text() == "mine"
    before = sorted(path.name for path in (tmp_path / "hr").iterdir())
    assert srcore("train", recipe, "--pack", tmp_path / "hr")[1].endswith("[OUTPUT_EXISTS]")
    assert sorted(path.name for path in (tmp_path / "hr").iterdir()) == before


@pytest.mark.parametrize("place", ["file", "file/below", "dangling", "loop", "x" * 300])
@pytest.mark.parametrize("option", ["output", "--pack"])
def test_an_output_that_can_be_no_folder_is_said_before_the_first_step(
    srcore: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, option: str
) -> None:
    draw_archive(tmp_path, count=2)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "dangling").symlink_to("nothing")
    (tmp_path / "loop").symlink_to("loop")
    recipe = tmp_path / "recipe.yaml"
    output = place if option == "output" else "out"
    text = f"name: t\ndata: {tmp_path}/hr\noutput: {tmp_path}/{output}\nsources: [{{files: '*.tif', share: 1}}]\n"
    recipe.write_text(f"{text}steps: 2\ncore_px: 8\narchitecture: {{name: edsr, params: {{scale: 2, width: 8}}}}\n")
    monkeypatch.setattr(loop, "draw_batch", None)  # would be called
    before = sorted(tmp_path.iterdir())
    status, said = srcore("train", recipe, *([] if option == "output" else [option, tmp_path / place]))
    assert (status, said.startswith("error: "), said.endswith("[BAD_STORE]")) == (1, True, True), said
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / "file").read_text() == "mine"


def test_a_state_that_is_no_state_is_said(srcore: Call, tmp_path: Path) -> None:
    draw_archive(tmp_path, count=2)
    recipe, out = tmp_path / "recipe.yaml", tmp_path / "out"
    text = f"name: t\ndata: {tmp_path}/hr\noutput: {out}\nsources: [{{files: '*.tif', share: 1}}]\nsteps: 2\n"
    recipe.write_text(f"{text}batch: 2\ncore_px: 8\narchitecture: {{name: edsr, params: {{scale: 2, width: 8}}}}\n")
    out.mkdir()
    for damaged in (b"", b"PK\x03\x04", b"nothing of torch"):
        (out / "state.pt").write_bytes(damaged)
        status, said = srcore("train", recipe, "--resume")
        assert status == 2
        assert said.endswith("start a new run [BAD_CHECKPOINT]")


def test_a_large_one_among_small_scenes_and_a_scene_that_was_renamed(srcore: Call, tmp_path: Path) -> None:
    register_tiny(tmp_path)
    catalog = draw_archive(tmp_path, count=8, steps=2)
    draw_archive(tmp_path / "large", count=1, side=400)
    for part in ("lr", "hr"):
        (tmp_path / "large" / part / "a_0.tif").replace(tmp_path / part / "a_0.tif")
    assert retrain(srcore, catalog)[0] == 0
    split = tmp_path / "archive/drawn/retrain/split.json"
    before = {scene: one.held for scene, one in read_split(split)[0].items()}
    for part in ("lr", "hr"):
        (tmp_path / part / "b_1.tif").rename(tmp_path / part / "renamed.tif")
    assert retrain(srcore, catalog)[0] == 0
    after = {scene: one.held for scene, one in read_split(split)[0].items()}
    assert after == {**{scene: held for scene, held in before.items() if scene != "b_1"}, "renamed": before["b_1"]}


@pytest.mark.nightly  # MLflow, and two rounds each
@pytest.mark.parametrize("step", STEPS)
def test_ctrl_c_in_any_step_is_one_line_and_the_same_command_goes_on(
    srcore: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    register_tiny(tmp_path)
    catalog = draw_archive(tmp_path, count=8, steps=4, rate=1e-7)
    at, name = STEPS[step]
    with monkeypatch.context() as patch:
        patch.setattr(at, name, interrupt)
        status, line = retrain(srcore, catalog)
    assert status == 130
    assert line.endswith("the same command goes on from there")
    assert len(open_registry().versions("tiny")) == 1
    assert retrain(srcore, catalog)[0] == 0
    assert len(open_registry().versions("tiny")) == 2


def interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_a_round_that_another_one_is_at_is_one_line(srcore: Call, tmp_path: Path) -> None:
    register_tiny(tmp_path)
    catalog = draw_archive(tmp_path, count=8)
    with held(tmp_path / "archive/drawn/.retrain" / LEASE):
        status, line = retrain(srcore, catalog)
    assert (status, line.endswith("[LEASED]")) == (1, True), line


@pytest.mark.nightly
def test_a_registry_that_is_locked_when_the_round_is_decided_costs_no_training(
    srcore: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register_tiny(tmp_path)
    catalog = draw_archive(tmp_path, count=8, steps=4, rate=1e-7)
    assess = promote.assess

    def locked(*arguments: Any) -> Any:
        found = assess(*arguments)
        other.execute("begin exclusive")
        return found

    opened = sqlite3.connect(tmp_path / "registry/registry.db", isolation_level=None)
    with closing(opened) as other, monkeypatch.context() as patch:
        patch.setattr(promote, "assess", locked)
        status, line = retrain(srcore, catalog)
    assert status == 1
    assert line.endswith("[REGISTRY_AWAY]")
    monkeypatch.setattr(promote, "collect_pairs", None)  # would be called
    assert retrain(srcore, catalog)[0] == 0
