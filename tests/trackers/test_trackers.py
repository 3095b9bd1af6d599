"""The same experiment, opened by each tracker's own reader, has equal numbers; exporting twice is exporting once."""

import json
import os
import pickle
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from setpoint.artifacts import read_json
from setpoint.cli.main import main
from setpoint.trackers import tensorboard as to_tensorboard
from setpoint.trackers.content import CLAIMS_RUN, Tracked, TrackedRun, tracked
from support.synthetic_experiment import Synthetic


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("work")
    failed = {"lora_rank=8_double_integrator_s1": "crash"}
    Synthetic(root, factors={"lora_rank": (4, 8)}, replicates=2, failed=failed).write()
    return root


@pytest.fixture(scope="module")
def content(root: Path) -> Tracked:
    return tracked(root / "experiments" / "sweep")


def exported_twice(content: Tracked, tracker: str, output: Path) -> list[list[str]]:
    """The names of the runs that two exports write, in a process of its own: some trackers keep state in theirs."""
    code = (
        "import importlib, json, pathlib, pickle, sys\n"
        "content = pickle.load(sys.stdin.buffer)\n"
        "backend = importlib.import_module('setpoint.trackers.' + sys.argv[1])\n"
        "target = sys.argv[2] if sys.argv[1] == 'mlflow' else pathlib.Path(sys.argv[2])\n"
        "print(json.dumps([backend.export(content, target) for _ in range(2)]))"
    )
    line = [sys.executable, "-c", code, tracker, str(output)]
    done = subprocess.run(line, input=pickle.dumps(content), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    written: list[list[str]] = json.loads(done.stdout.splitlines()[-1])
    return written


def names(content: Tracked) -> list[str]:
    return [run.name for run in content.runs]


def test_runs_have_parameters_curves_metrics_and_claims(root: Path, content: Tracked) -> None:
    claims = read_json(root / "experiments" / "sweep" / "reports" / "claims.json")["claims"]
    *runs, last = content.runs
    assert (len(runs), last.name) == (4, CLAIMS_RUN)
    assert {run.parameters["lora_rank"] for run in runs} == {4, 8}
    assert all(run.curves["sft/loss"] for run in runs if not run.failed)
    assert [run.tags["setpoint.failure_class"] for run in runs if run.failed] == ["crash"]
    assert all("double_integrator/final_error" in run.metrics for run in runs if not run.failed)
    for claim in claims:
        assert last.tags[f"claim.{claim['id']}"] == claim["status"]
        assert last.metrics.get(f"{claim['id']}/estimate") == claim["estimate"]
        if claim["interval"] is not None:
            assert [last.metrics[f"{claim['id']}/{end}"] for end in ("low", "high")] == claim["interval"]


def test_content_is_the_same_every_time(root: Path, content: Tracked) -> None:
    again = tracked(root / "experiments" / "sweep")
    assert [run.digest for run in again.runs] == [run.digest for run in content.runs]


def test_tensorboard(root: Path, content: Tracked, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    command = ["export", "sweep", "--to", "tensorboard", "--output", str(tmp_path), "--workspace", str(root), "--json"]
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out)["written"] == names(content)
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out)["written"] == []
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == files
    for run in content.runs:
        events = accumulator.EventAccumulator(str(tmp_path / run.name)).Reload()
        for name, points in run.curves.items():
            assert [event.step for event in events.Scalars(name)] == [step for step, _ in points]
            assert [event.value for event in events.Scalars(name)] == pytest.approx([value for _, value in points])
        for name, value in run.metrics.items():
            assert [event.value for event in events.Scalars(name)] == pytest.approx([value], rel=1e-6)
        for name, text in {**run.tags, **run.texts}.items():
            (tensor,) = events.Tensors(f"{name}/text_summary")
            assert tensor.tensor_proto.string_val == [text.encode()]
        assert events.PluginTagToContent("hparams").keys() == {"_hparams_/session_start_info"}


