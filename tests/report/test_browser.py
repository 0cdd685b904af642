"""The pages in a real browser: the slider moves, nothing is fetched, nothing is complained of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from srcore.dispatch import Workers
from srcore.layout import DatasetPaths
from srcore.run.dataset import run_dataset
from srcore.run.direct import direct_job
from srcore.run.scene import run_scene
from srcore.samples import make_phantom

pytestmark = pytest.mark.browser

PHONE, PROJECTOR = {"width": 390, "height": 844}, {"width": 1920, "height": 1080}


class Tab:
    """A page, with all that it asked for and complained of."""

    def __init__(self, page: Any) -> None:
        self.page, self.asked, self.said = page, [], []
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.route("http*://**", lambda route: route.abort())

    def go(self, path: Path) -> None:
        self.page.goto(path.as_uri())

    @property
    def fetched(self) -> list[str]:
        """Everything but the page itself and the data in it."""
        return [url for url in self.asked[1:] if not url.startswith("data:")]

    def split(self) -> float:
        return float(self.page.locator(".place:not([hidden]) .handle").get_attribute("aria-valuenow"))

    def transforms(self) -> list[str]:
        """Of the two pictures of the place that is shown."""
        script = (
            "[...document.querySelectorAll('.place:not([hidden]) img')].map(one => getComputedStyle(one).transform)"
        )
        return list(self.page.evaluate(script))


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> DatasetPaths:
    """A dataset of one scene large enough for several places, one that a browser could trip over, one that failed."""
    import rasterio
    from rasterio.transform import Affine

    folder = tmp_path_factory.mktemp("archive")
    (folder / "in").mkdir()
    y, x = np.mgrid[:560, :640]
    rng = np.random.default_rng(0)
    bands = [1500 + 900 * np.sin(x / (7 + i)) * np.cos(y / 9) + 60 * rng.standard_normal(x.shape) for i in range(3)]
    values = np.stack(bands).astype("uint16")
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "count": 3,
        "height": 560,
        "width": 640,
        "dtype": "uint16",
        "crs": "EPSG:32632",
        "transform": Affine(10, 0, 600000, 0, -10, 5200000),
    }
    for name in ("large", "a<b>&'c'"):
        with rasterio.open(folder / "in" / f"{name}.tif", "w", **profile) as target:
            target.write(values)
            target.descriptions = ("<script>alert(1)</script>", "green", "blue")
    (folder / "in" / "broken.tif").write_text("not a raster")
    catalog = folder / "data_catalog.yaml"
    catalog.write_text(
        "version: 1\nstore: ./store\ndatasets:\n  fields:\n    kind: raster\n    source: ./in/*.tif\n"
        "    model: bicubic-x2\n"
    )
    run_dataset(catalog, "fields", lambda job: run_scene(job, Workers(0)))
    return DatasetPaths(folder / "store/fields")


@pytest.fixture
def tab(browser: Any) -> Iterator[Callable[..., Tab]]:
    contexts = []

    def make(viewport: dict[str, int], **options: Any) -> Tab:
        contexts.append(browser.new_context(viewport=viewport, **options))
        return Tab(contexts[-1].new_page())

    yield make
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def body(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the drawn body."""
    folder = tmp_path_factory.mktemp("body")
    wishes = {"model": "cubic-z5", "slice_profile": "cos2", "back_projection": 4}
    job = direct_job(str(make_phantom(folder)), folder / "out/sr.nii.gz", **wishes)
    run_scene(job, Workers(0))
    return folder / "out/sr.report.html"


@pytest.mark.parametrize("viewport", [PHONE, PROJECTOR])
def test_planes_are_linked_and_scroll_by_keys(
    body: Path, tab: Callable[..., Tab], viewport: dict[str, int], screenshots: Path
) -> None:
    one = tab(viewport, has_touch=viewport is PHONE)
    one.go(body)
    page = one.page
    told = "[...document.querySelectorAll('.plane')].map(one => one.querySelector('output').textContent)"
    assert page.evaluate("document.documentElement.scrollWidth") == viewport["width"]
    assert body.stat().st_size < 2_000_000
    view = page.locator(".view").first
    view.scroll_into_view_if_needed()
    box = view.bounding_box()
    before = page.evaluate(told)
    at = (box["x"] + 0.25 * box["width"], box["y"] + 0.75 * box["height"])
    page.touchscreen.tap(*at) if viewport is PHONE else page.mouse.click(*at)
    axial, coronal, sagittal = page.evaluate(told)
    assert axial == before[0]
    assert (coronal[0], sagittal[0]) == ("P", "R")
    assert float(sagittal[2:-3]) == pytest.approx(0.25 * 128, abs=3)
    assert float(coronal[2:-3]) == pytest.approx(0.25 * 112, abs=3)
    page.locator(".plane input").first.focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate(told)[0] == "S 7.5 mm"
    shown = "getComputedStyle(document.querySelector('.slice:not([hidden]) .after'))"
    page.get_by_role("button", name="Lung").click()
    assert "shade1" in page.evaluate(f"{shown}.filter")
    page.get_by_role("button", name="Input").click()
    assert page.evaluate(f"{shown}.visibility") == "hidden"
    page.locator(".planes").screenshot(path=str(screenshots / f"planes-{viewport['width']}.png"))
    assert (one.fetched, one.said) == ([], [])


