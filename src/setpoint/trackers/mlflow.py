"""Export to MLflow: a file store in a folder, or a server by its address."""

import contextlib
import os
import re
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from setpoint.trackers.content import Tracked, TrackedRun

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_RUN, _DIGEST = "setpoint.run", "setpoint.digest"
_BATCH = 1000
"""Most metrics that one request may hold."""
_FILE_STORE = "MLFLOW_ALLOW_FILE_STORE"
"""Variable without which MLflow 3 refuses its file store, the only one that needs neither a server nor a database."""
_LONGEST_VALUE = 500


def export(content: Tracked, target: str) -> list[str]:
    """Write the runs that the store `target` (a folder, or `http://…`) does not have yet, or has with other content.

    Returns:
        the names of the written runs.

    Raises:
        ModuleNotFoundError: the package mlflow-skinny is not installed.
    """
    from mlflow.tracking import MlflowClient

    with _quiet_file_store():
        client = MlflowClient(tracking_uri=target)
        found = client.get_experiment_by_name(content.experiment)
        store = client.create_experiment(content.experiment) if found is None else found.experiment_id
        known = {run.data.tags.get(_RUN): run for run in _runs(client, store)}
        written = []
        for run in content.runs:
            before = known.get(run.id)
            if before is not None:
                if before.data.tags.get(_DIGEST) == run.digest:
                    continue
                client.delete_run(before.info.run_id)
            _write(client, store, run)
            written.append(run.name)
        return written


@contextlib.contextmanager
def _quiet_file_store() -> Iterator[None]:
    before = os.environ.get(_FILE_STORE)
    os.environ[_FILE_STORE] = "true"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_FILE_STORE]
        else:
            os.environ[_FILE_STORE] = before


def _runs(client: "MlflowClient", store: str) -> Iterator[Any]:
    token = None
    while True:
        page = client.search_runs([store], max_results=1000, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _write(client: "MlflowClient", store: str, run: TrackedRun) -> None:
    """Write one run; its digest comes last, so that an interrupted one is written again."""
    from mlflow.entities import Metric, Param, RunTag

    time_ms = round(datetime.fromisoformat(run.finished_at).timestamp() * 1000)
    created = client.create_run(store, start_time=time_ms, run_name=run.name, tags={_RUN: run.id})
    identifier = created.info.run_id
    metrics = [Metric(_name(name), value, time_ms, 0) for name, value in run.metrics.items()]
    metrics += [
        Metric(_name(name), value, time_ms, step) for name, points in run.curves.items() for step, value in points
    ]
    for start in range(0, len(metrics), _BATCH):
        client.log_batch(identifier, metrics=metrics[start : start + _BATCH])
    for name, value in run.parameters.items():
        client.log_batch(identifier, params=[Param(_name(name), str(value)[:_LONGEST_VALUE])])
    texts = {**run.tags, **{f"text.{name}": text for name, text in run.texts.items()}}
    client.log_batch(identifier, tags=[RunTag(_name(name), text[:5000]) for name, text in texts.items()])
    for path in run.artefacts:
        if path.is_dir():
            client.log_artifacts(identifier, str(path), path.name)
        else:
            client.log_artifact(identifier, str(path))
    client.set_terminated(identifier, status="FAILED" if run.failed else "FINISHED", end_time=time_ms)
    client.set_tag(identifier, _DIGEST, run.digest)


def _name(name: str) -> str:
    """Return a name with the characters that MLflow takes."""
    return re.sub(r"[^\w\-. :/]", "_", name)
