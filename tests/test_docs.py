"""The documents are true: commands parse, links resolve, examples run, and generated pages are those of the code."""

import ast
import importlib
import json
import re
import runpy
import shlex
import subprocess
import sys
from argparse import ArgumentParser, _SubParsersAction
from pathlib import Path

import generate
import pytest
import yaml
from pages.python_api import undocumented, unlisted
from pydantic import BaseModel

from setpoint import plants, problems
from setpoint.cli import main as command_line
from setpoint.cli.main import VERBS, main
from setpoint.docstrings import attribute_docstrings
from setpoint.experiments.planning.parameters import MODELS
from setpoint.experiments.planning.spec import SPECS
from setpoint.experiments.planning.spec_fields import Range
from setpoint.language import PromptFormat, messages, parse_answer
from setpoint.policies import PRESETS
from setpoint.problems import MoveBlocking

ROOT = Path(__file__).parents[1]
SRC = ROOT / "src" / "setpoint"
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "dev/log.md")),
    *sorted(ROOT.glob("docs/**/*.md")),
]
GENERATED = {f"docs/{name}" for name in generate.PAGES}
TEXT = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in DOCUMENTS}

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
COMMAND = re.compile(r"(setpoint|make|python scripts/\w+\.py)\b(?! *=)")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def blocks(text: str, language: str) -> list[str]:
    return [body for tag, body in FENCE.findall(text) if tag == language]


def commands(text: str) -> set[str]:
    """Every command line of shell blocks and of code in sentences, without comments."""
    lines = "\n".join(blocks(text, "bash")).replace("\\\n", " ").splitlines()
    inline = re.findall(r"`([^`]+)`", FENCE.sub("", text))
    lines += [" ".join(code.split()) for code in inline if " " in code]
    return {shlex.join(shlex.split(line, comments=True)) for line in lines if COMMAND.match(line)}


COMMANDS = sorted(
    {(name, command) for name, text in TEXT.items() if name not in GENERATED for command in commands(text)}
)


@pytest.fixture
def parsing_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace what every verb does, but not how its arguments are parsed."""
    for verb in VERBS.values():
        monkeypatch.setattr(importlib.import_module(verb.module), "run", lambda _arguments: 0)


def parse(words: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit code of a command that only parses its arguments."""
    try:
        if words[0] == "setpoint":
            return main(words[1:])
        monkeypatch.setattr(sys, "argv", words[1:])
        runpy.run_path(str(ROOT / words[1]), run_name="__main__")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


