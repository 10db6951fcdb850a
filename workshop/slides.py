"""Slides of a route, made from the lessons: `python workshop/slides.py half-day FOLDER`.

The slide shows the question and the code; its output appears at the next key press, once everybody
has bet. The lesson's prose becomes the speaker's notes (key S). Solutions and checks are left out.
The pages load reveal.js from the network; with `--offline`, a copy is put beside them.
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
    "SlidesExporter.reveal_width": "960",  # type is a third larger at 1280 x 720
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
.reveal .jp-OutputArea img { max-height: 500px; width: auto; max-width: 100%; margin: 0 auto; }
.reveal .jp-RenderedImage, .reveal section:has(img) .jp-Cell { padding: 0; margin: 0; }
.reveal .celltag_small pre { font-size: 15px !important; line-height: 1.2 !important; }
.reveal .anchor-link { display: none; }
</style></head>"""
FONTS = """<head><script type="text/x-mathjax-config">
MathJax.Hub.Config({"HTML-CSS": {availableFonts: [], imageFont: null, webFont: "STIX-Web"}});
</script>"""  # the fonts that come with nbclassic
FETCHES = re.compile(r"<script type=.module.>(?:(?!</script>).)*mermaid.*?</script>", re.DOTALL)
PARAGRAPH = re.compile(r"\s*(```.*?\n```|\$\$.*?\$\$[^\n]*|.+?)(?:\n\s*\n|\Z)", re.DOTALL)
LINES = 20  # on a slide
HEAD = re.compile(r"##? (?!Exercise)|#+ Exercise")
EXERCISE = re.compile(r"#+ Exercise")
STUB = re.compile(r"\w+ = \.\.\.( +#.*)?\s*")
TITLE = re.compile(r"# |\*\*What you'll do")
SHOWN = re.compile(r"#|\||[-*] |\d\. |\$\$|```|.*\*\*(What|How|Which|When|Your|With a)\b")


def slides_of(notebook):
    """Return the notebook with slide types: bets before their results, and prose as notes."""
    made, room = [], 0  # cells; lines left on the last slide
    for cell in notebook["cells"]:
        name, source = cell["id"], "".join(cell["source"])
        if "solution" in cell["metadata"].get("tags", ()) or "solution" in name:
            continue
        if cell["cell_type"] == "markdown" and name != "part-before":
            made += texts(name, source)
            is_shown = made and not made[-1]["id"].endswith("notes")
            room = LINES - lines(made[-1]["source"]) if is_shown and name != "title" else 0
        elif cell["cell_type"] == "code" and not is_left_out(name, source):
            groups = list(fitting(cell["outputs"]))
            if "image/png" in str(groups):  # plotting code is left out
                kind = "subslide"
            else:
                room -= lines(source)
                small = ["small"] if lines(source) > LINES else []
                kind = "-" if room >= 0 else "subslide"
                made.append({**code(cell, name, kind, *small), "outputs": []})
                room = room if room >= 0 else LINES - lines(source)
                fits = len(groups) == 1 and sum(map(size, groups[0])) <= room
                kind = "fragment" if fits else "subslide"
            for n, group in enumerate(groups):
                shown = {**cell, "outputs": group}
                made.append(code(shown, f"{name}-out{n or ''}", kind, "only-outputs"))
            room = 0 if groups else room
    return {**notebook, "cells": made}


def fitting(outputs):
    """Yield groups of outputs, one per slide: a figure alone, a long text in parts."""
    group, room = [], LINES
    for one in pieces(outputs):
        if group and size(one) > room:
            yield group
            group, room = [], LINES
        group.append(one)
        room -= size(one)
    if group:
        yield group


def pieces(outputs):
    """Yield the outputs: of an error its last line, and a long text split at blank lines."""
    for one in outputs:
        if one["output_type"] == "error":
            yield stream(f"{one['ename']}: {one['evalue']}")
        elif one["output_type"] == "stream" and size(one) > LINES:
            yield from (stream(f"{text}\n\n") for text in "".join(one["text"]).split("\n\n"))
        else:
            yield one


def stream(text):
    """Return printed text as an output."""
    return {"output_type": "stream", "name": "stdout", "text": text}


def size(output):
    """Return the number of lines that an output takes on a slide; a figure takes all."""
    data = output.get("data", {})
    if "image/png" in data:
        return LINES
    return lines("".join(output.get("text") or data.get("text/plain", "")))


def texts(name, source):
    """Yield the slides of a text cell; text that a slide leaves out becomes its notes."""
    parts = [part.strip() for part in re.findall(PARAGRAPH, source)]
    heads = [n for n, part in enumerate(parts) if HEAD.match(part)]
    for first, after in pairwise([0, *heads, len(parts)] if heads != [0] else [0, len(parts)]):
        some = parts[first:after]
        asked = any(EXERCISE.match(part) for part in some)
        wanted = TITLE if name == "title" else SHOWN
        shown = [part for part in some if asked or wanted.match(part)]
        told = "\n\n".join(part for part in some if part not in shown)
        kind = "slide" if first in heads else "subslide"
        if told:
            yield markdown(f"{name}-{first}-notes", told, "notes")
        for n, text in enumerate(packed(shown)):
            yield markdown(f"{name}-{first + n}", text, "subslide" if n else kind)


def packed(parts):
    """Yield paragraphs, joined while they fit on a slide."""
    text = ""
    for part in parts:
        if text and lines(f"{text}\n\n{part}") > LINES:
            yield text
            text = ""
        text += f"\n\n{part}" if text else part
    if text:
        yield text


def lines(text):
    """Return the number of lines that a text takes on a slide."""
    return 1 + sum(1 + len(line) // 80 + (line[:2] == "##") for line in text.splitlines())


def is_left_out(name, source):
    """Return whether a cell only sets up, checks, or takes a bet."""
    return (
        name in (SETUP, "part-needs", "imports", "names")
        or "check(" in source
        or source.startswith("bet_")
        or STUB.fullmatch(source) is not None
    )


def markdown(name, text, kind):
    """Return a text cell."""
    metadata = {"slideshow": {"slide_type": kind}}
    return {"cell_type": "markdown", "id": name, "metadata": metadata, "source": text}


def code(cell, name, kind, *tags):
    """Return a copy of a code cell, under another name."""
    return {**cell, "id": name, "metadata": {"slideshow": {"slide_type": kind}, "tags": [*tags]}}


def fetch_assets(folder):
    """Put reveal.js, require.js, jQuery and MathJax beside the pages that load them."""
    wanted = "sphinx_revealjs/_static/revealjs/", "nbclassic/static/components/"
    with tempfile.TemporaryDirectory() as wheels:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "-d", wheels]
        subprocess.run([*command, "sphinx-revealjs", "nbclassic"], check=True)
        for wheel in Path(wheels).glob("*.whl"):
            with ZipFile(wheel) as archive:
                names = [name for name in archive.namelist() if name.startswith(wanted)]
                archive.extractall(folder / "assets", names)
    for sheet in folder.glob("assets/**/*.css"):  # pages would wait for remote fonts
        text = sheet.read_text(encoding="utf-8")
        sheet.write_text(re.sub(r"@import url\(http.*?\);", "", text), encoding="utf-8")


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
        text = FETCHES.sub("", text, 1).replace("<head>", FONTS, 1)
        page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
