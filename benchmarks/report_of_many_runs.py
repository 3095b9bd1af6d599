"""The report of an experiment with 10,000 runs: how long it takes, how large its page is, how fast the page answers.

Usage: `python benchmarks/report_of_many_runs.py [RUNS]`. Of the page it says so where no Chromium is installed.
"""

import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

from setpoint.artifacts import Workspace
from setpoint.seeding import generator
from setpoint.truth.folders import write_folder
from setpoint.truth.worlds import World, straight

SEEDS = 5
RANKS = (4, 8, 16, 32, 64)
RATES = (5e-5, 1e-4, 2e-4, 5e-4)


def write_experiment(root: Path, runs: int) -> Path:
    """An ordinary experiment folder with so many runs, one in fifty of which failed."""
    sizes = tuple(range(2, 2 + runs // (SEEDS * len(RANKS) * len(RATES))))
    levels = {"lora_rank": RANKS, "learning_rate": RATES, "batch_size": sizes}
    effects = {"learning_rate": straight(len(RATES), 2.0)}
    world = World(levels, SEEDS, effects, cases=20, case_sd=0.5, residual_sd=0.2, missing=0.02)
    return write_folder(world.sample(generator("benchmark", runs)), Workspace(root), "many")


def cpu_seconds() -> float:
    """What finished child processes have used, which other programs on the machine do not change much."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def milliseconds(driver: Any, script: str) -> float:
    """How long a script runs in the page, the layout that follows included."""
    timed = f"const t = performance.now(); {script}; document.body.offsetHeight; return performance.now() - t"
    return float(driver.execute_script(timed))


def drive(page: Path) -> None:
    """Open the page in headless Chromium; sort, filter and page."""
    chromium, chromedriver = shutil.which("chromium"), shutil.which("chromedriver")
    try:
        from selenium import webdriver
    except ModuleNotFoundError:
        chromium = None
    if chromium is None or chromedriver is None:
        print("the page was NOT driven: selenium, Chromium or its driver is not installed")
        return
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1200,900"):
        options.add_argument(argument)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(chromedriver))
    try:
        started = perf_counter()
        driver.get(page.as_uri())
        print(f"page loaded in {perf_counter() - started:.2f} s")
        print(driver.find_element("id", "runs-status").text)
        find = "const b = [...document.querySelectorAll('#runs-view thead button')]"
        sort = f"{find}.find(b => b.textContent === 'final error'); b.click()"
        print(f"sorted in {milliseconds(driver, sort):.0f} ms")
        search = "const s = document.getElementById('runs-search'); s.value = 'rank=32 0.0002'"
        print(f"filtered in {milliseconds(driver, search + '; s.dispatchEvent(new Event(`input`))'):.0f} ms")
        turn = "document.getElementById('runs-after').click()"
        print(f"next page in {milliseconds(driver, turn):.0f} ms")
        print(driver.find_element("id", "runs-status").text)
    finally:
        driver.quit()


def main() -> None:
    """Write, report, drive."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as root:
        folder = write_experiment(Path(root), runs)
        print(f"{runs} runs written")
        command = [sys.executable, "-m", "setpoint", "report", "many", "--workspace", root]
        for _ in range(2):  # the first one reads a cold disk
            started, before = perf_counter(), cpu_seconds()
            subprocess.run(command, check=True, capture_output=True)
            print(f"report in {perf_counter() - started:.1f} s, {cpu_seconds() - before:.1f} s of CPU time")
        page = folder / "reports" / "report.html"
        print(f"page of {page.stat().st_size / 1000:.0f} kB")
        drive(page)


if __name__ == "__main__":
    main()
