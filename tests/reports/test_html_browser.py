"""The HTML report in a real browser: sorting, filtering, paging, the keyboard, no request and no error."""

import importlib
import json
import math
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from setpoint.reports import write_reports
from support.synthetic_experiment import Synthetic

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed: the HTML was NOT driven")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None or DRIVER is None, reason="Chromium and its driver are not installed: the HTML was NOT driven"
)
EVIL = "<img src=x onerror=alert(1)>"


def effect(levels: Mapping[str, Any]) -> float:
    return math.log(0.05) - (1.0 if levels["learning_rate"] == 2e-4 else 0.0)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    factors = {"schedule": (EVIL, "linear", "</script><b>"), "learning_rate": (1e-4, 2e-4)}
    synthetic = Synthetic(
        tmp_path_factory.mktemp("browser"),
        factors=factors,
        replicates=20,
        log_error=effect,
        failed={"schedule=linear_learning_rate=0.0001_double_integrator_s1": "diverged"},
    )
    return write_reports(synthetic.write()).with_name("report.html")


@pytest.fixture(scope="module")
def browser(page: Path) -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1200,900"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    driver.execute_cdp_cmd("Page.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(page.parent)})
    driver.get(page.as_uri())
    driver.set_script_timeout(60)
    draw_all(driver)
    yield driver
    driver.quit()


def draw_all(driver: Any) -> None:
    """Draw the figures that are below the window as well."""
    driver.execute_async_script("const done = arguments[0]; drawAllFigures().then(done, done)")


def test_every_figure_is_drawn_as_wide_as_its_place(browser: Any) -> None:
    script = """return [...document.querySelectorAll('.plot')].map(p => {
      const svg = p.querySelector('svg');
      return svg ? [svg.getBoundingClientRect().width, p.clientWidth] : [0, 0]; })"""
    sizes = browser.execute_script(script)
    assert len(sizes) >= 6
    assert all(0.5 * place < drawn <= place + 1 for drawn, place in sizes)


def test_hovering_shows_values(browser: Any) -> None:
    place = browser.find_element("css selector", ".plot[data-figure^=errors]")
    point = place.find_elements("css selector", ".mark-symbol path")[0]
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", place)
    webdriver.ActionChains(browser).move_to_element(point).perform()
    tip = browser.find_element("css selector", ".tip")
    assert tip.is_displayed()
    assert "configuration: " in tip.text and re.search(r"^value: [\d.]+$", tip.text, re.MULTILINE)
    webdriver.ActionChains(browser).move_to_element(browser.find_element("tag name", "h1")).perform()
    assert not tip.is_displayed()


def test_buttons_zoom_and_reset_by_keyboard(browser: Any) -> None:
    figure = browser.find_element("css selector", "figure:has(.plot[data-figure^=errors])")
    ticks = "return [...arguments[0].querySelectorAll('.role-axis-label text')].map(t => t.textContent)"
    keys = importlib.import_module("selenium.webdriver.common.keys").Keys

    def press(label: str) -> None:
        button = figure.find_element("css selector", f"button[aria-label^='{label}']")
        browser.execute_script("arguments[0].focus()", button)
        webdriver.ActionChains(browser).send_keys(keys.ENTER).perform()
        browser.execute_async_script("const done = arguments[0]; setTimeout(done, 400)")

    before = browser.execute_script(ticks, figure)
    press("zoom in")
    closer = browser.execute_script(ticks, figure)
    assert closer != before
    press("reset")
    assert browser.execute_script(ticks, figure) == before


def test_a_figure_is_downloaded(browser: Any, page: Path) -> None:
    figure = browser.find_element("css selector", "figure:has(.plot[data-figure^=effects])")
    for kind, start in (("SVG", b"<svg"), ("PNG", b"\x89PNG")):
        browser.execute_script(
            "arguments[0].click()", figure.find_element("css selector", f"button[aria-label$='as {kind}']")
        )
        saved = page.parent / f"effects_double_integrator.{kind.lower()}"
        for _ in range(100):
            if saved.exists():
                break
            time.sleep(0.1)
        assert saved.read_bytes().startswith(start)
        saved.unlink()


def test_the_values_of_a_figure_can_be_read(browser: Any) -> None:
    details = browser.find_element("css selector", "figure:has(.plot[data-figure^=effects]) details")
    browser.execute_script("arguments[0].open = true", details)
    browser.execute_async_script("const done = arguments[0]; setTimeout(done, 200)")
    table = details.find_element("tag name", "table")
    assert "label" in table.text and "significant" in table.text


def column(browser: Any, number: int) -> list[str]:
    script = (
        "return [...document.querySelectorAll('#runs-view tbody tr')].map(r => r.children[arguments[0]].textContent)"
    )
    return list(browser.execute_script(script, number))


def header(browser: Any, label: str) -> Any:
    buttons = browser.find_elements("css selector", "#runs-view thead button")
    return next(button for button in buttons if button.text.startswith(label))


