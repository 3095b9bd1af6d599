"""What `import setpoint` offers: every public name is there, documented, and loaded only when it is used."""

import inspect
import subprocess
import sys

import pytest

import setpoint

HEAVY = {"torch", "casadi", "scipy", "matplotlib", "numpy", "pyarrow", "pydantic", "pandas"}


@pytest.mark.parametrize("name", setpoint.__all__)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    value = getattr(setpoint, name)
    assert inspect.getdoc(value)
    assert name in dir(setpoint)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'sweep'"):
        setpoint.sweep  # noqa: B018


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = f"import setpoint, sys; print(*({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("sp.systems(); sp.problem('pendulum')", {"torch", "casadi", "matplotlib", "pandas"}),
        ("sp.Sweep(systems=['di']).spec()", {"torch", "transformers", "matplotlib", "pandas"}),
    ],
)
def test_light_uses_stay_light(code: str, absent: set[str]) -> None:
    line = f"import setpoint as sp, sys; {code}; print(*({absent!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
