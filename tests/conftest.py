"""Small real files, where the shared imagery is, and a browser.

SRCORE_CHROMIUM names the browser where it is not on the PATH; screenshots go to SRCORE_SCREENSHOTS.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import settings
from rasterio.transform import Affine

from tests.elsewhere import Elsewhere, serve

# Time says nothing on a busy machine; the same examples at every run say whether a change broke something.
settings.register_profile("srcore", deadline=None, derandomize=True)
settings.load_profile("srcore")

ROOT = Path(__file__).parent.parent
CHROMIUM = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
"""Arguments of a browser that asks the network for nothing by itself."""


WHOLE = frozenset({"faults", "flows", "fuzz", "memory", "registry", "run", "samples", "training"})
"""Rooms whose tests run whole scenes, trainings or servers: slow, all of them."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The browser's tests and those for the night run when they are asked for: make test-browser, test-nightly."""
    for item in items:
        if WHOLE.intersection(item.path.relative_to(ROOT).parts):
            item.add_marker("slow")
    asked = config.option.markexpr or ""
    for marker in ("browser", "nightly"):
        if marker not in asked:
            left = [item for item in items if item.get_closest_marker(marker)]
            config.hook.pytest_deselected(items=left)
            items[:] = [item for item in items if item not in left]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real imagery; the test is skipped, and says why, where it is not there."""
    folder = Path(os.environ.get("SRCORE_DATA", ROOT / ".." / "shared")).resolve()
    if not (folder / "data").is_dir():
        pytest.skip(f"real imagery is not at {folder}; set SRCORE_DATA to run this test")
    return folder


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium, driven by playwright; the test is skipped, and says why, where one is missing."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra: dev)")
    names = ("chromium", "chromium-browser", "google-chrome")
    chromium = os.environ.get("SRCORE_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if chromium is None:
        pytest.skip("no Chromium on the PATH; install one, or name it in SRCORE_CHROMIUM")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM)
        yield started
        started.close()


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What tests measure of backends is not remembered for the user's runs, nor theirs for the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SRCORE_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("SRCORE_REGISTRY", f"sqlite:///{tmp_path_factory.mktemp('registry')}/registry.db")
        patch.setenv("SRCORE_PRIVATE_KEY", str(tmp_path_factory.mktemp("key") / "private.key"))
        yield


@pytest.fixture(autouse=True)
def registries_made_once(own_cache: None, tmp_path_factory: pytest.TempPathFactory) -> None:
    """MLflow goes through all its migrations for every new registry, 2 CPU s each: in tests a second one is a copy of
    the first of its process."""
    utils = sys.modules.get("mlflow.store.db.utils")
    if utils is None or hasattr(utils._initialize_tables, "made"):
        return
    make, made = utils._initialize_tables, tmp_path_factory.mktemp("made") / "registry.db"

    def initialize(engine: Any) -> None:
        if made.exists():
            with closing(sqlite3.connect(made)) as source, closing(sqlite3.connect(engine.url.database)) as target:
                source.backup(target)
            return
        make(engine)
        with closing(sqlite3.connect(engine.url.database)) as source, closing(sqlite3.connect(made)) as target:
            source.backup(target)

    initialize.made = made  # type: ignore[attr-defined]
    utils._initialize_tables = initialize


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pictures of what a browser shows are kept."""
    folder = Path(os.environ.get("SRCORE_SCREENSHOTS") or tmp_path_factory.mktemp("screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def landscape() -> Callable[..., np.ndarray]:
    """Smooth hills with edges: (C, Y, X) of a dtype, the same for the same arguments."""

    def make(bands: int = 2, shape: tuple[int, int] = (61, 83), dtype: str = "uint16", seed: int = 0) -> np.ndarray:
        rng = np.random.default_rng(seed)
        y, x = np.mgrid[: shape[0], : shape[1]]
        layers = []
        for band in range(bands):
            hills = np.sin(x / (5 + band)) + np.cos(y / 7) + ((x // 9 + y // 11) % 2) + 0.1 * rng.standard_normal(shape)
            layers.append(hills)
        values = np.stack(layers)
        low, high = (20, 230) if dtype == "uint8" else (300, 4200)
        values = low + (values - values.min()) / np.ptp(values) * (high - low)
        return values.astype(dtype)

    return make


@pytest.fixture
def write_raster(tmp_path: Path) -> Callable[..., Path]:
    """Write a GeoTIFF of (C, Y, X) values."""

    def write(values: np.ndarray, name: str = "scene.tif", mask: np.ndarray | None = None, **options: Any) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        profile: dict[str, Any] = {
            "driver": "GTiff",
            "count": values.shape[0],
            "height": values.shape[1],
            "width": values.shape[2],
            "dtype": values.dtype,
            "crs": "EPSG:32632",
            "transform": Affine(10, 0, 600000, 0, -10, 5200000),
        }
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "w", **{**profile, **options}) as target:
            target.write(values)
            if mask is not None:
                target.write_mask(mask)
        return path

    return write


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Elsewhere]:
    """A server on loopback that files are fetched from, and a cache of its own; buckets of s3:// are its folders."""
    from srcore.storage.remote.listing import forget_lists

    found, end = serve()
    for name, value in {
        "SRCORE_CACHE": str(tmp_path / "cache"),
        "SRCORE_REMOTE_TRIES": "3",
        "AWS_ENDPOINT_URL": found.address,
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "SECRET",
    }.items():
        monkeypatch.setenv(name, value)
    forget_lists()
    yield found
    end()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The two numbers that count, and the faults by kind; each process told its own in the reports of its tests."""
    injected: Counter[str] = Counter()
    wrong = 0
    for report in (*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")):
        if report.when == "call":
            for kind, count, bad in (value for key, value in report.user_properties if key == "injected"):
                injected[kind] += count
                wrong += bad
    if injected:
        terminalreporter.section("faults")
        for kind, count in injected.items():
            terminalreporter.line(f"{count:5d}  {kind}")
        terminalreporter.line(f"faults injected: {injected.total()}, wrong outputs: {wrong}")
