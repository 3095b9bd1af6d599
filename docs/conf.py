"""The documentation site: Sphinx reads the Markdown below this folder; `make docs` builds it strictly.

Strict means that a warning, a dead link or anchor, and a reference to a name that the API page lacks end the build.
Nothing is fetched: pages link to other projects by address, never by their inventories.
"""

from setpoint import __version__

project = "Setpoint"
author = "the Setpoint developers"
copyright = author
version = release = __version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["images"]

html_theme = "furo"
html_title = f"Setpoint {__version__}"
html_show_sphinx = False
html_copy_source = False

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4

nb_execution_mode = "cache"
nb_execution_raise_on_error = True
nb_execution_timeout = 900
nb_merge_streams = True

autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
add_module_names = False
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

# Types of other projects cannot be looked up without fetching their inventories.
nitpick_ignore_regex = [("py:.*", r"(?!setpoint\.).*")]
