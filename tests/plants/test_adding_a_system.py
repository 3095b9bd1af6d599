"""`docs/how_to/own_plant.md`, done word for word; and plug-ins that are broken."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from setpoint.cli.main import main
from setpoint.plants import discovery, registry

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "how_to" / "own_plant.md").read_text(encoding="utf-8")
FILE = re.compile(r"^`([\w.]+)`:\n\n```\w+\n(.*?)^```$", re.DOTALL | re.MULTILINE)
COMMANDS = re.compile(r"^```bash\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@pytest.mark.slow
def test_the_page_works_from_start_to_finish(tmp_path: Path) -> None:
    for name, content in FILE.findall(PAGE):
        (tmp_path / name).write_text(content, encoding="utf-8")
    assert {path.name for path in tmp_path.iterdir()} == {"two_carts.py", "pyproject.toml", "test_two_carts.py"}
    lines = [line for block in COMMANDS.findall(PAGE) for line in block.splitlines()]
    assert lines[0] == "pip install ."
    outputs = {line: _give(line, tmp_path) for line in lines}
    assert "two carts joined by a spring" in outputs["setpoint systems"]
    assert "v2' = 2*(x1 - x2)" in outputs["setpoint systems two_carts"]
    assert "passed" in outputs["pytest -q test_two_carts.py"]
    assert "global optimum" in outputs["setpoint baselines --systems two_carts --cases 5"]


def _give(line: str, folder: Path) -> str:
    """Give one command of the page in `folder`; what it installs goes there as well, and not into the environment."""
    program, *words = shlex.split(line)
    site = folder / "site"
    if program == "pip":
        words = [*words, "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", str(site)]
    path = os.pathsep.join([str(site), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", program, *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


WITH_A_PLANT_OF_ITS_OWN = """
from dataclasses import dataclass, replace
from setpoint.problems import get
from setpoint.plants import Signal
from setpoint.plants.double_integrator import DoubleIntegrator

@dataclass(frozen=True)
class Own(DoubleIntegrator):
    name = "{name}"
    short_name = "{name}_"
{body}

PROBLEM = replace(get("double_integrator"), plant=Own(){fields})
"""


def own(name: str, body: str = "    pass", fields: str = "") -> str:
    """A plug-in with a plant derived from the double integrator."""
    return WITH_A_PLANT_OF_ITS_OWN.format(name=name, body=body, fields=fields)


BROKEN = {
    "exits": "import sys\nprint('on stdout')\nsys.exit(7)\n",
    "not_finite": (
        "from dataclasses import replace\nfrom setpoint.problems import get\n"
        "VDP = get('van_der_pol')\nPROBLEM = replace(VDP, plant=replace(VDP.plant, mu=float('nan')))\n"
    ),
    "bad_slopes": own("bad_slopes", "    def derivative(self, t, x, u, xp):\n        return (x[1],)"),
    **{
        name: own(
            name,
            f"    linear = False\n    def derivative(self, t, x, u, xp):\n        return {slopes}",
            f", target={target}",
        )
        for name, slopes, target in (
            ("scalar_slopes", "x[1]", (0.0, 0.0)),
            ("no_slopes", "None", (0.0, 0.0)),
            ("nan_slopes", "(x[1], u[0] * float('nan'))", (0.0, 0.0)),
            ("kink_abs", "(x[1], u[0] - 0.2 * abs(x[1]))", (0.0, 0.0)),
            ("kink_max", "(x[1], u[0] + xp.fmax(u[0], 0.0))", (0.0, 0.0)),
            ("kink_root", "(x[1], u[0] + xp.sqrt(x[1] ** 2))", (0.0, 0.0)),
            ("kink_aside", "(x[1], u[0] + abs(x[0]) - 0.1)", (0.1, 0.0)),
        )
    },
    "bad_equations": own("bad_equations", "    equations = ('one',)"),
    "raises": "import nothing_of_this_name\n",
    "other_name": "from setpoint.problems import get\nPROBLEM = get('pendulum')\n",
    "no_problem": "PROBLEM = 3\n",
    "branches": own(
        "branches", "    def derivative(self, t, x, u, xp):\n        return (x[1], u[0] if x[0] >= 0 else 0 * u[0])"
    ),
    "reversed": own("reversed", "    controls = (Signal('force', 'N', 1.0, -1.0),)"),
    "unbounded": own("unbounded", "    controls = (Signal('force', 'N', -float('inf'), float('inf')),)"),
    "nan_bound": own("nan_bound", "    controls = (Signal('force', 'N', float('nan'), 1.0),)"),
    "half_a_step": own("half_a_step", fields=", steps=50.0"),
    "too_wide": own("too_wide", fields=", half_width=(0.8, 2.0)"),
    "judged_badly": own("judged_badly", fields=", evaluation_mode='sometimes'"),
    "drifts": own("drifts", fields=", target=(0.0, 0.1)"),
    "false_claim": own(
        "false_claim", "    def derivative(self, t, x, u, xp):\n        return (x[1], u[0] - x[0] ** 3)"
    ),
    "timed": own("timed", "    def derivative(self, t, x, u, xp):\n        return (x[1], u[0] * (1 + xp.sin(t)))"),
    **{
        name: own(name, f"    from setpoint.plants import Interval\n    family = {family}")
        for name, family in (
            ("family_name", "{'mas': Interval(0.5, 2, 1.3, 1.6)}"),
            ("family_holds_out_all", "{'mass': Interval(1, 2, 1, 2)}"),
            ("family_between_cents", "{'mass': Interval(0.5, 2, 1.501, 1.504)}"),
            ("family_nominal", "{'mass': Interval(0.5, 2, 0.9, 1.1)}"),
        )
    },
    "Capital": own("Capital"),
    "untitled": own("untitled", "    title = None"),
    "title_that_clears_the_screen": own("title_that_clears_the_screen", r"    title = 'a\x1b[2Jb'"),
    "title_of_two_lines": own("title_of_two_lines", r"    title = 'a plant\nsetpoint: all is well'"),
    "endless_title": own("endless_title", "    title = 'x' * 5000"),
    "source_that_turns_round": own("source_that_turns_round", r"    source = '\u202etxt.exe'"),
    "unit_that_rings": own("unit_that_rings", r"    controls = (Signal('acceleration', 'm\a', -1.0, 1.0),)"),
    "worded": own("worded", "    mode: str = 'fast'"),
    "arrays": own("arrays", "    masses: object = (1.0, 2.0)"),
    "word_weight": own("word_weight", fields=", q=('a', 1.0)"),
    "no_weight": own("no_weight", fields=", q=(0.0, 0.0)"),
    "always_on": own("always_on", "    controls = (Signal('force', 'N', 1.0, 2.0),)"),
    **{
        name: own(
            name,
            f"    linear = False\n    def derivative(self, t, x, u, xp):\n        import math\n        return {slopes}",
        )
        for name, slopes in (
            ("of_math", "(x[1], u[0] - math.sin(x[0]))"),
            ("steep", "(x[1], u[0] - xp.sqrt(x[0]))"),
        )
    },
    "several_lines": "raise ValueError('one\\ntwo\\n\\n  three')\n",
    "base_exception": "raise BaseException('beyond Exception')\n",
    "infinite": (
        "from dataclasses import replace\nfrom setpoint.problems import get\n"
        "PROBLEM = replace(get('pendulum'), steps=0)\n"
    ),
}


def install(codes: dict[str, str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make these plug-ins the only ones."""
    for name, code in codes.items():
        (folder / f"plugin_{name}.py").write_text(code, encoding="utf-8")
    points = [EntryPoint(name, f"plugin_{name}:PROBLEM", discovery.GROUP) for name in codes]
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(discovery, "entry_points", lambda group: points if group == discovery.GROUP else [])
    forget()


