"""What is given to a browser: complete, escaped, the same each time, and not too much."""

import asyncio
import json
import re
from pathlib import Path

import pytest

from asyncml.clock import compute, simulate
from asyncml.timeline import moments, player
from asyncml.timeline.recorder import record
from tests.timeline.programs import HOSTILE, crowd, hostile, kitchen, queue_of


def played(main):
    return simulate(record(main)).play()


def html(main):
    return played(main)._fragment(picture=False)


def data(main):
    found = re.search(r'<script type="application/json">(.*?)</script>', html(main), re.DOTALL)
    return json.loads(found[1])["runs"][0]


def told(main):
    """Return the lanes' states at each moment, in a line each."""
    story = moments.story(simulate(record(main)))
    lines = []
    for moment, at in enumerate(story.times):
        shown = {}
        for lane, pieces in story.lanes.items():
            begun = [piece for piece in pieces if piece.first <= moment]
            shown[lane] = begun[-1].state if begun else "-"
        lines.append((round(at, 9), shown))
    return lines


async def yields(times):
    for _ in range(times):
        await asyncio.sleep(0)


async def ping_pong():
    async with asyncio.TaskGroup() as group:
        group.create_task(yields(2), name="a")
        group.create_task(yields(2), name="b")


def test_steps_that_take_no_time_come_in_the_order_of_the_loop():
    runs = [
        next((lane for lane, state in shown.items() if state == "running"), "")
        for at, shown in told(ping_pong())
    ]
    assert runs == ["ping_pong", "a", "b", "a", "b", "a", "b", "ping_pong", ""]


def test_who_is_ready_is_known_at_each_step():
    shown = told(ping_pong())
    assert shown[1][1] == {"ping_pong": "waiting", "a": "running", "b": "ready"}
    assert shown[2][1] == {"ping_pong": "waiting", "a": "ready", "b": "running"}
    assert shown[6][1] == {"ping_pong": "waiting", "a": "finished", "b": "running"}
    assert shown[8][1] == {"ping_pong": "finished", "a": "finished", "b": "finished"}


def test_while_a_step_takes_time_others_become_ready():
    async def busy():
        waiter = asyncio.create_task(asyncio.sleep(1), name="waiter")
        await asyncio.sleep(0)
        compute(3)
        await waiter

    states = [(at, shown["waiter"]) for at, shown in told(busy())]
    assert (0, "waiting") in states
    assert (1, "ready") in states
    assert (3, "running") in states


@pytest.mark.skipif(not hasattr(asyncio, "eager_task_factory"), reason="comes with Python 3.12")
def test_an_eager_task_runs_inside_the_step_that_starts_it():
    async def main():
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        task = asyncio.create_task(asyncio.sleep(1), name="child")
        compute(1)
        await task

    states = [(shown["main"], shown["child"]) for _, shown in told(main())]
    assert states[:3] == [("running", "-"), ("ready", "running"), ("running", "waiting")]


def test_timers_are_there_until_they_are_due_or_cancelled():
    async def main():
        async with asyncio.timeout(5):
            await asyncio.sleep(1)
        try:
            async with asyncio.timeout(2):
                await asyncio.sleep(9)
        except TimeoutError:
            pass

    story = moments.story(simulate(record(main())))
    found = [
        (due, who, story.times[first], story.times[past]) for due, who, first, past in story.timers
    ]
    assert found == [(5, "main", 0, 1), (3, "main", 1, 3)]


def test_each_piece_knows_its_line():
    lines = kitchen.__code__.co_firstlineno
    found = data(kitchen())
    code = dict(enumerate(found["code"]))
    named = {name.rpartition(", ")[2] for name, _, _ in code.values()}
    assert named == {"kitchen", "boil", "eat"}
    name, first, source = next(each for each in code.values() if each[0].endswith("kitchen"))
    assert (name, first) == ("programs.py, kitchen", lines)
    assert source.startswith("async def kitchen():")
    assert source.endswith("await queue.put(None)")
    assert all(line >= 1 for chain in found["sites"] for _, line in chain)


