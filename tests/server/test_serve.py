"""The local page: what it refuses, what it shows, and how it behaves in a real browser with a thousand runs."""

import http.client
import json
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from setpoint.artifacts import Workspace
from setpoint.cli.main import main
from setpoint.records.plan import Plan, read_plan
from setpoint.records.state import ExperimentState, ExperimentStatus, RunState, RunStatus, write_state
from setpoint.server import views
from support.synthetic_experiment import Synthetic

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
EVIL = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished experiment with hostile texts, and one of a thousand runs that have not started."""
    root = tmp_path_factory.mktemp("work")
    failed = {"schedule=linear_lora_rank=4_double_integrator_s1": "crash"}
    factors = {"schedule": (EVIL, "linear"), "lora_rank": (4, 8)}
    Synthetic(root, "small", factors=factors, replicates=2, failed=failed).write()
    return root


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("many")
    ranks, rates = tuple(range(1, 11)), tuple(k * 1e-4 for k in range(1, 11))
    factors = {"lora_rank": ranks, "learning_rate": rates}
    Synthetic(root, "large", factors=factors, replicates=10, unstarted=("lora",)).write()
    set_states(root, 0)
    return root


def set_states(root: Path, done: int) -> Plan:
    """As if `done` of the thousand runs were finished."""
    plan = read_plan(root / "experiments" / "large")
    assert plan is not None and len(plan.runs) == 1000
    states = {run.name: RunState(RunStatus.OK if run.index < done else RunStatus.PLANNED) for run in plan.runs}
    write_state(root / "experiments" / "large", ExperimentState("large", ExperimentStatus.INTERRUPTED, states))
    return plan


def served(root: Path) -> Iterator[str]:
    line = [sys.executable, "-m", "setpoint", "serve", "--workspace", str(root)]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
def address(root: Path) -> Iterator[str]:
    yield from served(root)


def ask(address: str, path: str, method: str = "GET", **headers: str) -> tuple[int, Any, str]:
    """Status, headers and body of an answer to `path` below the address."""
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 0, timeout=30)
    connection.request(method, parts.path + path, headers=headers)
    answer = connection.getresponse()
    return answer.status, answer.headers, answer.read().decode()


def test_the_page_and_its_views_are_served(address: str) -> None:
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{32}/", address)
    for path, kind in (("", "text/html"), ("files/page.js", "text/javascript"), ("files/page.css", "text/css")):
        status, headers, body = ask(address, path)
        assert (status, headers["content-type"].partition(";")[0]) == (200, kind)
        assert body
        assert "default-src 'none'" in headers["content-security-policy"]
    status, _, body = ask(address, "api/experiments/small")
    found = json.loads(body)
    assert (status, len(found["runs"]), found["counts"]) == (200, 8, {"ok": 7, "failed": 1})
    name = next(run["name"] for run in found["runs"] if run["state"] == "ok")
    run = json.loads(ask(address, f"api/experiments/small/runs/{name}")[2])
    assert run["parameters"]["lora_rank"] in {4, 8}
    assert len(run["curves"]["sft/loss"]) > 1


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_there_is_no_verb_that_writes(method: str, address: str) -> None:
    assert ask(address, "api/experiments", method)[0] == 405


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("files/../page.html", 404),
        ("files/app.py", 404),
        ("api/experiments/..%2Fsmall", 404),
        ("api/experiments/none", 404),
        ("api/experiments/small/runs/none", 404),
        ("reports/none", 404),
    ],
)
def test_other_addresses_are_not_found(path: str, status: int, address: str) -> None:
    assert ask(address, path)[0] == status


def test_without_the_token_or_from_another_host_there_is_nothing(address: str) -> None:
    parts = urlsplit(address)
    bare = f"{parts.scheme}://{parts.netloc}/"
    for path in ("", "api/experiments", "wrong-token/api/experiments"):
        assert ask(bare, path)[0] == 404
    assert ask(address, "api/experiments", Host="example.org")[0] == 403
    assert ask(address, "api/experiments", Host=f"evil.example:{parts.port}")[0] == 403


def test_it_listens_on_the_loopback_interface_only(address: str) -> None:
    port = urlsplit(address).port
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            pytest.skip("no other interface")
        other = probe.getsockname()[0]
    if other.startswith("127."):
        pytest.skip("no other interface")
    with pytest.raises(OSError), socket.create_connection((other, port), timeout=5):
        pass


def test_reports_have_no_origin(address: str, root: Path) -> None:
    assert ask(address, "reports/small")[0] == 404
    assert main(["report", "small", "--workspace", str(root), "--no-figures"]) == 0
    status, headers, body = ask(address, "reports/small")
    assert status == 200 and "<html" in body
    assert headers["content-security-policy"].startswith("sandbox allow-scripts")
    assert "allow-same-origin" not in headers["content-security-policy"]


def test_a_thousand_runs_are_read_quickly(many: Path) -> None:
    views.experiment(Workspace(many), "large")
    begun = time.process_time()
    assert len(views.experiment(Workspace(many), "large")["runs"]) == 1000
    assert time.process_time() - begun < 0.2
    begun = time.process_time()
    views.experiments(Workspace(many))
    assert time.process_time() - begun < 0.2


@pytest.mark.parametrize("port", ["-1", "65536", "x"])
def test_ports(port: str) -> None:
    assert main(["serve", "--port", port]) == 3


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    webdriver = pytest.importorskip("selenium.webdriver")
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("Chromium and its driver are not installed: the page was NOT driven")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1200,900"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    driver.set_script_timeout(60)
    yield driver
    driver.quit()


def wait(browser: Any, script: str, seconds: float = 30.0) -> Any:
    """The value of a script as soon as it is true."""
    deadline = time.monotonic() + seconds
    while not (value := browser.execute_script(f"return {script}")):
        assert time.monotonic() < deadline, script
        time.sleep(0.05)
    return value


def test_names_are_text_logs_open_and_the_keyboard_works(browser: Any, address: str) -> None:
    from selenium.webdriver import ActionChains, Keys

    browser.get(address)
    wait(browser, "document.querySelectorAll('#runs tr').length === 8")
    assert browser.execute_script("return document.querySelectorAll('#runs img').length") == 0
    ActionChains(browser).send_keys("/").send_keys("failed").perform()
    assert wait(browser, "[...document.querySelectorAll('#runs tr')].filter(r => !r.hidden).length === 1")
    ActionChains(browser).send_keys(Keys.TAB).perform()
    focused = "document.activeElement.closest('#runs') !== null"
    for _ in range(3):
        if browser.execute_script(f"return {focused}"):
            break
        ActionChains(browser).send_keys(Keys.TAB).perform()
    assert browser.execute_script(f"return {focused}")
    ActionChains(browser).send_keys(Keys.ENTER).perform()
    assert wait(browser, "!document.getElementById('detail').hidden && document.activeElement.id === 'name'")
    assert wait(browser, "document.querySelectorAll('#parameters dt').length > 3")
    ActionChains(browser).send_keys(Keys.ESCAPE).perform()
    assert wait(browser, "document.getElementById('detail').hidden")
    browser.execute_script("document.getElementById('filter').value = ''; filter()")
    browser.execute_script("document.querySelector('#runs tr[data-state=ok] button').click()")
    assert wait(browser, "document.querySelectorAll('#curves svg').length > 0")
    severe = [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert severe == []


def test_a_thousand_runs_appear_at_once_and_change_while_one_watches(browser: Any, many: Path) -> None:
    for address in served(many):
        browser.get(address)
        wait(browser, "document.querySelectorAll('#runs tr').length === 1000")
        painted = browser.execute_script("return performance.getEntriesByName('first-contentful-paint')[0].startTime")
        set_states(many, 37)
        assert wait(browser, "document.querySelectorAll('#runs tr[data-state=ok]').length === 37")
        script = (
            "const done = arguments[0], begun = performance.now();refresh().then(() => done(performance.now() - begun))"
        )
        update_ms = min(browser.execute_async_script(script) for _ in range(3))
        print(f"first paint {painted:.0f} ms, update {update_ms:.0f} ms")
        assert painted < 1000
        assert update_ms < 1000
