"""Named suites of test cases. Training states use other seeds and are checked against these.

| suite              | test cases                                                              |
| ------------------ | ----------------------------------------------------------------------- |
| `nominal`          | every system with its own parameters and bounds                         |
| `tight`            | systems with bounds that the optimum respects and clipped LQR violates  |
| `held_out`         | members of a family with parameters held out from training              |
| `held_out_systems` | systems that no universal model of the benchmark is trained on          |

`tight` and `held_out_systems` use the nominal states of their systems.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from setpoint import plants
from setpoint.errors import InputError, unknown_name
from setpoint.plants import draw_member
from setpoint.problems import registry
from setpoint.problems.problem import Problem
from setpoint.seeding import generator

DEFAULT_CASES = 300
MOST_CASES = 100_000
"""Upper limit: each case is solved, certified and stored; more would not improve the precision usefully."""
SUITES = ("nominal", "held_out")
"""Suites with states of their own."""
NAMED_SUITES = ("nominal", "tight", "held_out", "held_out_systems")
TIGHT = ("double_integrator_tight", "van_der_pol_tight")
HELD_OUT_SYSTEMS = ("duffing", "orbit_raising", "attitude_mrp")
CASES_PER_MEMBER = 10
MIN_DISTANCE = 1e-3
"""States closer than this, as a share of the half width, count as equal."""


@dataclass(frozen=True)
class TestCases:
    """Test cases of one plant.

    Attributes:
        problem: the problem, with the plant parameters of these cases.
        states: initial states, (B, n_x).
    """

    __test__ = False  # tells pytest that this is not a test class

    problem: Problem
    states: Float[np.ndarray, "B n_x"]


def suite_states(problem: Problem, suite: str, cases: int) -> Float[np.ndarray, "cases n_x"]:
    """Return the first `cases` states of `suite`; a longer suite begins with the shorter one.

    Raises:
        InputError: no such suite.
    """
    if suite not in NAMED_SUITES:
        raise unknown_name("suite", suite, NAMED_SUITES)
    return problem.initial_states(cases, "suite", suite if suite in SUITES else "nominal")


def suite_systems(suite: str) -> tuple[str, ...]:
    """Return the full names of the systems in `suite`.

    Raises:
        InputError: no such suite.
    """
    if suite not in NAMED_SUITES:
        raise unknown_name("suite", suite, NAMED_SUITES)
    if suite == "held_out":
        return tuple(name for name in plants.names() if plants.get(name).family)
    return {"nominal": plants.names(), "tight": TIGHT, "held_out_systems": HELD_OUT_SYSTEMS}[suite]


def require_in_suite(system: str, suite: str) -> None:
    """Check that `suite` contains the system with this full name.

    Raises:
        InputError: no such suite, or the system is not in it.
    """
    if system not in suite_systems(suite):
        raise InputError(f"{system} is not in suite {suite!r}. Choose one of {', '.join(suite_systems(suite))}.")


def suite_cases(suite: str, system: str, cases: int) -> tuple[TestCases, ...]:
    """Return the first `cases` cases of `system` in `suite`: one group, or one per held-out member of its family.

    Members and states depend only on their number.

    Raises:
        InputError: no such suite, an impossible number of cases, or the system is not in the suite.
    """
    full = plants.canonical(system)
    require_in_suite(full, suite)
    require_cases(cases)
    problem = registry.get(full)
    states = suite_states(problem, suite, cases)
    if suite != "held_out":
        return (TestCases(problem, states),)
    groups = [states[start : start + CASES_PER_MEMBER] for start in range(0, cases, CASES_PER_MEMBER)]
    return tuple(TestCases(held_out_member(problem, number), group) for number, group in enumerate(groups))


def require_cases(cases: int) -> None:
    """Check the number of test cases.

    Raises:
        InputError: the number is below 1 or above `MOST_CASES`.
    """
    if not 1 <= cases <= MOST_CASES:
        raise InputError(
            f"an evaluation needs at least one case and at most {MOST_CASES}, got {cases}. The default is "
            f"{DEFAULT_CASES}."
        )


def held_out_member(problem: Problem, number: int) -> Problem:
    """Return the same problem for held-out member `number` of the plant's family."""
    rng = generator("suite", "held_out", "member", problem.name, number)
    return replace(problem, plant=draw_member(problem.plant, rng, held_out=True))


def smallest_distance(
    problem: Problem, states: Float[np.ndarray, "B n_x"], others: Float[np.ndarray, "C n_x"]
) -> float:
    """Compute the smallest distance between `states` and `others`: infinity norm, as a share of the half width."""
    if not len(states) or not len(others):
        return float("inf")
    width = np.array(problem.half_width)
    return min(float(np.abs((others - x) / width).max(axis=-1).min()) for x in states)


def require_disjoint(
    problem: Problem, training: Float[np.ndarray, "B n_x"], testing: Float[np.ndarray, "C n_x"]
) -> None:
    """Check that no training state equals a test state, up to rounding.

    Raises:
        InputError: two states are closer than `MIN_DISTANCE`.
    """
    distance = smallest_distance(problem, training, testing)
    if distance <= MIN_DISTANCE:
        raise InputError(
            f"training and test states of {problem.name} must differ by more than {MIN_DISTANCE:g} of the half width, "
            f"but two are {distance:.2g} apart. Draw new training states."
        )
