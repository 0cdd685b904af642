"""The wheel: all that the package needs is in it, nothing else, and it works from an empty folder."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
BUILD = "from setuptools import build_meta; print(build_meta.build_wheel('../wheel'))"
USE = """\
import sys, numpy, srcore, flows.demo
from pathlib import Path
from srcore.samples import write_catalog
assert all(Path(module.__file__).is_relative_to(sys.argv[1]) for module in (srcore, flows)), srcore.__file__
assert srcore.super_resolve(numpy.eye(16, dtype="float32")).shape == (32, 32)
print(write_catalog(Path()).read_text())
"""


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of the working tree, by the setuptools that is here: nothing is fetched."""
    pytest.importorskip("setuptools", "77", reason="setuptools >= 77 is not installed (extra: dev)")
    source = tmp_path_factory.mktemp("checkout")
    for name in ("pyproject.toml", "README.md", "LICENSE", "data_catalog.yaml"):
        shutil.copy(ROOT / name, source)
    for name in ("srcore", "flows"):
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    (source.parent / "wheel").mkdir()
    subprocess.run([sys.executable, "-c", BUILD], cwd=source, check=True, capture_output=True)
    [built] = (source.parent / "wheel").iterdir()
    return built


def test_every_file_of_the_packages_is_in_the_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        inside = {name for name in file.namelist() if ".dist-info/" not in name}
        catalog = file.read("srcore/samples/data_catalog.yaml")
    ours = [path for room in ("srcore", "flows") for path in (ROOT / room).rglob("*") if path.is_file()]
    assert inside == {str(path.relative_to(ROOT)) for path in ours if "__pycache__" not in path.parts}
    assert {"srcore/py.typed", "srcore/pretrained/srcore-x2/model.safetensors"} <= inside
    assert catalog == (ROOT / "data_catalog.yaml").read_bytes()


def test_the_wheel_says_what_it_offers(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        [info] = {name.partition("/")[0] for name in file.namelist() if ".dist-info/" in name}
        entry, metadata = (file.read(f"{info}/{name}").decode() for name in ("entry_points.txt", "METADATA"))
    assert "srcore = flows.command:main" in entry
    assert "srcore.tiff_predictor = srcore.storage.chunks.predictor:TiffPredictor" in entry
    assert 'Requires-Dist: rioxarray>=0.18; extra == "xarray"' in metadata
    assert "License-Expression: Apache-2.0" in metadata


def test_the_face_works_from_the_wheel_in_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    installed, empty = tmp_path / "site", tmp_path / "empty"
    empty.mkdir()
    with zipfile.ZipFile(wheel) as file:
        file.extractall(installed)
    # -P: the folder that it is run in is no place to import from.
    command = [sys.executable, "-P", "-c", f"import sys; sys.path.insert(0, {str(installed)!r})\n{USE}", str(installed)]
    told = subprocess.run(command, cwd=empty, capture_output=True, text=True, check=True).stdout
    assert told.strip() == (ROOT / "data_catalog.yaml").read_text().strip()
    assert [path.name for path in empty.iterdir()] == ["data_catalog.yaml"]