def test_mlflow(content: Tracked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tracking = pytest.importorskip("mlflow.tracking")
    assert exported_twice(content, "mlflow", tmp_path) == [names(content), []]
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    client = tracking.MlflowClient(tracking_uri=str(tmp_path))
    experiment = client.get_experiment_by_name("sweep")
    found = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert found.keys() == set(names(content))
    for run in content.runs:
        stored = found[run.name]
        assert {name: stored.data.metrics[name.replace("=", "_")] for name in run.metrics} == dict(run.metrics)
        assert stored.data.params == {name: str(value) for name, value in run.parameters.items()}
        assert stored.info.status == ("FAILED" if run.failed else "FINISHED")
        for name, points in run.curves.items():
            history = client.get_metric_history(stored.info.run_id, name)
            assert sorted((metric.step, metric.value) for metric in history) == list(points)
    reports = {file.path for file in client.list_artifacts(found[CLAIMS_RUN].info.run_id)}
    assert {"claims.json", "report.txt", "results.csv"} <= reports


def _records(path: Path) -> Iterator[Any]:
    """The records of an offline file of W&B: LevelDB's log format around its own protocol buffers."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, position, parts = path.read_bytes(), 7, b""
    assert data[:4] == b":W&B"
    while position + 7 <= len(data):
        left = 32768 - position % 32768
        if left < 7:
            position += left
            continue
        length, kind = struct.unpack_from("<HB", data, position + 4)
        parts += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in {1, 4}:  # a full record, or the last part of one
            record = Record()
            record.ParseFromString(parts)
            yield record
            parts = b""


def test_wandb_offline(content: Tracked, tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    assert exported_twice(content, "wandb", tmp_path) == [names(content), []]
    files = sorted(tmp_path.glob("wandb/offline-run-*/*.wandb"))
    assert len(files) == len(content.runs)
    found = {path.stem.removeprefix("run-"): list(_records(path)) for path in files}
    for run in content.runs:
        records = found[run.id]
        (header,) = [record.run for record in records if record.WhichOneof("record_type") == "run"]
        assert (header.display_name, header.project) == (run.name, "sweep")
        config = {item.key: json.loads(item.value_json) for item in header.config.update}
        assert {name: config[name] for name in run.parameters} == dict(run.parameters)
        logged: dict[str, list[tuple[int, float]]] = {}
        for record in records:
            row = {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
            for name in run.curves.keys() & row.keys():
                logged.setdefault(name, []).append((int(row[f"{name.partition('/')[0]}/step"]), row[name]))
        assert logged == {name: list(points) for name, points in run.curves.items()}
        summary = {
            item.key or "/".join(item.nested_key): json.loads(item.value_json)
            for r in records
            for item in r.summary.update
        }
        assert {name: summary.get(name) for name in run.metrics} == dict(run.metrics)


def test_trackio(content: Tracked, tmp_path: Path) -> None:
    pytest.importorskip("trackio")
    assert exported_twice(content, "trackio", tmp_path) == [names(content), []]
    code = (
        "import json, trackio\nfrom trackio.sqlite_storage import SQLiteStorage as storage\n"
        "runs = {run.name: dict(run.config) for run in trackio.Api().runs('sweep')}\n"
        "print(json.dumps({name: [config, storage.get_logs('sweep', name)] for name, config in runs.items()}))"
    )
    environment = os.environ | {"TRACKIO_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    assert found.keys() == set(names(content))
    for run in content.runs:
        config, logs = found[run.name]
        assert {name: config[name] for name in run.parameters} == dict(run.parameters)
        assert {name: logs[-1][name] for name in run.metrics} == dict(run.metrics)
        for name, points in run.curves.items():
            assert [(log["step"], log[name]) for log in logs if name in log] == list(points)


def test_only_what_changed_is_written_again(content: Tracked, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    to_tensorboard.export(content, tmp_path)
    first, *others = content.runs
    changed = Tracked(content.experiment, (_with_metric(first, "double_integrator/final_error", 1.0), *others))
    assert to_tensorboard.export(changed, tmp_path) == [first.name]
    assert to_tensorboard.export(changed, tmp_path) == []


def _with_metric(run: TrackedRun, name: str, value: float) -> TrackedRun:
    from dataclasses import replace

    return replace(run, metrics={**run.metrics, name: value})


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["swep", "--to", "tensorboard"], "Did you mean 'sweep'?"),
        (["sweep", "--to", "tensorbord"], "Did you mean"),
        (["sweep", "--to", "wandb", "--output", "https://example.org"], "must be a folder"),
        (["sweep", "--to", "mlflow", "--output", "ftp://example.org"], "must be a folder"),
    ],
)
def test_mistakes(words: list[str], message: str, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", *words, "--workspace", str(root)]) == 3
    assert message in capsys.readouterr().err


def test_a_missing_package_is_named(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("mlflow", "mlflow.tracking"):
        monkeypatch.setitem(sys.modules, package, None)
    assert main(["export", "sweep", "--to", "mlflow", "--workspace", str(root)]) == 3
    assert "pip install 'setpoint[mlflow]'" in capsys.readouterr().err
