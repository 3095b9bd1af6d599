"""The server over pipes with the SDK's own client: reading, checking, planning, and runs within a budget."""

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from setpoint.agents.budget import Budget
from setpoint.agents.server import READING, RUNNING, Tools
from setpoint.artifacts import Workspace
from setpoint.cli.main import main
from setpoint.errors import InputError
from support.synthetic_experiment import Synthetic

pytest.importorskip("mcp")

SPEC = {"systems": ["double_integrator"], "parameters": {"lora_rank": [4, 8]}, "fixed": {"sft.steps": 3}}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("work")
    Synthetic(root, factors={"lora_rank": (4, 8)}, replicates=2).write()
    return root


def talk(root: Path, words: list[str], calls: Callable[[Any], Any]) -> Any:
    """What `calls` returns with a client of a server in a process of its own."""
    from mcp import Client, StdioServerParameters

    line = ["-m", "setpoint", "mcp", "--workspace", str(root), *words]

    async def session() -> Any:
        async with Client(StdioServerParameters(command=sys.executable, args=line)) as client:
            return await calls(client)

    return asyncio.run(asyncio.wait_for(session(), timeout=150))


async def call(client: Any, name: str, **arguments: Any) -> Any:
    result = await client.call_tool(name, arguments)
    (content,) = result.content
    assert not result.is_error, content.text
    try:
        return json.loads(content.text)
    except ValueError:
        return content.text


def test_a_session_reads_everything_and_writes_no_run(root: Path) -> None:
    async def calls(client: Any) -> None:
        tools = (await client.list_tools()).tools
        assert [tool.name for tool in tools] == list(READING)
        assert all(tool.description and tool.annotations.read_only_hint for tool in tools)
        assert [each["experiment"] for each in await call(client, "list_experiments")] == ["sweep"]
        assert (await call(client, "status", experiment="sweep"))["counts"] == {"ok": 4}
        claims = await call(client, "claims", experiment="sweep")
        assert claims == json.loads((root / "experiments/sweep/reports/claims.json").read_text())
        assert "=== Experiment Report: sweep ===" in await call(client, "report", experiment="sweep")
        results = await call(client, "results", experiment="sweep", first=3)
        assert (len(results["rows"]), results["total"]) == (1, 4)
        checked = await call(client, "check_draft", experiment="sweep", draft="The LoRA rank has no effect.")
        assert [each["finding"] for each in checked] == ["not supported"]
        assert "double_integrator" in await call(client, "systems")
        planned = await call(client, "plan", specification=SPEC)
        assert len(planned["runs"]) == 2
        refused = await client.call_tool("status", {"experiment": "swep"})
        assert refused.is_error
        assert "Did you mean 'sweep'?" in refused.content[0].text
        unknown = await client.call_tool("run", {"specification": SPEC})
        assert unknown.is_error

    talk(root, [], calls)
    assert [path.name for path in (root / "experiments").iterdir()] == ["sweep"]


def test_a_run_beyond_the_budget_is_refused(root: Path) -> None:
    budget = Budget(1e-9, spent=1e-9)
    with pytest.raises(InputError, match="core-hours, but 0 of 1e-09 are left"):
        Tools(Workspace(root), budget).run(SPEC)
    with pytest.raises(InputError, match="runs are not allowed"):
        Tools(Workspace(root), Budget(0.0)).run(SPEC)
    with pytest.raises(InputError, match="unknown"):
        Tools(Workspace(root), Budget(1.0)).run({**SPEC, "systems": ["nothing"]})
    assert budget.running == ""
    assert [path.name for path in (root / "experiments").iterdir()] == ["sweep"]


def test_a_run_that_uses_up_the_budget_is_interrupted(root: Path, tmp_path: Path) -> None:
    async def calls(client: Any) -> dict[str, Any]:
        assert [tool.name for tool in (await client.list_tools()).tools] == [*READING, *RUNNING]
        begun = await call(client, "run", specification=SPEC, experiment="mine")
        assert begun["experiment"] == "mine"
        while (spent := await call(client, "budget"))["running"]:
            await asyncio.sleep(0.2)
        refused = await client.call_tool("run", {"specification": SPEC})
        assert refused.is_error
        assert "are left" in refused.content[0].text
        return dict(spent)

    spent = talk(tmp_path, ["--allow-runs", "0.0003"], calls)  # one second
    assert spent["left"] == 0.0
    assert spent["spent"] >= 0.0003


@pytest.mark.parametrize("value", ["0", "-1", "inf", "many"])
def test_a_budget_is_a_positive_number(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mcp", "--allow-runs", value]) == 3
    assert "positive number of core-hours" in capsys.readouterr().err
