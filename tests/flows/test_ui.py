"""The Prefect UI in a real browser: schedule, form, five tasks, progress, checks, quicklook."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from srcore.run.scene import STAGES
from tests.flows.conftest import Served

pytestmark = pytest.mark.browser

SECONDS = 1000.0
"""In the milliseconds that playwright counts."""


class Screen:
    """A page of the browser, and where its pictures go."""

    def __init__(self, page: Any, folder: Path) -> None:
        self.page, self.folder, self.count = page, folder, 0

    def shoot(self, name: str) -> None:
        """Keep a picture of what is shown, numbered in order."""
        self.count += 1
        self.page.wait_for_timeout(1.0 * SECONDS)  # what slides in has arrived
        self.page.screenshot(path=self.folder / f"{self.count:02d}-{name}.png")


@pytest.fixture(scope="module")
def screen(browser: Any, screenshots: Path) -> Iterator[Screen]:
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    page.set_default_timeout(60 * SECONDS)
    yield Screen(page, screenshots)
    page.close()


def test_a_run_is_started_from_the_form_and_watched(served: Served, screen: Screen) -> None:
    page = screen.page
    page.goto(served.url)
    page.get_by_role("link", name="Deployments", exact=True).click()
    page.get_by_role("link", name="hills").wait_for()
    assert page.get_by_text("At 02:00 AM").is_visible()
    screen.shoot("deployments")

    page.get_by_role("link", name="by-hand").click()
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Custom run").click()
    page.get_by_label("scene", exact=True).fill("east")
    screen.shoot("form")
    page.get_by_role("button", name="Submit").click()
    page.get_by_role("link", name="View run").click()
    page.get_by_text("Running", exact=True).first.wait_for()
    screen.shoot("running")

    page.get_by_text("Completed", exact=True).first.wait_for()
    assert page.get_by_text("hills/east").first.is_visible()
    page.get_by_role("tab", name="Task Runs").click()
    for stage in STAGES:
        page.get_by_role("link", name=stage, exact=True).wait_for()
    screen.shoot("five-tasks")
    page.get_by_role("tab", name="Logs").click()
    page.get_by_text("upscale: ").first.wait_for()
    screen.shoot("logs")
    page.get_by_role("tab", name="Artifacts").click()
    page.get_by_role("link", name="quicklook-hills-east").wait_for()
    screen.shoot("artifacts")


def test_a_report_opens_by_its_link_and_reaches_nothing(served: Served, screen: Screen, browser: Any) -> None:
    run = served.start_run("upscale-scene/by-hand", scene="west", force=True)
    assert served.wait_for(run)["type"] == "COMPLETED"
    [report] = [one for one in served.of_run(run, "artifacts") if one["key"] == "report-hills-west"]
    screen.page.goto(f"{served.url}/v2/artifacts/artifact/{report['id']}")
    address = screen.page.locator("a[href*='/store/']").first.get_attribute("href")
    page = browser.new_page(viewport={"width": 390, "height": 844})
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.goto(address)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    stage, slider = page.locator(".stage").first, page.get_by_role("slider").first
    before = stage.get_attribute("style")
    slider.press("ArrowLeft")
    assert stage.get_attribute("style") != before  # our script runs
    assert said == []
    assert page.evaluate("self.origin") == "null"
    assert page.evaluate("fetch('/api/health').then(() => 'reached', () => 'refused')") == "refused"
    page.screenshot(path=screen.folder / "report-390.png")
    page.goto(f"{served.url}/store/hills/index.html")
    page.locator("a[href$='west.report.html']").first.click()
    page.get_by_role("heading", name="west").wait_for()
    page.close()


def test_the_page_of_a_night_fits_a_phone(served: Served, screen: Screen, browser: Any) -> None:
    for day in (20, 21):
        source = served.catalog.parent / "in"
        shutil.copy(source / "east.tif", source / f"LC08_L1TP_193028_202611{day}_20261126_02_T1_B4.tif")
    run = served.start_run("nightly/hills")
    served.wait_for(run, 240)
    shown = {one["key"]: one["id"] for one in served.of_run(run, "artifacts")}
    page = browser.new_page(viewport={"width": 390, "height": 844})
    for key in ("nightly-hills", "trends-hills"):
        page.goto(f"{served.url}/v2/artifacts/artifact/{shown[key]}")
        page.locator(".prose").first.wait_for()
        page.wait_for_timeout(1.0 * SECONDS)
        assert page.locator("main").evaluate("main => main.scrollWidth - main.clientWidth") <= 0, key
        page.screenshot(path=screen.folder / f"{key}-390.png", full_page=True)
    page.close()


def test_progress_checks_and_quicklook_are_shown(served: Served, screen: Screen) -> None:
    run = served.start_run("upscale-scene/by-hand", dataset="hills", scene="east", force=True)
    assert served.wait_for(run)["type"] == "COMPLETED"
    page = screen.page
    artifacts = {artifact["key"]: artifact["id"] for artifact in served.of_run(run, "artifacts")}
    page.goto(f"{served.url}/v2/artifacts/artifact/{artifacts['upscale-hills-east']}")
    page.get_by_text("Progress: 100%").wait_for()
    screen.shoot("progress")
    page.goto(f"{served.url}/v2/artifacts/artifact/{artifacts['checks-hills-east']}")
    page.get_by_text("grid.shape").first.wait_for()
    screen.shoot("checks")
    page.goto(f"{served.url}/v2/artifacts/artifact/{artifacts['quicklook-hills-east']}")
    picture = page.locator("img[src^='data:image/jpeg;base64,']").first
    picture.wait_for()
    assert picture.evaluate("image => image.naturalWidth") > 0
    screen.shoot("quicklook")
