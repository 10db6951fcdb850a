"""Settings of the site; `python site/build.py` puts the pages together and runs Sphinx on them."""

import os
import re

from asyncml import __version__
from asyncml.course.address import REPOSITORY

REPOSITORY = os.environ.get("ASYNCML_REPOSITORY", REPOSITORY)  # for its test

project = "asyncml"
author = copyright = "The asyncml authors"
version = release = __version__
language = "en-GB"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
]
mathjax_path = "mathjax/tex-chtml.js"  # formulas without a network request
nb_execution_mode = "off"  # the lessons are shown as they were executed
nb_ipywidgets_js = {}  # these would be loaded from the network
nb_merge_streams = True
nb_code_prompt_show = "Show our solution"  # nothing else is folded
nb_code_prompt_hide = "Hide our solution"
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 4
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {
    "members": True,
    "imported-members": True,
    "special-members": "__call__",
}
toc_object_entries_show_parents = "hide"
default_role = "code"  # docstrings write code in single backticks
python_maximum_signature_line_length = 72  # longer ones have a line for each parameter
napoleon_google_docstring = True
napoleon_use_ivar = True
suppress_warnings = ["mystnb.unknown_mime_type"]

html_theme = "sphinx_book_theme"
html_title = "asyncml"
html_static_path = ["_static"]
html_css_files = ["asyncml.css"]
html_favicon = "_static/icon.svg"
html_last_updated_fmt = None
html_domain_indices = False  # it would list only this module
html_context = {"default_mode": "auto"}  # light or dark like the reader's system
html_theme_options = {
    "use_download_button": True,
    "show_toc_level": 2,
    "footer_content_items": ["copyright.html"],
    "navbar_persistent": [],  # the search is in the sidebar
    "repository_url": REPOSITORY,
    "repository_branch": "main",
    "path_to_docs": "",  # a page of a lesson has the lesson's path
    "use_repository_button": bool(REPOSITORY),
    "use_issues_button": bool(REPOSITORY),
    "launch_buttons": {
        "notebook_interface": "jupyterlab",
        "binderhub_url": "https://mybinder.org" if REPOSITORY else "",
        "colab_url": "https://colab.research.google.com" if REPOSITORY else "",
    },
}

_IN = r"~?(?:\w+\.)*"  # modules before a name
_NUMPY = [  # types as written, not as NumPy spells them out
    (
        re.compile(rf"{_IN}_Buffer \| {_IN}_SupportsArray.*?\[complex \| bytes \| str\]"),
        "ArrayLike",
    ),
    (
        re.compile(rf"{_IN}ndarray\[tuple\[{_IN}Any, \.\.\.\], {_IN}dtype\[{_IN}(\w+)\]\]"),
        r"NDArray[\1]",
    ),
    (re.compile("<factory>"), "..."),
]
_ANYTHING = "(*args, **kwargs)"  # the signature of a protocol


def _short(text):
    for pattern, word in _NUMPY:
        text = pattern.sub(word, text)
    return text


def _bare(text):
    """Return a type without the modules before its names."""
    return re.sub(r"\b(?:\w+\.)+(?=[A-Z])", "", text)


def _shorter(app, what, name, obj, options, signature, returned):
    if what == "class" and signature == _ANYTHING:
        return "", returned
    return signature and _short(signature), returned and _short(returned)


def _as_meant(app, what, name, obj, options, lines):
    """Turn the map in a room's docstring (one indented line per file) into a list.

    A lone hyphen in a table becomes a dash, because it would be an empty list. The types of fields
    are shortened as those of signatures are.
    """
    lines[:] = [re.sub(r"(?<=  )-(?=  )", "–", line) for line in lines]
    lines[:] = [_bare(_short(line)) if line.startswith(":vartype") else line for line in lines]
    if what == "module":
        found = [(line, re.fullmatch(r" {4}(\w+) +(\S.*)", line)) for line in lines]
        lines[:] = [f"- `{file[1]}`: {file[2]}" if file else line for line, file in found]


def _without_fields(app, what, name, obj, skip, options):
    """Skip the fields of named tuples: the class documents them, their own docstrings do not."""
    return skip or (getattr(obj, "__doc__", None) or "").startswith("Alias for field number")


def setup(app):
    """Connect the functions above to autodoc."""
    app.connect("autodoc-process-signature", _shorter)
    app.connect("autodoc-process-docstring", _as_meant)
    app.connect("autodoc-skip-member", _without_fields)
