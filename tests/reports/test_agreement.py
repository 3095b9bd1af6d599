"""Reports against an independent recomputation, and that equal experiments give equal reports."""

import json
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from setpoint.reports import MEASUREMENT_COLUMNS, MEASUREMENT_LINES, write_reports
from support import TESTS
from support.reports import check_form, effect, rows_of, value_after
from support.synthetic_experiment import MEASURED, Synthetic

RECOMPUTE = TESTS / "support" / "recompute.py"


def test_figures_agree_with_an_independent_recomputation(tmp_path: Path) -> None:
    failed = {"lora_rank=16_learning_rate=0.0002_double_integrator_s1": "diverged"}
    folder = Synthetic(tmp_path, log_error=effect, failed=failed).write()
    report = write_reports(folder)
    done = subprocess.run([sys.executable, RECOMPUTE, folder], capture_output=True, text=True, check=True)
    expected = json.loads(done.stdout)
    text = report.read_text()
    check_form(text)
    assert value_after("Total Experiments: ", text) == str(expected["total"]) == "18"
    assert value_after("Successful Runs: ", text) == str(expected["successful"]) == "17"
    assert value_after("Failed Runs: ", text) == str(expected["failed"]) == "1"
    rows = rows_of(report)
    assert {row["run"]: float(row["final_error"]) for row in rows if row["final_error"]} == pytest.approx(
        expected["errors"]
    )
    printed = [float(value) for value in re.findall(r"^\d+\. System: .* -> Error: (\S+)", text, re.MULTILINE)]
    assert printed == pytest.approx(sorted(expected["configurations"].values()), rel=1e-3)
    average = value_after("- Average training time: ", text)
    assert float(average.split()[0]) == pytest.approx(expected["training_time_s"], abs=0.06)
    hours = re.match(r"(\S+) \(CPU: (\S+) core-hours\)", value_after("- Total GPU hours: ", text))
    assert hours is not None
    assert float(hours[1]) == expected["gpu_hours"] == 0.0
    assert float(hours[2]) == pytest.approx(expected["cpu_core_hours"], abs=0.006)
    assert float(value_after("- Peak memory usage: ", text).split()[0]) == expected["peak_memory_gb"]


def test_writing_again_gives_the_same_bytes(tmp_path: Path) -> None:
    folder = Synthetic(tmp_path, log_error=effect).write()
    report = write_reports(folder)
    files = sorted(path for path in report.parent.rglob("*") if path.is_file())
    first = [path.read_bytes() for path in files]
    write_reports(folder)
    assert [path.read_bytes() for path in files] == first


@pytest.mark.usefixtures("without_figure_files")
def test_only_what_is_declared_a_measurement_depends_on_the_clock(tmp_path: Path) -> None:
    slower = {**MEASURED, "wall_s": 400.0, "cpu_s": 380.0, "peak_rss_gb": 3.5, "gpu_hours": 0.5, "peak_gpu_gb": 20.0}
    fast, slow = (
        write_reports(Synthetic(tmp_path / name, log_error=effect, measured=measured).write())
        for name, measured in (("fast", MEASURED), ("slow", slower))
    )

    def text_without_measurements(report: Path) -> list[str]:
        return [line for line in report.read_text().splitlines() if not line.startswith(MEASUREMENT_LINES)]

    def rows_without_measurements(report: Path) -> list[dict[str, str]]:
        return [{k: v for k, v in row.items() if k not in MEASUREMENT_COLUMNS} for row in rows_of(report)]

    assert text_without_measurements(fast) == text_without_measurements(slow)
    assert rows_without_measurements(fast) == rows_without_measurements(slow)
    assert fast.with_name("claims.json").read_bytes() == slow.with_name("claims.json").read_bytes()
    assert "20.00 GB on one GPU" in slow.read_text()


def test_the_recomputation_imports_nothing_of_the_package() -> None:
    assert "setpoint" not in RECOMPUTE.read_text()
    assert "recompute" in runpy.run_path(str(RECOMPUTE))