def test_runs_are_sorted_both_ways(browser: Any) -> None:
    button = header(browser, "final error")
    labels = [b.text for b in browser.find_elements("css selector", "#runs-view thead button")]
    where = labels.index("final error")
    button.click()
    values = [float(v) for v in column(browser, where) if v != "not measured"]
    assert values == sorted(values) and len(values) == 100
    assert button.find_element("xpath", "..").get_attribute("aria-sort") == "ascending"
    button.click()
    values = [float(v) for v in column(browser, where) if v != "not measured"]
    assert values == sorted(values, reverse=True)
    assert button.find_element("xpath", "..").get_attribute("aria-sort") == "descending"


def test_runs_are_filtered_and_paged(browser: Any) -> None:
    status = browser.find_element("id", "runs-status")
    assert "120 of 120 rows, page 1 of 2" in status.text
    browser.find_element("id", "runs-after").click()
    assert "page 2 of 2" in status.text and len(column(browser, 0)) == 20
    search = browser.find_element("id", "runs-search")
    search.send_keys("linear 0.0002")
    assert "20 of 120 rows, page 1 of 1" in status.text
    search.clear()
    search.send_keys(" ")
    browser.find_element("css selector", "#runs-state option[value=failed]").click()
    assert "1 of 120 rows" in status.text
    browser.find_element("css selector", "#runs-state option[value='']").click()


def test_the_keyboard_reaches_and_works_the_table(browser: Any) -> None:
    browser.find_element("id", "runs-search").click()
    focused = []
    keys = importlib.import_module("selenium.webdriver.common.keys").Keys
    for _ in range(12):
        webdriver.ActionChains(browser).send_keys(keys.TAB).perform()
        focused.append(browser.switch_to.active_element)
        if focused[-1].tag_name == "button" and focused[-1].text.startswith("state"):
            break
    assert focused[-1].text.startswith("state")
    webdriver.ActionChains(browser).send_keys(keys.ENTER).perform()
    assert focused[-1].find_element("xpath", "..").get_attribute("aria-sort") == "ascending"


def test_names_are_inert(browser: Any) -> None:
    assert browser.execute_script("return document.images.length") == 0
    assert browser.execute_script("return document.querySelectorAll('b').length") == 0
    assert EVIL in browser.find_element("tag name", "body").text


def test_figures_and_tables_have_text_alternatives(browser: Any) -> None:
    script = """return [
      [...document.querySelectorAll('.plot')].every(p => p.getAttribute('aria-label') && p.role === 'img'),
      [...document.querySelectorAll('table')].every(t => t.caption && t.caption.textContent),
      [...document.querySelectorAll('th')].every(h => h.scope),
      document.querySelectorAll('.plot').length,
      [...document.querySelectorAll('[id]')].every(e => document.querySelectorAll('#' + e.id).length === 1)]"""
    svg, captions, scopes, figures, ids = browser.execute_script(script)
    assert svg and captions and scopes and ids and figures >= 6


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast(browser: Any, scheme: str) -> None:
    """WCAG AA, 4.5 to 1, for text on the page's background."""
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    script = """const seen = {};
      for (const e of document.querySelectorAll('body, dt, .status, a, caption, figcaption, svg text, label')) {
        const s = getComputedStyle(e); seen[e.namespaceURI.endsWith('svg') ? s.fill : s.color] = e.tagName; }
      return [getComputedStyle(document.body).backgroundColor, seen]"""
    background, colours = browser.execute_script(script)
    low = {colour: tag for colour, tag in colours.items() if contrast(colour, background) < 4.5}
    assert not low
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def contrast(first: str, second: str) -> float:
    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    numbers = [float(n) / 255 for n in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    linear = [n / 12.92 if n <= 0.04045 else ((n + 0.055) / 1.055) ** 2.4 for n in numbers]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_nothing_is_wider_than_a_narrow_window(browser: Any) -> None:
    metrics = {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    script = "const page = document.documentElement; return [page.scrollWidth, page.clientWidth, innerWidth]"
    content, visible, window = browser.execute_script(script)
    assert content == visible and window == 390
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_printing_hides_the_controls(browser: Any) -> None:
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": dark})
    script = "return getComputedStyle(document.querySelector(arguments[0])).display"
    assert all(browser.execute_script(script, place) == "none" for place in (".controls", ".tools", "figure details"))
    ink = browser.execute_script("return getComputedStyle(document.querySelector('.plot svg text')).fill")
    assert contrast(ink, "rgb(255, 255, 255)") > 7  # dark on paper, whatever the screen shows
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})


def test_nothing_was_requested_and_nothing_went_wrong(browser: Any, page: Path) -> None:
    sent = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = {m["params"]["request"]["url"] for m in sent if m["method"] == "Network.requestWillBeSent"}
    assert {url for url in urls if not url.startswith("data:")} == {page.as_uri()}
    assert browser.get_log("browser") == []