@pytest.mark.usefixtures("parsing_only")
@pytest.mark.parametrize(("document", "command"), COMMANDS)
def test_every_command_parses(document: str, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    words = shlex.split(command)
    if words[0] == "make":
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        assert set(words[1:]) <= set(targets), document
    else:
        assert parse(words, monkeypatch) == 0, document


@pytest.mark.usefixtures("parsing_only")
def test_a_command_that_does_not_exist_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert commands("Try `setpoint\nfly --high`, not `setpoint`.") == {"setpoint fly --high"}
    assert parse(["setpoint", "fly"], monkeypatch) == 2
    assert parse(["setpoint", "experiment", "run", "--no-such-option"], monkeypatch) == 2
    assert parse(["python", "scripts/train_single_system.py", "--no-such-option"], monkeypatch) == 2


def verbs() -> list[str]:
    """`verb` or `verb action`, for everything that the command line can do."""
    found = []
    for name, verb in VERBS.items():
        parser = ArgumentParser()
        importlib.import_module(verb.module).configure(parser)
        actions = [action for action in parser._actions if isinstance(action, _SubParsersAction)]
        found += [f"{name} {action}" for group in actions for action in group.choices] or [name]
    return found


@pytest.mark.parametrize("verb", verbs())
def test_every_verb_is_in_the_documents(verb: str) -> None:
    written = {command.removeprefix("setpoint ") for _, command in COMMANDS}
    assert any(command == verb or command.startswith(f"{verb} ") for command in written)


@pytest.mark.parametrize("script", sorted(path.name for path in ROOT.glob("scripts/*.py")))
def test_every_script_is_in_a_document(script: str) -> None:
    assert any(script in text for name, text in TEXT.items() if name not in GENERATED)


def anchors(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", path.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_resolves(document: Path) -> None:
    for target in LINK.findall(FENCE.sub("", document.read_text(encoding="utf-8"))):
        place, _, anchor = target.partition("#")
        if ":" in place:  # https: and the like; tests do not use the network
            continue
        path = document if not place else document.parent / place
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), target


def test_the_readmes_tree_lists_exactly_the_packages() -> None:
    (listing,) = [body for body in blocks(TEXT["README.md"], "") if body.startswith("src/setpoint/")]
    listed = [line.split()[0].rstrip("/") for line in listing.splitlines()[1:]]
    assert sorted(listed) == sorted(path.parent.name for path in SRC.glob("*/__init__.py"))


def test_generated_pages_are_those_of_the_code() -> None:
    assert generate.stale() == [], "run `python docs/generate.py`"


def test_every_public_name_has_a_docstring() -> None:
    assert undocumented() == []
    assert unlisted() == []


@pytest.mark.parametrize("model", [*SPECS.values(), Range, *MODELS.values()])
def test_every_field_and_parameter_is_described(model: type[BaseModel]) -> None:
    assert attribute_docstrings(model).keys() >= model.model_fields.keys()


def test_exit_codes_are_those_of_the_code() -> None:
    codes = re.findall(r"^\| (\d+) \|", TEXT["docs/reference/exit_codes.md"], re.MULTILINE)
    declared = " ".join((command_line.__doc__ or "").split()).partition("Exit codes: ")[2]
    assert codes == re.findall(r"(?:^|; )(\d+) ", declared)


UNIDIOMATIC = re.compile(
    r"\b(?:of which|so many|anew|by itself|in words|go(?:es)? on|mend|told apart|as they are|is called|takes? it up"
    r"|hands? (?:it|them) in|dead axes|processor time|data base)\b"
)


@pytest.mark.parametrize("name", sorted(set(TEXT) - GENERATED - {"dev/log.md", "docs/reference/systems.md"}))
def test_prose_is_idiomatic(name: str) -> None:
    assert UNIDIOMATIC.findall(FENCE.sub("", TEXT[name])) == []


def test_the_limitations_of_the_readme_are_real() -> None:
    (section,) = re.findall(r"^### Limitations$(.*?)^## ", TEXT["README.md"], re.DOTALL | re.MULTILINE)
    named = set(re.findall(r"`([^`]+)`", section))
    assert sorted(named & set(SPECS)) == [], "README.md says that these experiment types are missing"
    assert [name for name in named if (ROOT / "scripts" / name).exists()] == []


@pytest.mark.parametrize("name", plants.names())
def test_the_data_sheets_are_those_of_the_command(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["systems", name]) == 0
    assert capsys.readouterr().out in blocks(TEXT["docs/reference/systems.md"], "text")


def test_prompts_and_answers_are_those_of_the_code() -> None:
    shown = blocks(TEXT["docs/explanation/notation.md"], "text")
    problem = problems.get("double_integrator")
    english = PromptFormat("english", MoveBlocking.none(50), control_decimals=3, reasoning="full")
    for prompt_format in (english, *(preset.prompt_format for preset in PRESETS.values())):
        for message in messages(problem, [-0.0915, -0.3522], prompt_format):
            assert message["content"] + "\n" in shown
    (answer,) = [text for text in shown if text.startswith("<REASONING>")]
    lengths = PRESETS["tiny"].prompt_format.blocking.lengths
    assert getattr(parse_answer(answer, len(lengths), 1), "shape", None) == (len(lengths), 1)
    assert (
        f"held for {', '.join(map(str, lengths[:-1]))} and {lengths[-1]} steps" in TEXT["docs/explanation/notation.md"]
    )


def test_python_in_the_documents_compiles() -> None:
    for text in TEXT.values():
        for code in blocks(text, "python"):
            ast.parse(code)


def run_script(code: str, folder: Path) -> str:
    """What `code` prints as a script of its own, in `folder`."""
    (folder / "script.py").write_text(code, encoding="utf-8")
    done = subprocess.run([sys.executable, "script.py"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def shortened(code: str) -> str:
    """`code` with so little training that the example takes seconds."""
    sweep = re.compile(r"(sp\.Sweep\(.*)\)")
    assert sweep.search(code)
    return sweep.sub(r'\1, evaluation_cases=4, fixed={"sft.steps": 3, "grpo.steps": 4, "grpo.batch_size": 16})', code)


@pytest.mark.slow
def test_the_readmes_python_runs(tmp_path: Path) -> None:
    (code,) = blocks(TEXT["README.md"], "python")
    run_script(f'{shortened(code)}\nassert experiment.status().counts == {{"ok": 6}}', tmp_path)
    assert list(tmp_path.glob("work/experiments/*/reports/report.html"))


@pytest.mark.slow
def test_the_guide_to_python_runs(tmp_path: Path) -> None:
    sweep, *others = [code for code in blocks(TEXT["docs/how_to/python.md"], "python") if "import setpoint" in code]
    here = [code for code in others if "Slurm" not in code]
    printed = run_script("\n".join([shortened(sweep), *here]), tmp_path)
    assert "(50, 1)" in printed and "[supported]" in printed


@pytest.mark.slow
@pytest.mark.parametrize("name", ["control", "experiments"])
def test_the_notebook_runs(name: str, tmp_path: Path) -> None:
    notebook = json.loads((ROOT / f"docs/tutorial/{name}.ipynb").read_text(encoding="utf-8"))
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    run_script(re.sub(r"^%.*$", "", "\n".join(cells), flags=re.MULTILINE), tmp_path)


@pytest.mark.slow
def test_an_adapter_loads_with_plain_peft(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from setpoint.policies import BUILTIN, resolve_base
    from setpoint.policies.language_model import load_base
    from setpoint.policies.runtime import Runtime
    from setpoint.training.adapters import fresh_adapter
    from setpoint.training.config import LoraParameters

    model, _ = load_base(resolve_base(BUILTIN), Runtime.detect())
    adapter = tmp_path / "models/single_system/double_integrator/grpo/latest"
    fresh_adapter(model, LoraParameters(rank=2), seed=0).save_pretrained(str(adapter))
    monkeypatch.chdir(tmp_path)
    (code,) = [each for each in blocks(TEXT["docs/how_to/python.md"], "python") if "peft" in each]
    exec(compile(code, "python.md", "exec"), {})
    assert "<CONTROLS>" in capsys.readouterr().out


def test_the_conda_environment_is_what_doctor_expects() -> None:
    from setpoint.experiments.preflight import EXPECTED_ENVIRONMENT

    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    assert environment["name"] == EXPECTED_ENVIRONMENT
    (pip,) = [part["pip"] for part in environment["dependencies"] if isinstance(part, dict)]
    assert pip == ["-c constraints.txt", "torch", "-e .[train,gguf,constrained,report,baselines,dev]"]
    assert re.search(r"^torch==", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)
