"""`setpoint systems` and `setpoint baselines`, as a user meets them."""

import io
import json
import math
from pathlib import Path

import pytest

from setpoint import plants
from setpoint.cli.main import main
from setpoint.cli.options import print_json


def run(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, str, str]:
    code = main([str(word) for word in words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.parametrize("name", plants.shipped_names())
def test_every_system_has_a_data_sheet(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "systems", name)
    assert code == 0
    assert all(equation in out for equation in plants.get(name).equations)
    record = json.loads(run(capsys, "systems", name, "--json")[1])
    assert record["plant"] == name
    assert record["optimum"] in {"global optimum", "optimum", "best known"}


def test_data_sheets_name_family_centre_and_starts(capsys: pytest.CaptureFixture[str]) -> None:
    assert "mu = 1, range 0.5 … 2; held out of training: 1.3 … 1.6" in run(capsys, "systems", "vdp")[1]
    assert "0.97 … 1.03" in run(capsys, "systems", "orbit")[1]
    assert "best known of 8 starts" in run(capsys, "systems", "swingup")[1]


@pytest.mark.parametrize("name", ["van_der_pol", "orbit_raising"])
def test_a_system_is_drawn(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "drawn" / "it.png"
    assert run(capsys, "systems", name, "--plot", picture)[:2] == (0, f"{picture}\n")
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_picture_goes_where_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(capsys, "systems", "di", "--plot")[:2] == (0, "double_integrator.png\n")
    assert json.loads(run(capsys, "systems", "di", "--plot", tmp_path / "di.svg", "--json")[1])["plot"].endswith(".svg")
    (tmp_path / "folder").mkdir()
    assert run(capsys, "systems", "di", "--plot", "folder")[1] == "folder/double_integrator.png\n"
    drawn = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert drawn == {"double_integrator.png", "di.svg", "folder/double_integrator.png"}


@pytest.mark.parametrize(
    ("file", "says"), [("x.xyz", "ending in .png, .pdf, .svg"), ("a_file/x.png", "--plot must name a writable file")]
)
def test_a_picture_that_cannot_be_drawn_is_refused(
    file: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a_file").touch()
    code, out, err = run(capsys, "systems", "di", "--plot", tmp_path / file)
    assert (code, out) == (3, "")
    assert says in err


def test_baselines_are_printed_in_three_forms(capsys: pytest.CaptureFixture[str]) -> None:
    words = (
        "baselines",
        "--suite",
        "tight",
        "--systems",
        "di_tight,double_integrator_tight",
        "--cases",
        "4",
        "--quiet",
    )
    code, text, err = run(capsys, *words)
    assert (code, err) == (0, "")
    assert "Clipped LQR and zero control" in text
    (found,) = json.loads(run(capsys, *words, "--json")[1])["systems"]
    assert (found["system"], found["cases"] + found["rejected"]) == ("double_integrator_tight", 4)
    assert found["agreement"]["compared"] == 4
    assert found["agreement"]["largest_difference"] < 1e-8
    page = run(capsys, *words, "--markdown")[1]
    written = "setpoint baselines --suite tight --systems double_integrator_tight --cases 4 --markdown"
    assert page.startswith(f"# Systems\n\nWritten by `{written}`")
    assert run(capsys, "systems", "di_tight")[1] in page


def test_what_cannot_be_computed_is_refused_before_anything_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, _, err = run(capsys, "baselines", "--suite", "tight", "--systems", "di_tight,pend")
    assert (code, len(err.splitlines())) == (3, 1)
    monkeypatch.setattr("setpoint.controllers.cloned.find_spec", lambda name: None)
    code, _, err = run(capsys, "baselines", "--clones", "100")
    assert (code, err.count("pip install"), len(err.splitlines())) == (3, 1, 1)
    with pytest.raises(SystemExit, match="2"):
        run(capsys, "baselines", "--json", "--markdown")


def test_what_is_not_near_is_not_suggested(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "baselines", "--systems", "nosuch")
    assert (code, out) == (3, "")
    assert err.startswith("setpoint: error: unknown system 'nosuch'. Known: ")


def test_json_has_no_number_that_json_does_not_know(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": [math.nan, (math.inf, {"b": -math.inf})], "c": 1.5, "d": "NaN"})
    assert json.loads(capsys.readouterr().out) == {"a": [None, [None, {"b": None}]], "c": 1.5, "d": "NaN"}


def test_json_stays_json_where_characters_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    stream = io.TextIOWrapper(written, encoding="latin-1", errors="backslashreplace")
    monkeypatch.setattr("sys.stdout", stream)
    print_json({"a": "1 µs …"})
    stream.flush()
    assert json.loads(written.getvalue()) == {"a": "1 µs …"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["baselines", "--suite", "nominla"], "Did you mean 'nominal'?"),
        (["baselines", "--cases", "0"], "at least one case"),
        (["baselines", "--systems", "pendulm"], "Did you mean 'pendulum'?"),
        (["baselines", "--suite", "tight", "--systems", "di_tight,pend"], "pendulum is not in suite 'tight'"),
        (["baselines", "--clones", "3"], "cloning needs more than 5 demonstrations, got 3"),
        (["baselines", "--clones", "-1"], "cloning needs more than 5 demonstrations, got -1"),
        (["systems", "rendezvous"], "Did you mean 'cw_rendezvous'?"),
        (["systems", "--plot"], "--plot needs the name of a system"),
    ],
)
def test_mistakes_are_named(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, *words, "--quiet") if words[0] == "baselines" else run(capsys, *words)
    assert (code, out) == (3, "")
    assert message in err