def forget() -> None:
    discovery.load_plugins.cache_clear()
    registry.get.cache_clear()


@pytest.fixture
def broken_plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An environment whose every plug-in is broken in its own way."""
    install(BROKEN, tmp_path, monkeypatch)
    yield
    forget()


ODD = {
    "impossible": own(
        "impossible",
        "    controls = (Signal('acceleration', 'm/s^2', -0.01, 0.01),)",
        ", half_width=(0.05, 0.05), centre=(0.9, 0.9)",
    ),
    "short_horizon": own("short_horizon", fields=", steps=7"),
}


@pytest.fixture
def odd_plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An environment with systems that can be used, but not for everything."""
    install(ODD, tmp_path, monkeypatch)
    monkeypatch.setenv("SETPOINT_WORKSPACE", str(tmp_path))
    yield
    forget()


@pytest.mark.usefixtures("odd_plugins")
@pytest.mark.parametrize(
    ("line", "says"),
    [
        (
            "evaluate --controller lqr --system impossible --num-test-cases 3",
            "none of 3 initial states has a certified optimum",
        ),
        ("systems impossible --plot impossible.png", "none of 12 initial states has a certified optimum"),
        ("data generate --systems short_horizon --total-samples 6", "must cover the 7 steps of short_horizon"),
        ("experiment run --systems short_horizon --dry-run", "must cover the 7 steps of short_horizon"),
        ("train --system short_horizon --dry-run", "must cover the 7 steps of short_horizon"),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (
                ("data generate --systems impossible --total-samples 6", "none of 100 draws could be used"),
                (
                    "evaluate --base-model builtin:tiny --system short_horizon",
                    "must cover the 7 steps of short_horizon",
                ),
            )
        ),
    ],
)
def test_what_cannot_be_asked_of_a_system_is_refused(
    line: str, says: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(line.split()) == 3
    captured = capsys.readouterr()
    assert captured.out == ""
    assert says in captured.err
    assert "Traceback" not in captured.err
    assert not (tmp_path / "impossible.png").exists()


@pytest.mark.usefixtures("odd_plugins")
def test_an_infeasible_system_is_rejected_in_full_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["baselines", "--systems", "impossible,short_horizon", "--cases", "3", "--quiet"]) == 0
    optima = {line.split()[0]: line.split()[1:4] for line in capsys.readouterr().out.splitlines()[2:4]}
    assert optima == {"impossible": ["0", "100", "%"], "short_horizon": ["3", "0", "%"]}
    assert (
        main(["evaluate", "--controller", "mpc", "--system", "short_horizon", "--num-test-cases", "2", "--quiet"]) == 0
    )
    assert "short_horizon, replan 5, 2 cases" in capsys.readouterr().out


