"""The page works in a browser: no error, no request, controls that do what they say. Skipped where there is none."""

from __future__ import annotations

import shutil

import pytest

from netdeconv.report import page as page_module
from netdeconv.report.page import write_report
from netdeconv.training.session import run
from netdeconv.viz import weight_norms
from small_runs import plain_config, small_config

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
sync_api = pytest.importorskip(
    "playwright.sync_api", reason="the browser test needs playwright: pip install playwright"
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="the browser test needs Chromium: apt-get install chromium")


@pytest.fixture
def page_file(tmp_path, monkeypatch):
    """Of all figures only one is drawn."""

    def draw(network, batch, run):
        return {"weights": weight_norms(network)}, []

    monkeypatch.setattr(page_module, "draw_all", draw)
    folder = tmp_path / "runs"
    run(small_config(folder / "whitened", epochs=2, recalibration=1))
    run(plain_config(folder / "plain", epochs=2))
    return write_report([folder / "whitened", folder / "plain"], folder / "report.html")


@pytest.fixture
def page():
    """Of a phone at night."""
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        opened = browser.new_page(viewport={"width": 360, "height": 740}, color_scheme="dark")
        opened.set_default_timeout(300_000)  # of a machine that is busy with other things
        yield opened
        browser.close()


def trace(page, name="chart"):
    return page.evaluate(f"(() => {{ const t = document.getElementById('{name}').data[0]; return [t.x, t.y]; }})()")


def test_the_page_fits_a_phone_works_by_mouse_and_keyboard_and_asks_nobody(page, page_file):
    errors, requests = [], []
    page.on("console", lambda message: errors.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(page_file.as_uri())
    page.wait_for_selector("#chart .main-svg")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.set_viewport_size({"width": 1280, "height": 900})
    page.emulate_media(color_scheme="light")
    page.wait_for_function("document.documentElement.dataset.theme === 'light'")
    assert page.evaluate("document.getElementById('chart').data.map(t => t.name)") == ["whitened", "plain"]
    assert trace(page)[0] == [1, 2]

    raw = trace(page)[1]
    page.select_option("#axis", "step")
    assert trace(page)[0] == [10, 20]
    page.select_option("#measure", "train_loss")
    assert trace(page)[1] != raw
    raw = trace(page)[1]
    page.focus("#smooth")
    page.keyboard.press("End")
    weight, (_, second) = 0.95, trace(page)[1]
    assert second == pytest.approx((weight * raw[0] + raw[1]) / (1 + weight))
    page.focus("#log")
    page.keyboard.press("Space")
    assert page.evaluate("document.getElementById('chart').layout.yaxis.type") == "log"

    page.select_option("#quantity", "gain")
    assert page.evaluate("document.getElementById('health-chart').layout.yaxis.title.text") == "largest gain"
    assert page.evaluate("document.querySelector('.confusion').data[0].z.flat().reduce((a, b) => a + b)") > 0

    back = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(back)
    page.click("#theme")
    assert page.evaluate(back) != light
    box = page.locator("#chart .nsewdrag").first.bounding_box()
    before = page.evaluate("document.getElementById('chart')._fullLayout.xaxis.range.slice()")
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 150, steps=5)
    page.mouse.up()
    page.wait_for_function("([low]) => document.getElementById('chart')._fullLayout.xaxis.range[0] > low", arg=before)
    page.emulate_media(media="print")
    assert not page.is_visible(".controls")
    assert errors == []
    assert [url for url in requests if not url.startswith(("file:", "data:", "blob:"))] == []
    assert len([url for url in requests if url.startswith("file:")]) == 1
