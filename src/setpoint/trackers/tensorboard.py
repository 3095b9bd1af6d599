"""Export to event files of TensorBoard: one folder per run, with scalars, hyperparameters and texts."""

import json
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from setpoint.artifacts import read_json, remove, temporary_path, write_text
from setpoint.trackers.content import Tracked, TrackedRun

_STATE = "setpoint.json"
"""File in the folder of a run with the digest of what was exported."""


def export(content: Tracked, target: Path) -> list[str]:
    """Write the runs that are not in the folder `target` yet, or differ; return their names.

    Raises:
        ModuleNotFoundError: the package tensorboard is not installed.
    """
    written = []
    for run in content.runs:
        folder = target / run.name
        state = read_json(folder / _STATE)
        if isinstance(state, dict) and state.get("digest") == run.digest:
            continue
        beside = temporary_path(folder)
        beside.mkdir(parents=True)
        _write(run, beside)
        write_text(beside / _STATE, json.dumps({"run": run.id, "digest": run.digest}) + "\n")
        remove(folder)
        beside.rename(folder)
        written.append(run.name)
    return written


def _write(run: TrackedRun, folder: Path) -> None:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    time_s = datetime.fromisoformat(run.finished_at).timestamp()
    writer = EventFileWriter(os.fspath(folder))
    for step, summary in _summaries(run, time_s):
        writer.add_event(Event(wall_time=time_s, step=step, summary=summary))
    writer.close()


def _summaries(run: TrackedRun, time_s: float) -> Iterator[tuple[int, Any]]:
    """Yield step and summary of every event."""
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import summary_v2
    from tensorboard.plugins.text.metadata import create_summary_metadata

    yield 0, summary_v2.hparams_pb(dict(run.parameters), trial_id=run.id, start_time_secs=time_s)
    for name, points in run.curves.items():
        for step, value in points:
            yield step, Summary(value=[Summary.Value(tag=name, simple_value=value)])
    for name, value in run.metrics.items():
        yield 0, Summary(value=[Summary.Value(tag=name, simple_value=value)])
    for name, text in {**run.tags, **run.texts}.items():
        metadata = create_summary_metadata(display_name=name, description="")
        value = Summary.Value(tag=f"{name}/text_summary", metadata=metadata)
        value.tensor.dtype = 7  # DT_STRING
        value.tensor.tensor_shape.dim.add(size=1)
        value.tensor.string_val.append(text.encode())
        yield 0, Summary(value=[value])
