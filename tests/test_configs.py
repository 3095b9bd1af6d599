"""Every hand-written specification in the repository is read, checked and designed without a complaint."""

from pathlib import Path

import pytest

from setpoint.experiments.planning.canonical import canonical_spec, check_values
from setpoint.experiments.planning.datasets import canonical_datasets
from setpoint.experiments.planning.experiment_types import design_runs
from setpoint.experiments.planning.spec import make_spec, read_spec_file
from setpoint.policies import BUILTIN, PRESETS

ROOT = Path(__file__).parents[1]
FOLDERS = ("configs", "experiments", "src/setpoint/experiments")
SPECS = sorted(path for folder in FOLDERS for path in (ROOT / folder).glob("*.yaml"))


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_specification_is_accepted(path: Path) -> None:
    spec = canonical_datasets(canonical_spec(make_spec(read_spec_file(path))))
    check_values(spec, PRESETS["tiny" if spec.base_model == BUILTIN else "general"])
    runs = design_runs(spec)
    assert len(runs) == len({(run.configuration, run.replicate) for run in runs}) > 1


def test_all_folders_are_looked_at() -> None:
    assert {path.parent.relative_to(ROOT).as_posix() for path in SPECS} == set(FOLDERS)


def test_no_specification_repeats_another() -> None:
    specs = [canonical_spec(make_spec(read_spec_file(path))).model_dump_json() for path in SPECS]
    assert len(set(specs)) == len(specs)
