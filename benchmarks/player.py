"""The time of a frame of the player's script, with 2,000 slices, in headless Chromium."""

import statistics
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import asyncml as aml
from tests.timeline.programs import queue_of


def main() -> Iterator[tuple[str, str, str]]:
    """Yield rows: the measurement, its figure and its limit."""
    if not find_spec("playwright"):
        yield "a frame of the player", "no browser", "at most 8 ms"
        return
    timeline = aml.simulate(aml.record(queue_of(520)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "run.html")
        timeline.save(path)
        size = path.stat().st_size
        took = _frames(path)
    slices = f"{len(timeline.slices):,} slices"
    yield f"a page of {slices}", f"{size / 1000:.0f} kB", "at most 300 kB"
    yield f"script of a frame, dragging over {slices}", _figures(took), "at most 8 ms"


def _figures(took: list[float]) -> str:
    ordered = sorted(took)
    late = ordered[int(0.95 * len(ordered))]
    return f"{statistics.median(took):.1f} ms, 95 % within {late:.1f} ms"


def _frames(path: Path) -> list[float]:
    from tests.timeline.browser import SCRIPT, browser

    with browser() as chromium:
        page = chromium.new_page(viewport={"width": 1280, "height": 900})
        page.add_init_script(SCRIPT)
        page.goto(path.as_uri())
        bars = page.locator(".bars").bounding_box()
        x, y = bars["x"], bars["y"] + 30
        page.mouse.move(x + 200, y)
        page.mouse.down()
        for right in range(200, 1100, 6):
            page.mouse.move(x + right, y)
            page.evaluate("settled()")
        return [each for each in page.evaluate("frames_ms.slice(20)") if each > 0.2]
