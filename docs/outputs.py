"""Run the commands whose output the pages show, and write what they print: `python docs/outputs.py [PAGE …]`.

A page names such a command in a comment above the block that shows its output:

    <!-- output: setpoint systems | head -5 -->

The commands of a page run in order in one new workspace. Times and run names are those of the machine that ran them.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
SHOWN = re.compile(r"(<!-- output: (.+?) -->\n```\w*\n)(.*?)(^```$)", re.DOTALL | re.MULTILINE)


def main(pages: list[Path]) -> None:
    """Rewrite the outputs of `pages`; of all pages that show one, where none is named."""
    for page in pages or [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        text = page.read_text(encoding="utf-8")
        if SHOWN.search(text):
            with tempfile.TemporaryDirectory() as workspace:
                rewritten = SHOWN.sub(lambda shown: f"{shown[1]}{output(shown[2], workspace)}{shown[4]}", text)
            page.write_text(rewritten, encoding="utf-8")


def output(command: str, workspace: str) -> str:
    """What `command` prints on stdout, without the name of the workspace.

    Raises:
        CalledProcessError: the command failed.
    """
    print(command, file=sys.stderr)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "SETPOINT_WORKSPACE": workspace}
    shell = ["bash", "-o", "pipefail", "-c", command]
    printed = subprocess.run(shell, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
    return printed.replace(f"{workspace}/", "").rstrip() + "\n"


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])
