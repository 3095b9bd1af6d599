"""Every public function with arguments of every wrong type: an input error, never a raw one."""

import contextlib
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import setpoint as sp
from setpoint.experiments.planning.spec import SPECS
from setpoint.experiments.planning.spec_fields import SET_BY_SEARCH
from support.notebook_cart import cart

WRONG: tuple[Any, ...] = (None, 3, -1.5, True, "x", "", b"x", [], [None], ["x"], {}, {"x": object()}, object(), object)

SPECIFICATIONS = {"Sweep", "CrossSystem", "Ablation", "Transfer", "Train"}

DI = "double_integrator"
TABLE = {"rank": [4, 4, 8, 8], "error": [1.0, 1.1, 2.0, 2.1], "seed": [0, 1, 0, 1]}


def _defaults(kind: type[Any]) -> dict[str, Any]:
    parameters = inspect.signature(kind).parameters.values()
    return {each.name: each.default for each in parameters if each.default is not each.empty}


def _calls(folder: Path) -> dict[str, tuple[Callable[..., Any], Mapping[str, Any]]]:
    """Public callables with valid arguments by keyword."""
    problem, lqr = sp.problem(DI), sp.ClippedLqr(sp.problem(DI))
    controls = np.zeros((1, 50, 1))
    problem_fields = {
        "plant": problem.plant, "steps": 50, "q": (1.0, 1.0), "r": (0.1,), "terminal_weight": 1.0,
        "target": (0.0, 0.0), "half_width": (0.5, 0.5), "evaluation_mode": "open_loop", "open_loop": True,
        "detuned_gain": 0.5, "centre": None, "starts": 1,
    }  # fmt: skip

    def planned(kind: type[Any]) -> Callable[..., Any]:
        return lambda **fields: kind(**fields).spec()

    evaluation = sp.evaluate(lqr, cases=1, replan_every=None)
    return {
        "problem": (sp.problem, {"name": DI}),
        "register_system": (sp.register_system, {"problem": cart()}),
        "simulate": (
            sp.simulate,
            {"problem": DI, "x0": [0.1, 0.0], "controls": lqr, "replan_every": 5, "disturbance": sp.Disturbance()},
        ),
        "simulate controls": (sp.simulate, {"problem": DI, "x0": [0.1, 0.0], "controls": controls}),
        "optimal": (sp.optimal, {"problem": DI, "x0": [0.1, 0.0]}),
        "evaluate": (
            sp.evaluate,
            {
                "controller": lqr,
                "problem": DI,
                "cases": 1,
                "suite": "nominal",
                "replan_every": None,
                "disturbance": sp.Disturbance(),
            },
        ),
        "Evaluation.summary": (evaluation.summary, {"system": DI, "mode": "open_loop", "controller": "lqr"}),
        "Evaluation.plot": (evaluation.plot, {"case": 0, "mode": "open_loop"}),
        "analyze": (
            sp.analyze,
            {
                "table": TABLE,
                "response": "error",
                "factors": "rank",
                "block": "seed",
                "larger_is_better": False,
                "scale": "log",
                "alpha": 0.05,
                "adaptive": False,
            },
        ),
        "load_policy": (sp.load_policy, {"adapter": folder / "none", "problem": DI, "base_model": None}),
        "load_experiment": (sp.load_experiment, {"workspace": folder, "experiment_id": "none"}),
        **{
            kind.__name__: (planned(kind), {**_defaults(kind), **required})
            for kind, required in (
                (sp.Sweep, {"systems": [DI]}),
                (sp.CrossSystem, {"systems": [DI, "pendulum"]}),
                (sp.Ablation, {"systems": [DI]}),
                (sp.Transfer, {"source_system": DI, "target_systems": ["pendulum"]}),
                (sp.Train, {"systems": [DI]}),
            )
        },
        "plan": (
            sp.Train(systems=DI).plan,
            {"workspace": folder, "experiment_id": "one", "fresh": False, "accept_changes": False},
        ),
        "estimate": (sp.Train(systems=DI).plan(folder).estimate, {"workers": 1}),
        "Slurm": (sp.Slurm, {"profile": None, "resource_limits": "mem:2GB"}),
        "Disturbance": (
            sp.Disturbance,
            {"state_noise": 0.0, "input_noise": 0.0, "mismatch": 0.0, "delay_steps": 0, "seed": 0},
        ),
        "Problem": (sp.Problem, problem_fields),
        "Signal": (sp.Signal, {"name": "a", "unit": "m", "lower": -1.0, "upper": 1.0}),
        "ClippedLqr": (sp.ClippedLqr, {"problem": problem, "control_weight": 1.0}),
        "ZeroControl": (sp.ZeroControl, {"problem": problem}),
        "OptimalController": (sp.OptimalController, {"problem": problem}),
        "ModelPredictive": (sp.ModelPredictive, {"problem": problem}),
        "TrackingLqr": (sp.TrackingLqr, {"problem": problem}),
        "ControlPlan.of": (sp.ControlPlan.of, {"controls": controls}),
        "ClippedLqr.plan": (lqr.plan, {"t": 0.0, "x": [0.1, 0.0], "steps": 50}),
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("workspace")


@pytest.fixture(scope="module")
def calls(folder: Path) -> dict[str, tuple[Callable[..., Any], Mapping[str, Any]]]:
    return _calls(folder)


NEVER_VALID = (object(), object, b"x", {"x": object()})
"""Values that no argument takes."""
NAMES = [*_calls(Path("unused"))]


@pytest.mark.parametrize("name", NAMES)
def test_arguments_of_every_wrong_type_are_input_errors(
    name: str, folder: Path, calls: dict[str, tuple[Callable[..., Any], Mapping[str, Any]]]
) -> None:
    call, arguments = calls[name]
    for argument in arguments:
        for value in WRONG:
            with contextlib.suppress(sp.InputError):
                call(**{**arguments, argument: value})
        for value in NEVER_VALID if name not in SPECIFICATIONS else ():
            with pytest.raises(sp.InputError):
                call(**{**arguments, argument: value})
    assert not [*folder.iterdir()]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": True}, "workers must be a whole number of at least 1, got True"),
        ({"on": "local"}, "on must be a Slurm cluster"),
        ({"retry": 3}, "retry must be True or False, got 3"),
        ({"limits": 60.0}, r"limits must be a Limits, got 60\.0"),
        ({"notify": "print"}, "notify must be a function of one text, got 'print'"),
    ],
)
def test_options_of_a_run_are_checked_before_it_starts(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(sp.InputError, match=message):
        sp.Train(systems=DI).plan(tmp_path / "work").run(**options)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sp.Sweep(systems=DI, params={"lora_rank": [4]}), "unknown field of Sweep 'params'. Did you mean 'pa"),
        (lambda: sp.Sweep(system=DI), "(?s)unknown field of Sweep 'system'. Did you mean 'systems'.*Sweep needs `sys"),
        (lambda: sp.Sweep(systems=DI, strategies="sft_only"), "`strategies` is a field of Ablation, not of Sweep"),
        (lambda: sp.Train(systems=DI, replicates=3), "`replicates` is a field of .*, not of Train"),
        (lambda: sp.analyze({0: [1, 2], "error": [1.0, 2.0]}, response="error", factors="0"), "named by text, got 0"),
        (lambda: sp.Slurm("no.yaml"), "no.yaml"),
        (lambda: sp.Slurm(resource_limits="gpus:1"), "unknown resource 'gpus'. Did you mean 'gpu'"),
        (lambda: sp.simulate(DI, [0.1, 0.0], np.zeros((10, 1))), "horizon of double_integrator, N = 50 steps, got 10"),
        (lambda: sp.load_policy(3), "adapter must be a path, got 3"),
        (lambda: sp.load_experiment("w", None), "experiment_id must be text, and not empty, got None"),
        (lambda: sp.Train(systems=DI).plan(workspace=3), "workspace must be a path, got 3"),
        (lambda: sp.analyze(TABLE, response="error", factors="rank", alpha="x"), "alpha must be a number, got 'x'"),
    ],
)
def test_messages_name_the_argument_and_the_remedy(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(sp.InputError, match=message):
        call()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("lqr", r"a controller must be an object .* got 'lqr'. A trained adapter is loaded by load_policy\(path\)"),
        (Path("models"), r"loaded by load_policy\(path\)"),
        (sp.ClippedLqr, r"Make an object of it: ClippedLqr\(problem\)"),
        ([sp.ClippedLqr(sp.problem(DI))], r"a controller must be an object with a text attribute `name`"),
    ],
)
def test_what_is_no_controller_is_told_what_one_is(given: Any, message: str) -> None:
    with pytest.raises(sp.InputError, match=message):
        sp.evaluate(given)


