"""The documents are true: commands parse, links resolve, and tree, texts and data sheets are those of the code."""

import ast
import importlib
import re
import runpy
import shlex
import sys
from argparse import ArgumentParser, _SubParsersAction
from pathlib import Path

import pytest
import yaml

from setpoint import plants, problems
from setpoint.cli.main import VERBS, main
from setpoint.experiments.planning.experiment_types import TYPES
from setpoint.experiments.planning.spec import ExperimentSpec
from setpoint.language import messages, parse_answer
from setpoint.policies import PRESETS

ROOT = Path(__file__).parents[1]
SRC = ROOT / "src" / "setpoint"
DOCUMENTS = [ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")] + sorted(ROOT.glob("docs/*.md"))
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
    {(name, command) for name, text in TEXT.items() if name != "docs/source_tree.md" for command in commands(text)}
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
def test_every_script_is_in_the_readme(script: str) -> None:
    assert script in TEXT["README.md"]


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
    generate = runpy.run_path(str(ROOT / "docs" / "generate.py"))
    for name, page in generate["PAGES"].items():
        assert TEXT[f"docs/{name}"] == page(), "run `python docs/generate.py`"


def test_what_is_not_there_yet_is_not_there() -> None:
    (section,) = re.findall(r"^## What is not there yet$(.*?)^## ", TEXT["README.md"], re.DOTALL | re.MULTILINE)
    named = set(re.findall(r"`([^`]+)`", section))
    assert sorted(named & set(TYPES)) == [], "README.md says that these experiment types are missing"
    assert [name for name in named if (ROOT / "scripts" / name).exists()] == []


@pytest.mark.parametrize("name", plants.names())
def test_the_data_sheets_are_those_of_the_command(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["systems", name]) == 0
    assert capsys.readouterr().out in blocks(TEXT["docs/systems.md"], "text")


def test_prompts_and_answers_are_those_of_the_code() -> None:
    shown = blocks(TEXT["docs/notation.md"], "text")
    problem = problems.get("double_integrator")
    for preset in PRESETS.values():
        for message in messages(problem, [-0.0915, -0.3522], preset.dialect):
            assert message["content"] + "\n" in shown
    (answer,) = [text for text in shown if text.startswith("<REASONING>")]
    lengths = PRESETS["tiny"].dialect.blocking.lengths
    assert getattr(parse_answer(answer, len(lengths), 1), "shape", None) == (len(lengths), 1)
    assert f"held for {', '.join(map(str, lengths[:-1]))} and {lengths[-1]} steps" in TEXT["docs/notation.md"]


def test_python_in_the_documents_compiles() -> None:
    for text in TEXT.values():
        for code in blocks(text, "python"):
            ast.parse(code)


@pytest.mark.slow
def test_the_readmes_python_runs(
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
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
    (code,) = blocks(TEXT["README.md"], "python")
    exec(compile(code, "README.md", "exec"), {})
    assert "<CONTROLS>" in capsys.readouterr().out


def test_the_conda_environment_is_what_doctor_expects() -> None:
    from setpoint.experiments.preflight import EXPECTED_ENVIRONMENT

    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    assert environment["name"] == EXPECTED_ENVIRONMENT
    (pip,) = [part["pip"] for part in environment["dependencies"] if isinstance(part, dict)]
    assert pip == ["-c constraints.txt", "torch", "-e .[train,report,baselines,dev]"]
    assert re.search(r"^torch==", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)


def test_every_field_of_a_specification_is_described() -> None:
    table = TEXT["docs/experiments.md"].partition("## In a file")[2].partition("\n## ")[0]
    named = {
        name
        for row in table.splitlines()
        if row.startswith("| `")
        for name in re.findall(r"`(\w+)`", row.split("|")[1])
    }
    assert named == set(ExperimentSpec.model_fields)
