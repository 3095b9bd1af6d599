"""Changes to a plan.json that keep its seal, as if it had been planned so."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from setpoint.fingerprint import SEAL, sealed


def change_plan(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Apply `change` to the content of the plan of the experiment in `folder`, and seal it again."""
    path = folder / "plan.json"
    content = json.loads(path.read_text())
    del content[SEAL]
    change(content)
    path.write_text(json.dumps(sealed(content)))
