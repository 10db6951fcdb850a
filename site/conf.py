"""Settings of the site; `python site/build.py` puts the pages together and runs Sphinx on them."""

from asyncml import __version__
from asyncml.course.address import REPOSITORY

project = "asyncml"
author = "The asyncml authors"
copyright = author
version = release = __version__
language = "en-GB"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx-mathjax-offline",  # formulas without a request to anywhere
]
nb_execution_mode = "off"  # the lessons are shown as they were executed
nb_ipywidgets_js = {}  # these would be loaded from elsewhere
nb_merge_streams = True
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 4
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "imported-members": True}
default_role = "code"  # docstrings write code in single backticks
napoleon_google_docstring = True
napoleon_use_ivar = True
suppress_warnings = ["mystnb.unknown_mime_type"]

html_theme = "sphinx_book_theme"
html_title = "asyncml"
html_static_path = ["_static"]
html_css_files = ["asyncml.css"]
html_last_updated_fmt = None
html_theme_options = {
    "use_download_button": True,
    "show_toc_level": 2,
    "home_page_in_toc": True,
    "navbar_persistent": [],  # the search stands in the sidebar
    "repository_url": REPOSITORY,
    "repository_branch": "main",
    "path_to_docs": "notebooks",
    "use_repository_button": bool(REPOSITORY),
    "use_issues_button": bool(REPOSITORY),
    "launch_buttons": {
        "binderhub_url": "https://mybinder.org" if REPOSITORY else "",
        "colab_url": "https://colab.research.google.com" if REPOSITORY else "",
    },
}
