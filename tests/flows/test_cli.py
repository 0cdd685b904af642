"""The command line as a stranger uses it: exit codes, one line of error, nothing written."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.rpc import RPC
from rasterio.transform import Affine
from typer.testing import CliRunner

from flows.cli import app
from flows.cli.options import user_name
from srcore.checkpoints import builtin_names
from srcore.version import __version__
from tests.conftest import ROOT


def make_text(path: Path, _: np.ndarray) -> None:
    path.write_text("not a raster")


def make_truncated(path: Path, values: np.ndarray) -> None:
    write(path, values)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def make_complex(path: Path, values: np.ndarray) -> None:
    write(path, values.astype("complex64"))


def make_rpc_only(path: Path, values: np.ndarray) -> None:
    ones = [1.0] * 20
    model = RPC(
        height_off=1,
        height_scale=1,
        lat_off=1,
        lat_scale=1,
        line_den_coeff=ones,
        line_num_coeff=ones,
        line_off=1,
        line_scale=1,
        long_off=1,
        long_scale=1,
        samp_den_coeff=ones,
        samp_num_coeff=ones,
        samp_off=1,
        samp_scale=1,
    )
    write(path, values, crs=None, transform=None)
    with rasterio.open(path, "r+") as target:
        target.rpcs = model


def write(path: Path, values: np.ndarray, **options: object) -> None:
    profile = {"crs": "EPSG:32632", "transform": Affine(10, 0, 6e5, 0, -10, 5e6), **options}
    count, height, width = values.shape
    with rasterio.open(
        path, "w", driver="GTiff", count=count, height=height, width=width, dtype=values.dtype, **profile
    ) as target:
        target.write(values)


BAD_FILES = {
    "missing": (lambda path, values: None, "cannot be read"),
    "text": (make_text, "not a file that srcore reads"),
    "truncated": (make_truncated, "cut short"),
    "complex": (make_complex, "complex"),
    "rpc": (make_rpc_only, "RPCs"),
}
BAD_USES = {
    "band": (["--bands", "7"], "band '7' is not in the file"),
    "model": (["--model", "nope"], "unknown model 'nope'"),
    "scale": (["--scale", "3"], "does not have the scale; found 3"),
    "device": (["--device", "tpu"], "not one of 'auto', 'cpu', 'cuda'"),
    "numbers": (["--values", "classes"], "not one of auto, continuous, categorical, bits, circular"),
    "numbers of a band": (["--values", "B9=bits"], "values names a band that is not there: B9"),
    "range": (["--valid-range", "low,high"], "no LEAST,GREATEST"),
    "empty range": (["--valid-range", "5,5"], "the valid range holds no numbers"),
    "range of another dtype": (["--valid-range", "70000,80000"], "no number of band band 1 can lie in the valid range"),
    "stage": (["--until", "lunch"], "not one of 'plan'"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_input_is_one_line_and_nothing_is_written(
    name: str, srcore: Callable[..., tuple[int, str, str]], tmp_path: Path, landscape: Callable[..., np.ndarray]
) -> None:
    make, expected = BAD_FILES[name]
    make(tmp_path / "in.tif", landscape(1, (40, 40)))
    before = sorted(tmp_path.iterdir())
    code, out, err = srcore("upscale", tmp_path / "in.tif", tmp_path / "out.tif", "--workers", 0)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert expected in err
    assert sorted(tmp_path.iterdir()) == before


def test_a_tile_that_memory_cannot_hold_is_refused(srcore: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    """A core that a user asks for is no longer than its axis: the scene is as large as it says, but holds nothing."""
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 4, "height": 16000, "width": 16000, "sparse_ok": True}
    with rasterio.open(tmp_path / "in.tif", "w", tiled=True, **profile):
        pass
    code, _, err = srcore("upscale", tmp_path / "in.tif", tmp_path / "out.tif", "--workers", 0, "--tile", 60000)
    assert code == 2
    assert "does not fit in memory" in err
    assert [path.name for path in tmp_path.iterdir()] == ["in.tif"]


@pytest.mark.parametrize("name", BAD_USES)
def test_bad_usage_is_refused_before_anything_is_written(
    name: str, srcore: Callable[..., tuple[int, str, str]], tmp_path: Path, landscape: Callable[..., np.ndarray]
) -> None:
    options, expected = BAD_USES[name]
    write(tmp_path / "in.tif", landscape(1, (40, 40)))
    code, _, err = srcore("upscale", tmp_path / "in.tif", tmp_path / "out.tif", "--workers", 0, *options)
    assert code == 2
    assert expected in " ".join(err.replace("│", " ").split())
    assert [path.name for path in tmp_path.iterdir()] == ["in.tif"]


@pytest.mark.parametrize(
    "command",
    [
        ["evaluate", "srcore-x2", "s3://secret/hr"],
        ["evaluate", "srcore-x2", "hr", "--lr", "S3://secret/lr"],
        ["validate", "https://secret@host/sr.tif", "--lr", "in.tif"],
        ["validate", "in.tif", "--lr", "gs://secret/lr.tif"],
        ["models", "import", "https://host/secret.onnx"],
        ["train", "az://secret/recipe.yaml"],
        ["run", "fields", "--catalog", "s3://secret/data_catalog.yaml"],
    ],
)
def test_an_address_where_a_path_is_needed_is_said_to_be_one(
    command: list[str],
    srcore: Callable[..., tuple[int, str, str]],
    tmp_path: Path,
    landscape: Callable[..., np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A path keeps one of an address's two slashes, and the address may hold a secret: neither is shown."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "in.tif", landscape(1, (40, 40)))
    code, out, err = srcore(*command)
    assert (code, out) == (2, "")
    assert "an address, " in err
    assert err.endswith("[OUTSIDE]\n")
    assert "secret" not in err
    assert [path.name for path in tmp_path.iterdir()] == ["in.tif"]


def test_the_output_is_never_an_input_and_never_a_surprise(
    srcore: Callable[..., tuple[int, str, str]], tmp_path: Path, landscape: Callable[..., np.ndarray]
) -> None:
    source = tmp_path / "in.tif"
    write(source, landscape(1, (40, 40)))
    before = source.read_bytes()
    (tmp_path / "there.tif").write_text("mine")
    for output, words in [("in.tif", "is the input"), ("there.tif", "exists"), ("o.png", "ends in .tif")]:
        code, _, err = srcore("upscale", source, tmp_path / output, *(["--overwrite"] if output == "in.tif" else []))
        assert (code, err.count("\n")) == (2, 1)
        assert words in err
    assert source.read_bytes() == before
    assert (tmp_path / "there.tif").read_text() == "mine"


def test_upscale_tells_json_to_programs(
    srcore: Callable[..., tuple[int, str, str]], tmp_path: Path, landscape: Callable[..., np.ndarray]
) -> None:
    write(tmp_path / "in.tif", landscape(3, (40, 40), "uint8"))
    code, out, _ = srcore(
        "upscale", tmp_path / "in.tif", tmp_path / "out.tif", "--workers", 0, "--json", "--model", "bicubic-x2"
    )
    assert code == 0
    receipt = json.loads(out)
    assert receipt["model"] == "bicubic-x2"
    assert {item["name"] for item in receipt["outputs"]} >= {"out.tif", "out.json", "out.png"}


def test_verbose_says_what_was_planned_and_chosen(
    write_raster: Callable[..., Path], landscape: Callable[..., np.ndarray], tmp_path: Path
) -> None:
    source = write_raster(landscape(1, (40, 60)))
    command = [
        sys.executable,
        "-m",
        "flows.cli",
        "--verbose",
        "upscale",
        str(source),
        str(tmp_path / "sr.tif"),
        "--model",
        "bicubic-x2",
        "--workers",
        "0",
    ]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    assert "1 tiles of 40 x 60 px, halo 3 x 3 px" in said
    assert "sr: float32 by eager on cpu" in said


def test_separate_files_of_one_band_each_are_one_scene(
    srcore: Callable[..., tuple[int, str, str]], tmp_path: Path, landscape: Callable[..., np.ndarray]
) -> None:
    values = landscape(2, (40, 44))
    for band, name in enumerate(("B2", "B3")):
        write(tmp_path / f"L8-{name}.tif", values[band : band + 1])
    code, _, err = srcore(
        "upscale",
        tmp_path / "L8-{band}.tif",
        tmp_path / "out.tif",
        "--bands",
        "B2,B3",
        "--model",
        "nearest-x2",
        "--workers",
        0,
    )
    assert code == 0
    assert [line.partition(":")[0] for line in err.splitlines()] == ["plan", "ingest", "upscale", "export", "validate"]
    with rasterio.open(tmp_path / "out.tif") as sr:
        assert sr.descriptions == ("B2", "B3")
        np.testing.assert_array_equal(sr.read()[:, ::2, ::2], values)


def test_a_broken_catalog_names_file_line_and_key(srcore: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    catalog = tmp_path / "c.yaml"
    catalog.write_text(
        "version: 1\nstore: ./s\ndatasets:\n  a:\n    kind: raster\n    source: x\n    shedule: '0 2 * * *'\n"
    )
    code, _, err = srcore("run", "a", "--catalog", catalog)
    assert (code, err.count("\n")) == (2, 1)
    assert "c.yaml:7: unknown key 'shedule'" in err
    assert "shedule" in err


def test_a_night_with_a_failing_scene_ends_with_1_and_says_which(
    srcore: Callable[..., tuple[int, str, str]], tmp_path: Path, landscape: Callable[..., np.ndarray]
) -> None:
    (tmp_path / "in").mkdir()
    write(tmp_path / "in/good.tif", landscape(1, (40, 40)))
    make_text(tmp_path / "in/bad.tif", landscape(1, (1, 1)))
    catalog = tmp_path / "c.yaml"
    catalog.write_text(
        "version: 1\nstore: ./s\ndatasets:\n  a: {kind: raster, source: ./in/*.tif, model: nearest-x2}\n"
    )
    code, out, _ = srcore("run", "a", "--catalog", catalog, "--workers", 0)
    assert code == 1
    assert "failed" in out
    assert "published" in out
    code, out, _ = srcore("status", "--catalog", catalog, "--json")
    assert code == 1  # a scene in quarantine needs a person
    assert {row["scene"]: row["state"] for row in json.loads(out)["scenes"]} == {
        "bad": "quarantined",
        "good": "published",
    }
    (tmp_path / "in/bad.tif").unlink()
    code, out, _ = srcore("run", "a", "--catalog", catalog, "--workers", 0)
    assert code == 0
    assert "nothing to do" in out


def test_models_and_catalog_can_be_looked_at(srcore: Callable[..., tuple[int, str, str]]) -> None:
    assert srcore("--version")[1] == f"srcore {__version__}\n"
    code, out, _ = srcore("models", "list", "--json")
    assert code == 0
    names = [spec["name"] for spec in json.loads(out)]
    assert names == builtin_names()
    assert {"bicubic-x2", "nearest-x2", "srcore-x2", "srcore-x4"} <= set(names)
    assert srcore("models", "verify", "srcore-x2-fast")[0] == 0
    assert "srcore-x2" in srcore("models", "show", "srcore-x2")[1]
    code, out, _ = srcore("catalog", "schema")
    assert code == 0
    assert "datasets" in json.loads(out)["properties"]


def test_settings_say_what_is_used_and_from_where(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SRCORE_WORKERS", "3")
    told = CliRunner().invoke(app, ["settings"])
    assert told.exit_code == 0
    rows = {line.split("\t")[0]: line.split("\t")[1:] for line in told.output.splitlines()}
    assert rows["SRCORE_WORKERS"] == ["3", "environment"]
    assert rows["SRCORE_BACKEND"] == ["auto", "default"]
    assert json.loads(CliRunner().invoke(app, ["settings", "--json"]).output)["SRCORE_WORKERS"] == {
        "value": "3",
        "set": True,
    }


def test_an_error_is_json_where_json_was_asked_for() -> None:
    """And the package itself starts the command line."""
    command = [sys.executable, "-m", "srcore", "validate", "nothing.tif", "--lr", "nothing.tif", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    error = json.loads(done.stdout)["error"]
    assert done.returncode == error["exit"] == 2
    assert error["code"] == "NOT_READABLE"
    assert done.stderr.startswith("error: ")


def test_a_user_without_a_name_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that is run as any user."""
    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 987654321)
    assert user_name() == "user 987654321"


def test_one_of_several_volumes_is_upscaled_and_validated_by_its_number(srcore, tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel", reason="nibabel is not installed")
    several = np.random.default_rng(0).integers(0, 900, (24, 24, 2, 2)).astype(np.int16)
    nibabel.Nifti1Image(several, np.diag([1, 1, 3, 1])).to_filename(tmp_path / "bold.nii")
    told = (str(tmp_path / "bold.nii"), str(tmp_path / "sr.nii"))
    code, _, err = srcore("upscale", *told, "--model", "nearest-x2")
    assert (code, "2 of them; name one, from 1: --volume Volume=1" in err) == (2, True)
    assert srcore("upscale", *told, "--model", "nearest-x2", "--volume", "Volume=2")[0] == 0
    assert np.array_equal(nibabel.load(told[1]).get_fdata()[::2, ::2], several[..., 1])
    assert srcore("validate", told[1], "--lr", told[0])[0] == 2
    assert srcore("validate", told[1], "--lr", told[0], "--volume", "Volume=2")[0] == 0
