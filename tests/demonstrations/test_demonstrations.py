"""Data sets: reproducible, without leaks, refused when damaged, and safe when two processes make the same one."""

import json
import multiprocessing
import random
from pathlib import Path

import numpy as np
import pytest

from setpoint import problems
from setpoint.artifacts import Workspace
from setpoint.cli.main import main
from setpoint.controllers import ClippedLqr, solve_riccati
from setpoint.demonstrations import (
    SPLITS,
    Recipe,
    changed_problems,
    create,
    ensure,
    list_datasets,
    load_rows,
    names,
    open_dataset,
)
from setpoint.demonstrations.draw import MIN_DISTANCE, draw_trajectory
from setpoint.demonstrations.generate import GeneratedRows, generate
from setpoint.demonstrations.solve import Solution, StateSolver
from setpoint.errors import InputError, SetpointError
from setpoint.problems import COARSE_TO_FINE, MoveBlocking, suite_states
from setpoint.simulation import run_controller, simulate
from support.damage import damage_file

DI, VDP = "double_integrator", "van_der_pol"
SMALL = Recipe((DI,), 60, 0.8)


@pytest.fixture(scope="module")
def generated() -> GeneratedRows:
    return generate(SMALL, workers=1)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with one small dataset of two systems; only to be read."""
    workspace = Workspace(tmp_path_factory.mktemp("workspace"))
    create(workspace, "both", Recipe((DI, VDP), 121, 0.8))
    return workspace


def test_rows_do_not_depend_on_the_number_of_processes(generated: GeneratedRows) -> None:
    reported: list[tuple[int, int]] = []
    parallel = generate(SMALL, workers=3, progress=lambda done, total: reported.append((done, total)))
    assert parallel == generated
    assert reported == sorted(reported)
    assert reported[-1] == (60, 60)


@pytest.mark.slow
def test_labels_are_the_same_to_the_last_bit_on_one_and_on_eight_workers() -> None:
    recipe = Recipe(("cw_rendezvous", "double_integrator_tight", "detumble"), 300)
    alone, together = (generate(recipe, workers=workers) for workers in (1, 8))
    assert repr(alone) == repr(together)


def test_two_solvers_are_compared_and_the_manifest_says_so(shared: Workspace) -> None:
    found = open_dataset(shared, "both").certificate["agreement"]
    assert {system: (part["states"], part["compared"]) for system, part in found.items()} == {DI: (3, 3), VDP: (3, 3)}
    assert all(part["largest_difference"] < 1e-8 for part in found.values())


def test_rows_say_what_they_mean(shared: Workspace) -> None:
    info = open_dataset(shared, "both")
    for system in info.systems:
        problem = problems.get(system)
        rows = load_rows(info, "train", system)
        trajectory = simulate(problem.plant, rows.states, COARSE_TO_FINE.expand(rows.moves))
        assert rows.costs == pytest.approx(problem.cost(trajectory.states, trajectory.controls), rel=1e-12)
        assert (rows.costs >= rows.optimal_costs * (1 - 1e-9)).all()
        assert np.median(rows.costs / rows.optimal_costs) < 1.01
        assert rows.states == pytest.approx(np.round(rows.states, 4), abs=0)
        gain = solve_riccati(problem).gains[0]
        assert rows.feedback == pytest.approx(-rows.states @ gain.T, rel=1e-12, abs=1e-12)
        assert rows.kinds.count("initial") == rows.kinds.count("visited")


def test_visited_states_lie_near_optimal_trajectories(generated: GeneratedRows) -> None:
    problem = problems.get(DI)
    rows = generated.rows["train"]
    for initial, visited in zip(rows[::2], rows[1::2], strict=True):
        assert initial.trajectory_id == visited.trajectory_id
        optimal = run_controller(problem, ClippedLqr(problem), np.array([initial.state])).trajectory.states[0, 1:41]
        nearest = np.abs((optimal - np.array(visited.state)) / np.array(problem.half_width)).max(axis=-1).min()
        assert nearest < 0.4  # four standard deviations of the largest noise


def test_splits_share_no_trajectory_and_no_state(generated: GeneratedRows) -> None:
    trajectories = [{row.trajectory_id for row in generated.rows[split]} for split in SPLITS]
    assert [len(found) for found in trajectories] == [24, 3, 3]
    assert len(set.union(*trajectories)) == 30
    assert distance(generated, "train", held_out(generated)) > MIN_DISTANCE
    suite = suite_states(problems.get(DI), "nominal", 300)
    for split in SPLITS:
        assert distance(generated, split, suite) > MIN_DISTANCE


def held_out(generated: GeneratedRows) -> np.ndarray:
    return np.array([row.state for split in ("validation", "test") for row in generated.rows[split]])


def distance(generated: GeneratedRows, split: str, others: np.ndarray) -> float:
    states = np.array([row.state for row in generated.rows[split]])  # type: ignore[index]
    offsets = (states[:, None] - others[None]) / np.array(problems.get(DI).half_width)
    return float(np.abs(offsets).max(axis=-1).min())


def test_what_a_small_data_set_holds_out_a_larger_one_does_not_train_on(generated: GeneratedRows) -> None:
    larger = generate(Recipe((DI,), 200, 0.8), workers=1)
    assert distance(larger, "train", held_out(generated)) > MIN_DISTANCE
    assert {tuple(state) for state in held_out(generated)} <= {tuple(state) for state in held_out(larger)}


def test_a_draw_near_a_forbidden_state_is_made_again(generated: GeneratedRows) -> None:
    solver = StateSolver(problems.get(DI), COARSE_TO_FINE)
    first = draw_trajectory(solver, 0, np.full((1, 2), 9.0), "demonstrations", 0)
    for forbidden in (first.initial.state, first.visited.state):
        again = draw_trajectory(solver, 0, forbidden[None] + 5e-4, "demonstrations", 0)
        assert (again.too_close, again.uncertified) == (1, 0)
        assert not np.array_equal(again.initial.state, first.initial.state)


class RefusingSolver(StateSolver):
    """Certifies nothing after its first `certified` solves."""

    def __init__(self, certified: int) -> None:
        super().__init__(problems.get(DI), COARSE_TO_FINE)
        self._left = certified

    def solve(self, x: np.ndarray) -> Solution | None:
        self._left -= 1
        return super().solve(x) if self._left >= 0 else None


def test_what_is_not_certified_is_never_a_row() -> None:
    with pytest.raises(SetpointError, match="100 without a certified optimum, 0 too close"):
        draw_trajectory(RefusingSolver(1), 0, np.full((1, 2), 9.0), "demonstrations", 0)


def test_the_detuned_expert_answers_the_same_states_worse(generated: GeneratedRows) -> None:
    detuned = generate(Recipe((DI,), 60, 0.8, expert="detuned"), workers=1)
    for split in SPLITS:
        for row, optimal in zip(detuned.rows[split], generated.rows[split], strict=True):
            assert (row.state, row.optimal_cost, row.expert) == (optimal.state, optimal.optimal_cost, "detuned")
            assert row.cost > optimal.cost


def test_the_manifest_counts_and_the_digest_is_of_the_content(tmp_path: Path) -> None:
    one, same, other = (
        create(Workspace(tmp_path / name), None, recipe)
        for name, recipe in (("a", SMALL), ("b", SMALL), ("c", Recipe((DI,), 62, 0.8)))
    )
    assert one.digest == same.digest != other.digest
    assert (one.name, one.systems, one.total_rows) == (DI, (DI,), 60)
    assert {split: rows[DI] for split, rows in one.rows.items()} == {"train": 48, "validation": 6, "test": 6}
    assert one.rejection_rate == {DI: 0.0}
    assert one.certificate["worst_gap"] < 1e-9
    assert sum(one.certificate["solvers"].values()) == 60


def test_an_odd_number_of_rows_is_kept(shared: Workspace) -> None:
    info = open_dataset(shared, "both")
    totals = {system: sum(info.rows[split][system] for split in SPLITS) for system in info.systems}
    assert totals == {DI: 61, VDP: 60}
    ids = [load_rows(info, split, system).row_ids for split in SPLITS for system in info.systems]
    assert sorted(np.concatenate(ids).tolist()) == list(range(121))


@pytest.mark.parametrize("name", ["di", "double_integrator", "double_integrator_dataset", "di_dataset", None])
def test_names_of_a_system_mean_the_same_content(tmp_path: Path, name: str | None) -> None:
    workspace = Workspace(tmp_path)
    made = ensure(workspace, name, ["di"], total_samples=20)
    assert made.path == tmp_path / "datasets" / DI
    stamp = (made.path / "manifest.json").stat().st_mtime_ns
    assert ensure(workspace, "double_integrator_dataset", [DI]).digest == made.digest
    assert (made.path / "manifest.json").stat().st_mtime_ns == stamp


def test_experts_blocks_and_sets_of_systems_have_folders_of_their_own(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    ensure(workspace, "di", ["di"], total_samples=20)
    ensure(workspace, "di", ["di"], total_samples=20, expert="detuned")
    ensure(workspace, "di", ["di"], total_samples=20, blocks=MoveBlocking.none(50))
    ensure(workspace, None, ["di", "vdp"], total_samples=40)
    found = {info.name: (info.expert, info.blocking.moves) for info in list_datasets(workspace)}
    assert found == {
        DI: ("optimal", 10),
        f"{DI}+{VDP}": ("optimal", 10),
        f"{DI}-50moves": ("optimal", 50),
        f"{DI}-detuned": ("detuned", 10),
    }
    assert open_dataset(workspace, "di-detuned").expert == "detuned"


def test_names_are_understood_without_the_disk() -> None:
    assert names.parse("di+vdp_dataset") == names.joined((DI, VDP))
    assert names.parse("di-detuned").of_expert("optimal").expert == "detuned"
    assert names.parse("my_data").systems == ()
    for unusable in ("", "../di", "a b", ".hidden"):
        with pytest.raises(InputError, match="a dataset name must be"):
            names.parse(unusable)


def test_a_name_of_ones_own_must_exist(tmp_path: Path) -> None:
    command = "setpoint data generate --systems double_integrator --dataset-name mine"
    with pytest.raises(InputError, match=command):
        ensure(Workspace(tmp_path), "mine", ["di"])
    with pytest.raises(InputError, match=command):
        open_dataset(Workspace(tmp_path), "mine")
    assert not (tmp_path / "datasets").exists()


def test_a_data_set_must_hold_the_systems_and_the_size_that_are_asked_for(shared: Workspace) -> None:
    assert ensure(shared, "both", [VDP, DI]).name == "both"
    with pytest.raises(InputError, match="but not pendulum"):
        ensure(shared, "both", ["pend"])
    with pytest.raises(InputError, match="but not van_der_pol"):
        ensure(shared, "di", ["vdp"])
    with pytest.raises(InputError, match="total_samples is 121, not 500"):
        ensure(shared, "both", ["di"], total_samples=500)
    with pytest.raises(InputError, match="exists with other settings: blocks"):
        ensure(shared, "both", ["di"], blocks=MoveBlocking.none(50))
    with pytest.raises(InputError, match="contains double_integrator, van_der_pol, but not pendulum"):
        load_rows(open_dataset(shared, "both"), "train", "pendulum")


def test_everything_that_is_wrong_with_a_recipe_is_said_at_once() -> None:
    with pytest.raises(InputError) as caught:
        Recipe((DI,), 5, 1.0, expert="perfect")  # type: ignore[arg-type]
    message = str(caught.value)
    assert "split ratio" in message
    assert "at least 6 rows" in message
    assert "unknown expert 'perfect'" in message
    with pytest.raises(InputError, match="cover the 50 steps"):
        Recipe((DI,), 20, blocking=MoveBlocking((1, 2)))


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    info = create(Workspace(tmp_path), None, Recipe((DI,), 20))
    path = info.path / "train.parquet"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match="Delete the folder"):
        load_rows(info, "train", DI)
    assert len(load_rows(info, "test", DI)) > 0


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"schema": 99}'])
def test_a_damaged_manifest_is_refused(tmp_path: Path, content: str) -> None:
    workspace = Workspace(tmp_path)
    info = create(workspace, None, Recipe((DI,), 20))
    (info.path / "manifest.json").write_text(content)
    with pytest.raises(InputError, match="Delete the folder"):
        ensure(workspace, "di", ["di"])
    assert list_datasets(workspace) == []


def test_a_damaged_manifest_costs_no_other_dataset(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    info = create(workspace, "damaged", Recipe((DI,), 20))
    create(workspace, "whole", Recipe((DI,), 20))
    path, rng = info.path / "manifest.json", random.Random(5)
    whole = path.read_text()
    changes = [{"files": ""}, {"systems": []}, {"systems": ["../x"]}, {"rejection_rate": {}}, {"rows": {"train": 1}}]
    for change in changes:
        path.write_text(json.dumps({**json.loads(whole), **change}))
        told: list[InputError] = []
        assert [found.name for found in list_datasets(workspace, told.append)] == ["whole"]
        assert [str(path) in str(error) for error in told] == [True]
    for _ in range(40):
        path.write_text(whole)
        damage_file(path, rng)
        assert "whole" in [found.name for found in list_datasets(workspace)]


def test_data_of_another_problem_are_not_taken_for_this_one(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    info = create(workspace, None, Recipe((DI,), 20))
    manifest = json.loads((info.path / "manifest.json").read_text())
    manifest["recipe"]["problems"][DI]["terminal_weight"] = 3.0
    (info.path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="other settings: problems"):
        ensure(workspace, "di", ["di"])


def _make(root: Path) -> None:
    create(Workspace(root), "di", SMALL, workers=1)


def test_two_processes_may_make_the_same_data_set(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    makers = [context.Process(target=_make, args=(tmp_path,)) for _ in range(3)]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join(60)
    assert [maker.exitcode for maker in makers] == [0, 0, 0]
    info = open_dataset(Workspace(tmp_path), "di")
    assert sum(len(load_rows(info, split, DI)) for split in SPLITS) == 60
    assert [path.name for path in (tmp_path / "datasets").iterdir()] == [DI]


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("setpoint.demonstrations.dataset.write_rows", fail)
    with pytest.raises(OSError, match="No space left"):
        create(Workspace(tmp_path), None, Recipe((DI,), 20))
    assert list((tmp_path / "datasets").iterdir()) == []


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_a_data_set_that_was_cut_off_is_refused_when_it_is_asked_for(split: str, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    file = ensure(workspace, None, [DI], total_samples=20).path / f"{split}.parquet"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(InputError, match=f"{split}.parquet' is missing, truncated or changed"):
        ensure(workspace, None, [DI])
    file.unlink()
    with pytest.raises(InputError, match="regenerate the data"):
        ensure(workspace, None, [DI])


def test_a_problem_that_changed_since_is_named_where_it_differs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = Workspace(tmp_path)
    info = create(workspace, "small", Recipe((DI,), 8), workers=1)
    assert changed_problems(info) == []
    manifest = json.loads((info.path / "manifest.json").read_text())
    manifest["recipe"]["problems"][DI]["q"] = [10.0, 2.5]
    (info.path / "manifest.json").write_text(json.dumps(manifest))
    assert changed_problems(open_dataset(workspace, "small")) == [
        "problems.double_integrator.q is [10.0, 2.5], not [10.0, 10.0]"
    ]
    with pytest.raises(InputError, match=r"other settings: problems.double_integrator.q is \[10.0, 2.5\], not"):
        ensure(workspace, "small", ["di"])
    assert main(["data", "show", "small", "--workspace", str(tmp_path)]) == 0
    shown = capsys.readouterr()
    assert "small was generated for earlier problem definitions (problems.double_integrator.q is" in shown.err