def test_the_slider_moves_and_nothing_is_fetched(archive: DatasetPaths, tab: Callable[..., Tab]) -> None:
    one = tab(PROJECTOR)
    one.go(archive.product("large", ".tif").page)
    page, handle = one.page, one.page.locator(".place:not([hidden]) .handle")
    stage = page.locator(".place:not([hidden]) .stage")
    assert page.locator(".place img").evaluate_all("all => all.every(one => one.complete && one.naturalWidth > 0)")
    assert one.split() == 50

    box = stage.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + 60, steps=5)
    page.mouse.up()
    assert one.split() == 25
    clip = page.locator(".place:not([hidden]) .layer.after").evaluate("one => getComputedStyle(one).clipPath")
    assert clip.endswith("25%)")

    handle.focus()
    for key, split in (("ArrowRight", 27), ("PageUp", 37), ("End", 100), ("ArrowRight", 100), ("Home", 0)):
        page.keyboard.press(key)
        assert one.split() == split

    page.get_by_role("button", name="Zoom in").click()
    page.get_by_role("button", name="Zoom in").click()
    assert page.locator("output").inner_text() == "4\u00d7"
    before, after = one.transforms()
    assert before == after
    assert before.startswith("matrix(4, 0, 0, 4")
    stage.evaluate("one => one.scrollIntoView()")
    box = stage.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.8, box["y"] + 300)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + 250, steps=4)
    page.mouse.up()
    moved = one.transforms()
    assert moved[0] == moved[1] != before
    page.keyboard.down("Control")
    page.mouse.wheel(0, 500)
    page.keyboard.up("Control")
    assert one.transforms()[0] != moved[0]
    page.get_by_role("button", name="Whole").click()
    assert one.transforms() == ["matrix(1, 0, 0, 1, 0, 0)"] * 2

    page.locator(".tools").get_by_role("button", name="Place 2").click()
    assert page.locator(".place:not([hidden])").count() == 1
    assert "Place 2" in page.locator(".tools [aria-pressed=true]").inner_text()
    assert (one.fetched, one.said) == ([], [])


def test_fingers_move_it_too(archive: DatasetPaths, tab: Callable[..., Tab]) -> None:
    one = tab(PHONE, has_touch=True, is_mobile=True)
    one.go(archive.product("large", ".tif").page)
    stage = one.page.locator(".place:not([hidden]) .stage")
    stage.scroll_into_view_if_needed()
    box = stage.bounding_box()
    devtools = one.page.context.new_cdp_session(one.page)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        at = [{"x": box["x"] + box["width"] * x, "y": box["y"] + box["height"] * y} for x, y in points]
        devtools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": at})

    touch("touchStart", (0.5, 0.5))
    for x in (0.55, 0.6, 0.7):
        touch("touchMove", (x, 0.5))
    touch("touchEnd")
    assert one.split() == pytest.approx(70, abs=1)
    touch("touchStart", (0.4, 0.5), (0.6, 0.5))
    touch("touchMove", (0.3, 0.5), (0.7, 0.5))
    touch("touchMove", (0.2, 0.5), (0.8, 0.5))
    touch("touchEnd")
    assert one.transforms()[0] == one.transforms()[1]
    assert float(one.transforms()[0].split("(")[1].split(",")[0]) == pytest.approx(3, abs=0.4)
    assert (one.fetched, one.said) == ([], [])


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("screen", "viewport"), [("phone", PHONE), ("projector", PROJECTOR)])
def test_pages_fit_the_screen(
    archive: DatasetPaths,
    tab: Callable[..., Tab],
    screenshots: Path,
    screen: str,
    viewport: dict[str, int],
    scheme: str,
) -> None:
    one = tab(viewport, color_scheme=scheme)
    for name, path in (("report", archive.product("large", ".tif").page), ("index", archive.index)):
        one.go(path)
        one.page.wait_for_load_state()
        one.page.screenshot(path=screenshots / f"{name}-{screen}-{scheme}.png", full_page=True)
        assert one.page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    assert one.said == []


def test_the_page_of_a_dataset_shows_its_pictures_and_leads_to_its_reports(
    archive: DatasetPaths, tab: Callable[..., Tab]
) -> None:
    one = tab(PROJECTOR)
    one.go(archive.index)
    page = one.page
    page.wait_for_load_state()
    assert page.locator("article img").evaluate_all("all => all.length > 1 && all.every(one => one.naturalWidth > 0)")
    assert page.get_by_text("NOT_SUPPORTED").is_visible()
    for link in range(page.get_by_role("link", name="Report", exact=True).count()):
        page.goto(archive.index.as_uri())
        page.get_by_role("link", name="Report", exact=True).nth(link).click()
        assert page.get_by_role("heading", name="Checks").is_visible()
        assert page.get_by_text("<script>alert(1)</script>").first.is_visible()
    assert all(url.startswith(("file:", "data:")) for url in one.asked)
    assert one.said == []
