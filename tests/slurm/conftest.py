"""Two clusters: one with accounting and cgroups, one with neither, small arrays and a short memory."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab import Experiment, Lab, missing

PORT = 20000 + 40 * (os.getpid() % 250)
"""The first of forty ports, so that two runs of these tests do not meet."""
SETTINGS = {
    "accounting": {"DBD": "1", "BASE_PORT": str(PORT), "ENFORCE": "limits"},
    "bare": {"DBD": "0", "BASE_PORT": str(PORT + 20), "CGROUP": "0", "MAXARRAY": "11", "MIN_JOB_AGE": "15"},
}


def _cluster(name: str) -> Iterator[Lab]:
    settings = SETTINGS[name]
    reason = missing(accounting=settings["DBD"] == "1")
    if reason is not None:
        pytest.skip(f"NO REAL SLURM: {reason}")
    lab = Lab(Path(tempfile.mkdtemp(prefix="setpoint-slurm-")), settings)
    try:
        lab.up()
        yield lab
    finally:
        lab.down()


@pytest.fixture(scope="module", params=list(SETTINGS))
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """Each of the two clusters in turn."""
    yield from _cluster(request.param)


@pytest.fixture(scope="module")
def accounting_lab() -> Iterator[Lab]:
    yield from _cluster("accounting")


@pytest.fixture(scope="module")
def bare_lab() -> Iterator[Lab]:
    yield from _cluster("bare")


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    """An empty experiment."""
    return Experiment(tmp_path)
