"""Draw the picture of a report that the README shows: `python docs/picture.py demo/experiments/*/reports/report.html`.

Needs Chromium (`apt-get install chromium`). The upper part of the page is kept.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

PICTURE = Path(__file__).parent / "images" / "report.png"
WIDTH, HEIGHT = 1400, 1480


def main(report: Path) -> None:
    """Write the picture of `report`, an HTML file."""
    options = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--virtual-time-budget=20000",
        f"--window-size={WIDTH},{HEIGHT}",
    ]
    with tempfile.TemporaryDirectory() as folder:
        shot = Path(folder) / "shot.png"
        command = ["chromium", *options, f"--screenshot={shot}", report.resolve().as_uri()]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        colours = Image.open(shot).convert("P", palette=Image.Palette.ADAPTIVE, colors=160)
    PICTURE.parent.mkdir(exist_ok=True)
    colours.save(PICTURE, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
