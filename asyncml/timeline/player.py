"""A timeline that a reader can step through: in a notebook's output, or as a page of its own.

The browser is given a single piece of HTML. If scripts may not run, as in a notebook that is not
trusted, it shows the figure and the text; otherwise `player.js` replaces them. Everything that
comes from the recording is escaped, and nothing is loaded from elsewhere.
"""

import base64
import html
import io
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from asyncml.timeline import drawing
from asyncml.timeline.findings import find
from asyncml.timeline.lanes import Lanes
from asyncml.timeline.script import as_json

_START = """"use strict";
for (const host of document.querySelectorAll(".asyncml-player:not([data-on])")) {
host.setAttribute("data-on", "");
"""
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; \
style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>{title}</title>
<style>:root {{ color-scheme: light dark }} body {{ margin: 0 auto; padding: 1rem; \
max-width: 80rem; font: 15px/1.5 system-ui, sans-serif }}</style>
</head>
<body>
<main>
{fragment}
</main>
</body>
</html>
"""


class Player:
    """One or more timelines to step through; made by `Timeline.play`.

    A notebook shows the player in the output of its cell; anything else shows the timelines as
    text.
    """

    def __init__(self, *timelines: Lanes) -> None:
        self._timelines = timelines
        names = [timeline.tracks[0].label for timeline in timelines]
        is_one_name = len({*names}) < len(names)
        self._names = [f"{n}: {name}" if is_one_name else name for n, name in enumerate(names, 1)]

    def save(self, path: str | Path) -> None:
        """Write a self-contained page, which needs no network.

        Args:
            path: the file to write, such as "run.html".
        """
        title = html.escape(" and ".join(self._names)) + ": a timeline"
        page = _PAGE.format(title=title, fragment=self._fragment(picture=False))
        Path(path).write_text(page, encoding="utf-8")

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/html": self._fragment(picture=True), "text/plain": repr(self)}

    def __repr__(self) -> str:
        """Return the timelines as text."""
        texts = [drawing.text(timeline) for timeline in self._timelines]
        return "\n\n".join(texts)

    def _fragment(self, *, picture: bool) -> str:
        images = "".join(map(_image, self._timelines)) if picture else ""
        script = _file("player.js").replace("/*CSS*/", _file("player.css"))
        return (
            f'<div class="asyncml-player">{images}<details><summary>The timeline as text</summary>'
            f"<pre>{html.escape(self._text())}</pre></details>"
            f'<script type="application/json">{as_json(self._timelines, self._names)}</script>'
            f"<script>{_START}{script}}}</script></div>"
        )

    def _text(self) -> str:
        words = [
            "\n".join([drawing.text(each), "", drawing.describe(each), *map(str, find(each))])
            for each in self._timelines
        ]
        return "\n\n".join(words)


@cache
def _file(name: str) -> str:
    """Return a file of this package without indentation and comment lines."""
    text = files("asyncml.timeline").joinpath(name).read_text(encoding="utf-8")
    lines = map(str.strip, text.splitlines())
    return "\n".join(line for line in lines if not line.startswith("//"))


def _image(timeline: Lanes) -> str:
    """Return the figure of a timeline as an HTML element; "" if Matplotlib is not installed."""
    try:
        import matplotlib.pyplot as plt
    except ModuleNotFoundError:
        return ""
    figure: Any = drawing.plot(timeline).get_figure()
    png = io.BytesIO()
    figure.savefig(png, dpi=80, metadata={"Software": None})
    plt.close(figure)
    name = html.escape(timeline.tracks[0].label, quote=True)
    first = drawing.describe(timeline).partition("\n")[0]
    source = f"data:image/png;base64,{base64.b64encode(png.getvalue()).decode()}"
    return f'<img src="{source}" alt="Timeline of {name}: {first} Its text follows.">'