def test_a_controller_without_a_problem_is_named() -> None:
    class Mine:
        name = "mine"

        def plan(self, t: float, x: np.ndarray, steps: int) -> sp.ControlPlan:
            return sp.ControlPlan.of(np.zeros((len(x), steps, 1)))

    with pytest.raises(sp.InputError, match=r"controller 'mine' has no attribute `problem`. Pass one"):
        sp.evaluate(Mine())


@pytest.mark.parametrize("cases", [5.5, np.float64(2.0), 0, -3])
def test_cases_are_counted_in_whole_numbers(cases: Any) -> None:
    with pytest.raises(sp.InputError, match=r"whole number of cases|at least one case"):
        sp.evaluate(sp.ClippedLqr(sp.problem(DI)), cases=cases)


def test_a_folder_without_an_adapter_is_not_called_damaged(tmp_path: Path) -> None:
    with pytest.raises(sp.InputError, match=r"not an adapter trained by setpoint: it has no setpoint\.json\. Give the"):
        sp.load_policy(tmp_path)


def test_the_nearest_public_name_is_suggested() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'simulat'\. Did you mean 'simulate'\?"):
        sp.simulat  # noqa: B018


@pytest.mark.parametrize(
    ("specification", "message"),
    [
        (sp.Train(systems=DI, start_from="x"), "no finished adapter 'x'"),
        (sp.Sweep(systems=DI, parameters={"lora_rank": [4, 8]}, confirms="foo"), "no experiment 'foo'"),
    ],
)
def test_a_plan_needs_what_it_starts_from(specification: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(sp.InputError, match=message):
        specification.plan(tmp_path)


def test_a_workspace_is_no_file(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(sp.InputError, match="the workspace must be a folder"):
        sp.Train(systems=DI).plan(file)


def test_a_frame_with_two_columns_of_one_name_is_refused() -> None:
    import pandas

    frame = pandas.DataFrame([[1, 2, 0.5]], columns=["rank", "rank", "error"])
    with pytest.raises(sp.InputError, match="duplicate column rank in the table"):
        sp.analyze(frame, response="error", factors="rank")


def test_one_list_of_numbers_controls_a_plant_with_one_input() -> None:
    moves = np.linspace(-1.0, 1.0, 50)
    one, column = (sp.simulate(DI, [0.1, 0.0], given) for given in (moves.tolist(), moves[:, None]))
    assert np.array_equal(one.states, column.states)
    with pytest.raises(sp.InputError, match=r"of shape \(N, 2\) or \(1, N, 2\), or a controller, got shape \(50,\)"):
        sp.simulate("cw_rendezvous", sp.problem("cw_rendezvous").target, moves)


@pytest.mark.parametrize("kind", [sp.Sweep, sp.CrossSystem, sp.Ablation, sp.Transfer, sp.Train])
def test_a_specification_takes_the_fields_of_its_type(kind: type[Any]) -> None:
    """Neither the specification nor the keywords of its class can gain a field without the other."""
    taken = set(inspect.signature(kind).parameters)
    fields = set(SPECS[kind.experiment_type].model_fields) - {"type"} - SET_BY_SEARCH
    if kind is sp.Train:
        fields = fields - {"fixed", "training_types"} | {"parameters", "training_type"}
    assert taken == fields


def test_a_problem_and_a_policy_show_what_they_are() -> None:
    page = sp.problem("pendulum")._repr_html_()
    assert "pendulum" in page and "rad" in page and "closed_loop" in page and "50 steps" in page


def test_an_interrupt_says_how_to_resume(tmp_path: Path) -> None:
    request = sp.Train(systems=DI).plan(tmp_path, experiment_id="one").request
    assert "setpoint experiment resume one" in str(sp.RunInterrupted(request))
    assert "setpoint report one" in str(sp.ReportInterrupted(request))
    assert issubclass(sp.RunInterrupted, KeyboardInterrupt)


def test_dir_lists_the_public_names() -> None:
    assert dir(sp) == sorted([*sp.__all__, "__version__"])
