"""Two clusters: one with accounting and cgroups, one with neither, small arrays and a short memory."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab import Experiment, Lab, missing

SETTINGS = {
    "accounting": {"DBD": "1", "BASE_PORT": "26817", "ENFORCE": "limits"},
    "bare": {"DBD": "0", "BASE_PORT": "26917", "CGROUP": "0", "MAXARRAY": "11", "MIN_JOB_AGE": "15"},
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
