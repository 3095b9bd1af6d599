"""Every hand-written specification in the repository is read, checked and designed without a complaint."""

from pathlib import Path

import pytest

from setpoint.experiments.planning.canonical import canonical_spec, check_values, spec_digest
from setpoint.experiments.planning.datasets import canonical_datasets
from setpoint.experiments.planning.experiment_types import design_runs
from setpoint.experiments.planning.spec import make_spec, read_spec_file
from setpoint.policies import BUILTIN, PRESETS

ROOT = Path(__file__).parents[1]
FOLDERS = ("configs", "experiments", "src/setpoint/experiments")
SPECS = sorted(path for folder in FOLDERS for path in (ROOT / folder).glob("*.yaml"))

DIGESTS = {
    "configs/real_model.yaml": "463384cfbd3d",
    "configs/reward.yaml": "a7fbe70dddc3",
    "configs/screen.yaml": "fa22da306b50",
    "configs/strategies.yaml": "3be03fcf2273",
    "experiments/config.yaml": "f545ea656146",
    "src/setpoint/experiments/demo.yaml": "00d5aff55971",
}
"""What names the experiments of these files; a change gives all of them other folders."""


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


@pytest.mark.parametrize("name", DIGESTS)
def test_every_specification_keeps_the_digest_that_names_its_experiment(name: str) -> None:
    spec = canonical_datasets(canonical_spec(make_spec(read_spec_file(ROOT / name))))
    assert spec_digest(spec) == DIGESTS[name]


def test_every_specification_has_its_digest_here() -> None:
    assert {path.relative_to(ROOT).as_posix() for path in SPECS} == DIGESTS.keys()
