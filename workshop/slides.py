"""Slides of a route, made from the lessons: `python workshop/slides.py half-day FOLDER`.

What is asked stands on the slide, with the code; what comes out of it appears at the next key, once
everybody has bet. The prose of the lesson becomes the speaker's notes (key S). Solutions and checks
are left out. The pages load reveal.js from the network; with `--offline` it is put beside them.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from zipfile import ZipFile

from asyncml.course.lab import lessons
from asyncml.course.routes import SETUP, part_of, routes

OPTIONS = {
    "TagRemovePreprocessor.remove_input_tags": "['only-outputs']",
    "TemplateExporter.exclude_input_prompt": "True",
    "TemplateExporter.exclude_output_prompt": "True",
    "SlidesExporter.reveal_width": "960",  # so that type is a third larger at 1280 x 720
    "SlidesExporter.reveal_height": "540",
    "SlidesExporter.reveal_scroll": "True",
    "SlidesExporter.reveal_number": "c/t",
    "SlidesExporter.reveal_transition": "none",
}
BESIDE = {
    "SlidesExporter.reveal_url_prefix": "assets/sphinx_revealjs/_static/revealjs",
    "HTMLExporter.require_js_url": "assets/nbclassic/static/components/requirejs/require.js",
    "HTMLExporter.jquery_url": "assets/nbclassic/static/components/jquery/jquery.min.js",
    "HTMLExporter.mathjax_url": "assets/nbclassic/static/components/MathJax/MathJax.js"
    "?config=TeX-AMS-MML_HTMLorMML-full,Safe",
}
STYLE = """<style>
.reveal pre { white-space: pre-wrap !important; }
.reveal .jp-OutputArea img { max-height: 480px; width: auto; max-width: 100%; }
</style></head>"""
PARAGRAPH = re.compile(r"\s*(```.*?\n```|\$\$.*?\$\$[^\n]*|.+?)(?:\n\s*\n|\Z)", re.DOTALL)
LINES = 21  # on a slide
HEAD = re.compile(r"##? (?!Exercise)|#+ Exercise")
EXERCISE = re.compile(r"#+ Exercise")
SHOWN = re.compile(r"#|\||[-*] |\d\. |\$\$|```|.*\*\*(What|How|Which|When|Your|With a)\b")


def slides_of(notebook):
    """Return the notebook with types of slides, bets before their results, and prose as notes."""
    made, room = [], 0  # cells, and how many more lines the last slide has room for
    for cell in notebook["cells"]:
        name, source = cell["id"], "".join(cell["source"])
        if "solution" in cell["metadata"].get("tags", ()) or "solution" in name:
            continue
        if cell["cell_type"] == "markdown" and name != "part-before":
            made += texts(name, source)
            is_shown = made and not made[-1]["id"].endswith("notes")
            room = LINES - lines(made[-1]["source"]) if is_shown else 0
        elif "image/png" in json.dumps(cell.get("outputs", "")):
            made.append(code(cell, name, "subslide", "only-outputs"))  # a slide for the figure
            room = 0
        elif cell["cell_type"] == "code" and not is_left_out(name, source):
            room -= lines(source)
            made.append({**code(cell, name, "-" if room >= 0 else "subslide"), "outputs": []})
            room = room if room >= 0 else LINES - lines(source)
            if cell["outputs"]:
                room -= lines("".join("".join(one.get("text", "x")) for one in cell["outputs"]))
                kind = "fragment" if room >= 0 else "subslide"
                made.append(code(cell, f"{name}-out", kind, "only-outputs"))
                room = 0
    return {**notebook, "cells": made}


def texts(name, source):
    """Yield the slides of a cell of text, each with what it leaves out as notes."""
    parts = [part.strip() for part in re.findall(PARAGRAPH, source)]
    heads = [n for n, part in enumerate(parts) if HEAD.match(part)]
    for first, after in pairwise([0, *heads, len(parts)] if heads != [0] else [0, len(parts)]):
        some = parts[first:after]
        asked = any(EXERCISE.match(part) for part in some)
        shown = [part for part in some if asked or SHOWN.match(part)]
        told = "\n\n".join(part for part in some if part not in shown)
        kind = "slide" if first in heads else "subslide"
        if told:
            yield markdown(f"{name}-{first}-notes", told, "notes")
        if shown:
            yield markdown(f"{name}-{first}", "\n\n".join(shown), kind)


def lines(text):
    """Return how many lines a text takes on a slide."""
    return 1 + sum(1 + len(line) // 80 for line in text.splitlines())


def is_left_out(name, source):
    """Tell whether a cell only sets up, checks, or takes a bet."""
    return (
        name in (SETUP, "part-needs", "imports") or "check(" in source or source.startswith("bet_")
    )


def markdown(name, text, kind):
    """Return a cell of text."""
    metadata = {"slideshow": {"slide_type": kind}}
    return {"cell_type": "markdown", "id": name, "metadata": metadata, "source": text}


def code(cell, name, kind, *tags):
    """Return a cell of code again, under another name."""
    return {**cell, "id": name, "metadata": {"slideshow": {"slide_type": kind}, "tags": [*tags]}}


def fetch_assets(folder):
    """Put what the pages load beside them: reveal.js, require.js, jQuery and MathJax."""
    wanted = "sphinx_revealjs/_static/revealjs/", "nbclassic/static/components/"
    with tempfile.TemporaryDirectory() as wheels:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "-d", wheels]
        subprocess.run([*command, "sphinx-revealjs", "nbclassic"], check=True)
        for wheel in Path(wheels).glob("*.whl"):
            with ZipFile(wheel) as archive:
                names = [name for name in archive.namelist() if name.startswith(wanted)]
                archive.extractall(folder / "assets", names)


def main(arguments=None):
    """Make a page of slides for each part of a route."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("route", choices=[route.name for route in routes()])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--offline", action="store_true", help="put all that they load beside them")
    given = parser.parse_args(arguments)
    given.folder.mkdir(parents=True, exist_ok=True)
    if given.offline:
        fetch_assets(given.folder)
    options = OPTIONS | (BESIDE if given.offline else {})
    (route,) = (route for route in routes() if route.name == given.route)
    for part in route.parts:
        whole = json.loads((lessons() / f"{part.lesson}.ipynb").read_text(encoding="utf-8"))
        made = given.folder / f"{part.lesson}.ipynb"
        made.write_text(json.dumps(slides_of(part_of(whole, part))), encoding="utf-8")
    command = [sys.executable, "-m", "jupyter", "nbconvert", "--to", "slides", "--log-level=WARN"]
    command += [f"--{name}={value}" for name, value in options.items()]
    subprocess.run([*command, *map(str, given.folder.glob("*.ipynb"))], check=True)
    for page in given.folder.glob("*.slides.html"):
        text = page.read_text(encoding="utf-8").replace("</head>", STYLE, 1)
        page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
