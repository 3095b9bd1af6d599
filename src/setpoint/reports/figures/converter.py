"""Convert specifications to files in a process of its own: a crash of the drawing library must not lose a report.

Run as a script: reads a JSON list of `spec`, `path` and `scale` from stdin. Imports nothing of the package.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

_CLIP = re.compile(r"\bclip\d+\b")


def convert(spec: dict[str, Any], path: Path, scale: float) -> None:
    """Write one figure in the format of the suffix of `path`."""
    import vl_convert

    if path.suffix == ".svg":
        numbers: dict[str, str] = {}
        # Clip paths are numbered through a process; the same figure is to give the same bytes.
        text = _CLIP.sub(
            lambda found: numbers.setdefault(found[0], f"clip{len(numbers)}"), vl_convert.vegalite_to_svg(spec)
        )
        path.write_text(text, encoding="utf-8")
    elif path.suffix == ".pdf":
        path.write_bytes(vl_convert.vegalite_to_pdf(spec))
    else:
        path.write_bytes(vl_convert.vegalite_to_png(spec, scale=scale))


def main() -> int:
    """Convert all figures."""
    for job in json.load(sys.stdin):
        convert(job["spec"], Path(job["path"]), job["scale"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
