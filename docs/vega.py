"""Write the library that draws the figures of a report: `python docs/vega.py`.

The file is the bundle of Vega, Vega-Lite, Vega-Embed and the Vega interpreter that vl-convert contains, so that pages
and files are drawn by the same versions.
"""

import sys
from pathlib import Path

import vl_convert

ASSET = Path(__file__).parents[1] / "src" / "setpoint" / "reports" / "assets" / "vega.js"
HEAD = """\
/*! Vega {vega}, Vega-Lite {lite}, Vega-Embed {embed}, Vega-Interpreter: Copyright University of Washington Interactive
Data Lab, BSD-3-Clause; D3: Copyright Mike Bostock, ISC. Licences: LICENSE.vega.txt. Bundled by docs/vega.py. */
"""


def bundle() -> str:
    """The minified script, which defines `vegaEmbed`, after its licences."""
    versions = {
        "vega": vl_convert.get_vega_version(),
        "lite": vl_convert.get_vegalite_versions()[-1],
        "embed": vl_convert.get_vega_embed_version(),
    }
    return HEAD.format(**versions) + vl_convert.javascript_bundle("window.vegaEmbed=vegaEmbed;").strip() + "\n"


def main() -> int:
    """Write the file."""
    ASSET.write_text(bundle(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