def test_a_task_that_runs_at_once_begins_on_its_first_line():
    async def main():
        await asyncio.gather(child(), child())

    async def child():
        await asyncio.sleep(1)

    story = moments.story(simulate(record(main())))
    begins = [
        next(piece for piece in pieces if piece.state == "running")
        for pieces in story.lanes.values()
    ]
    lines = [[site.code.co_name for site in piece.sites] for piece in begins]
    assert lines == [["main"], ["child"], ["child"]]


def test_findings_have_a_place():
    code, message, at, lane = data(kitchen())["marks"][0]
    assert (code, at, lane) == ("blocked", 0, "kitchen")
    assert "blocked for 60 ms" in message


def test_it_is_the_same_each_time():
    assert html(kitchen()) == html(kitchen())


def test_the_picture_and_the_text_are_there_for_who_runs_no_scripts():
    shown = played(kitchen())._repr_mimebundle_()
    assert set(shown) == {"text/html", "text/plain"}
    assert shown["text/plain"].startswith("kitchen ")
    before = shown["text/html"].partition("<script")[0]
    assert before.startswith('<div class="asyncml-player"><img src="data:image/png;base64,')
    assert 'alt="Timeline of kitchen: 6 lanes, 270 ms.' in before
    assert "<pre>kitchen " in before
    assert "kitchen runs 0-60 ms" in before
    assert "the loop was blocked" in before
    assert " id=" not in before


def test_nothing_is_taken_for_html():
    page = html(hostile())
    assert HOSTILE not in page
    assert page.count("<script") == page.count("</script>") == 2
    assert "<img src=x" not in page
    assert data(hostile())["lanes"][1][0] == HOSTILE


def test_no_path_of_this_machine_is_told():
    assert str(Path.cwd()) not in html(kitchen())


def test_a_page_asks_for_nothing(tmp_path):
    timeline = simulate(record(kitchen()))
    timeline.save(tmp_path / "run.html")
    page = (tmp_path / "run.html").read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>")
    assert "default-src 'none'" in page
    assert "<title>kitchen: a timeline</title>" in page
    outside = set(re.findall(r"https?://[^\s\"'`]+", page))
    assert outside <= {"http://www.w3.org/2000/svg"}


def test_two_recordings_of_one_name_are_told_apart():
    first = simulate(record(kitchen()))
    text = first.play(simulate(record(kitchen())))._repr_mimebundle_()["text/html"]
    assert '"name":"1: kitchen"' in text
    assert '"name":"2: kitchen"' in text
    assert text.count("<img ") == 2


def test_the_code_is_small():
    sizes = [len(player._file(name).encode()) for name in ("player.js", "player.css")]
    assert sum(sizes) <= 25_000


def test_a_recording_of_2000_slices_is_a_page_of_300_kb(tmp_path):
    timeline = simulate(record(queue_of(520)))
    assert 2_000 <= len(timeline.slices) < 2_300
    timeline.save(tmp_path / "run.html")
    assert (tmp_path / "run.html").stat().st_size <= 300_000
    assert "taken together" not in (tmp_path / "run.html").read_text(encoding="utf-8")


def test_a_longer_one_is_thinned_with_a_word_about_it(tmp_path):
    timeline = simulate(record(crowd(1000)))
    timeline.save(tmp_path / "run.html")
    page = (tmp_path / "run.html").read_text(encoding="utf-8")
    assert len(page) <= 600_000
    assert "This recording is long: stretches shorter than " in page
    assert "601 more lanes are not shown" in page


def test_what_has_no_source_is_played_too():
    names = {"asyncio": asyncio}
    source = "async def hidden():\n    await asyncio.sleep(1)"
    exec(compile(source, "<made>", "exec"), names)  # Python 3.13 has the source of "<string>"
    code = data(names["hidden"]())["code"]
    assert code == [["hidden", 1, ""]]
