"""The documentation site: Sphinx reads the Markdown below this folder; `make docs` builds it strictly.

Strict means that a warning, a dead link or anchor, and a reference to a name that the API page lacks end the build.
Nothing is fetched: pages link to other projects by address, never by their inventories.
"""

from typing import Any

from numpy.typing import ArrayLike
from sphinx.application import Sphinx
from sphinx.util.typing import stringify_annotation

from setpoint import __version__

project = "Setpoint"
author = "the Setpoint developers"
copyright = author
version = release = __version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["images", "published"]
html_extra_path = ["published"]

default_role = "code"

html_theme = "furo"
html_title = f"Setpoint {__version__}"
html_show_sphinx = False
html_copy_source = False
html_static_path = ["style"]
html_css_files = ["notebooks.css"]

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4

nb_execution_mode = "cache"
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_execution_in_temp = True
nb_execution_timeout = 900
nb_merge_streams = True
nb_output_stderr = "remove"

autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
add_module_names = False
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_attr_annotations = False

# Names that are not public appear in signatures without a link: those of other projects, whose inventories would have
# to be fetched, and types of inner modules. What pages link to is checked in any case.
nitpick_ignore_regex = [("py:.*", r"(?!setpoint\.[A-Z]).*")]


def setup(app: Sphinx) -> None:
    """Write `ArrayLike` in signatures, and not the union that it stands for."""
    union = stringify_annotation(ArrayLike, "smart")

    def shorten(_app: Sphinx, _kind: str, _name: str, _thing: Any, _options: Any, *texts: str | None) -> Any:
        return tuple(text and text.replace(union, "ArrayLike") for text in texts)

    app.connect("autodoc-process-signature", shorten)