@pytest.mark.usefixtures("broken_plugins")
def test_broken_plugins_are_listed_with_the_reason_and_the_others_work(capsys: pytest.CaptureFixture[str]) -> None:
    assert registry.names() == registry.shipped_names()
    assert main(["systems"]) == 0
    captured = capsys.readouterr()
    assert "double_integrator" in captured.out
    assert "on stdout" not in captured.out
    reasons = dict(line.split(": ", 1) for line in captured.err.splitlines() if ": " in line)
    assert "No module named 'nothing_of_this_name'" in reasons["raises"]
    assert "must be named after its plant, 'pendulum'" in reasons["other_name"]
    assert "must refer to a Problem" in reasons["no_problem"]
    assert "steps must be an integer of at least 1, got 0" in reasons["infinite"]
    assert "SystemExit: 7" in reasons["exits"]
    assert "parameter mu of van_der_pol must be finite" in reasons["not_finite"]
    for name in ("bad_slopes", "scalar_slopes", "no_slopes"):
        assert "derivative must return a tuple with one value per state (2), got" in reasons[name]
    assert "the target must be an equilibrium" in reasons["nan_slopes"]
    for name in ("kink_abs", "kink_max", "kink_root", "kink_aside"):
        assert "the derivative of velocity has a kink in" in reasons[name]
    assert "equations must have 2 entries" in reasons["bad_equations"]
    assert "derivative must accept CasADi symbols" in reasons["branches"]
    assert "the bounds of force must be finite and in order, got 1 and -1" in reasons["reversed"]
    assert "must be finite and in order, got -inf and inf" in reasons["unbounded"]
    assert "must be finite and in order, got nan and 1" in reasons["nan_bound"]
    assert "steps must be an integer of at least 1, got 50.0" in reasons["half_a_step"]
    assert "initial states must lie within the state bounds" in reasons["too_wide"]
    assert "evaluation_mode must be open_loop or closed_loop, got 'sometimes'" in reasons["judged_badly"]
    assert "the target must be an equilibrium" in reasons["drifts"]
    assert "must be linear in its states and controls" in reasons["false_claim"]
    assert "derivative must not depend on time" in reasons["timed"]
    assert "Did you mean 'mass'" in reasons["family_name"]
    assert "a held-out range and the rest" in reasons["family_holds_out_all"]
    assert "a held-out range and the rest" in reasons["family_between_cents"]
    assert "the nominal mass must lie in its family and outside" in reasons["family_nominal"]
    assert (
        "name must consist of lowercase letters, digits and underscores, starting with a letter, got 'Capital'"
        in reasons["Capital"]
    )
    assert "needs a string attribute `title`" in reasons["untitled"]
    for name in ("title_that_clears_the_screen", "title_of_two_lines", "endless_title"):
        assert "title must be one line of at most 200 printable characters" in reasons[name]
    assert "source must be one line" in reasons["source_that_turns_round"]
    assert "unit of a signal must be one line" in reasons["unit_that_rings"]
    assert not set("\x1b\a\u202e") & set(captured.out + captured.err)
    assert max(map(len, captured.err.splitlines())) < 500
    assert "parameter mode must be numeric, got 'fast'" in reasons["worded"]
    assert "parameter masses must be numeric" in reasons["arrays"]
    assert "q must be numeric, got ('a', 1.0)" in reasons["word_weight"]
    assert "at least one weight in q must be positive" in reasons["no_weight"]
    assert "must include 0, the control at the target, got 1 and 2" in reasons["always_on"]
    assert "the functions of xp, such as xp.sin" in reasons["of_math"]
    assert "the dynamics must be differentiable at the target" in reasons["steep"]
    assert "ValueError: one two three" in reasons["several_lines"]
    assert "BaseException: beyond Exception" in reasons["base_exception"]
    assert reasons.keys() == BROKEN.keys()
    assert len(captured.err.splitlines()) == len(BROKEN) + 1, "a line for each, and what one of them printed"


def test_an_interrupt_while_a_plugin_loads_still_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install({"slow": "raise KeyboardInterrupt\n"}, tmp_path, monkeypatch)
    assert main(["systems"]) == 130
    assert capsys.readouterr().out == ""
    forget()


@pytest.mark.usefixtures("broken_plugins")
def test_asking_for_a_broken_plugin_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["systems", "raises"]) == 3
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "setpoint: error: system 'raises' comes from a plug-in that cannot be used" in captured.err
