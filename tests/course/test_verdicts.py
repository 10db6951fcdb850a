"""A verdict as a block of HTML: what was wrong first, then the hint, and no codes to read."""

import asyncio
import re
from html.parser import HTMLParser

import pytest

from asyncml.course import exercises
from asyncml.course.exercises import Verdict, check, verdicts

FORBIDDEN = {"style", "script", "iframe", "svg", "link"}  # JupyterLab removes these


class Reader(HTMLParser):
    """Read a block as JupyterLab does, and as a person does."""

    def __init__(self, text):
        super().__init__()
        self.open, self.seen, self.words = [], set(), ""
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.open.append(tag)
        self.seen.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words += data


@pytest.fixture(autouse=True)
def _first_failures(monkeypatch):
    monkeypatch.setattr(exercises, "_failures", exercises.Counter())


def shown(verdict):
    reader = Reader(verdict._repr_html_())
    assert not reader.seen & FORBIDDEN
    return " ".join(reader.words.split())


def test_the_words_are_those_of_the_line_without_the_names_and_codes():
    assert shown(Verdict("01-bet", "passed", "2.0 s")) == "✔ Passed: 2.0 s"
    assert shown(Verdict("01-bet", "open", "say a number")) == "○ Open: say a number"
    wrong = Verdict("01-bet", "early", "not 1. Why?", "Why?")
    assert shown(wrong) == "✘ Not 1.Why?"
    assert 'data-exercise="01-bet" data-code="early"' in wrong._repr_html_()
    ours = Verdict("01-bet", "passed", "2.0 s", is_solution=True)
    assert shown(ours) == "◆ The solution passes: 2.0 s"
    broken = Verdict("01-bet", "early", "not 1.", is_solution=True)
    assert shown(broken) == "✘ Our own solution: not 1."


def test_what_is_wrong_and_the_hint_stand_on_lines_of_their_own():
    text = Verdict("01-bet", "early", "not 1. Why?", "Why?")._repr_html_()
    assert re.findall(r"<div[^>]*>(?:<span.*?</span> )?([^<]+)</div>", text) == ["Not 1.", "Why?"]


def test_an_answer_cannot_write_html():
    verdict = Verdict("01-bet", "kind", "got `<b onclick=x>` & <script>1</script>", "<i>")
    text = verdict._repr_html_()
    assert "<code>&lt;b onclick=x&gt;</code> &amp; &lt;script&gt;" in text
    assert {"script", "b", "i"} & Reader(text).seen == set()


def test_styles_stand_in_the_elements_and_colour_no_words():
    for state in verdicts._COLOURS:
        code = "passed" if state == "solution" else state
        text = Verdict("1", code, "words", is_solution=state == "solution")._repr_html_()
        assert re.search(r"border-left: 5px solid #[0-9A-F]{6}", text)
        coloured = re.findall(r"(?<![-\w])color: [^>]*>([^<]*)", text)
        assert coloured == [verdicts._MARKS[state]]
        assert "background" not in text


async def one_after_the_other(load, step, count, ahead=2):
    for number in range(count):
        await asyncio.to_thread(step, await load(number))


async def first_late(clock, pause_s, reports):
    while True:
        await asyncio.sleep(pause_s)
        reports.append(clock())


def test_a_wrong_answer_is_drawn_beside_ours():
    verdict = check("09-feeder", one_after_the_other)
    assert verdict.state == "wrong"
    assert verdict.yours.duration_s > verdict.ours.duration_s > 0
    words = shown(verdict)
    assert words.index("What yours did:") < words.index("What ours does:")
    assert "# running = ready . waiting" in words


async def in_rounds(load, keys, concurrency=16):
    images = []
    for start in range(0, len(keys), concurrency):
        images += await asyncio.gather(*map(load, keys[start : start + concurrency]))
    return images


def test_what_a_check_itself_runs_is_not_taken_for_yours():
    verdict = check("00-several", in_rounds)
    assert verdict.code == "rounds"
    assert verdict.yours.duration_s > verdict.ours.duration_s
    assert "in_rounds" in verdict.yours.text()


def test_a_long_timeline_is_cut():
    async def many():
        async with asyncio.TaskGroup() as group:
            for _ in range(30):
                group.create_task(asyncio.sleep(1))

    from asyncml.clock import simulate
    from asyncml.timeline.recorder import record

    words = shown(Verdict("1", "wrong", "no", yours=simulate(record(many()))))
    assert words.count("|") == 2 * 12
    assert "... and 19 more lanes" in words


def test_two_timelines_that_look_the_same_say_nothing():
    verdict = check("02-report", first_late)
    assert (verdict.code, verdict.yours, verdict.ours) == ("first", None, None)


@pytest.mark.parametrize("answer", [..., 1, 2])
def test_a_bet_is_not_drawn(answer):
    assert "<pre" not in check("01-bet", answer)._repr_html_()


@pytest.mark.parametrize("lesson", ["00", "01", "02", "03", "05", "08", "09"])
@pytest.mark.untidy  # `gather` leaves the others running when one fails
def test_our_answers_pass_their_own_checks(lesson):
    exercises.load(lesson)
    for name in [name for name in exercises.OURS if name.startswith(lesson)]:
        assert check(name, exercises.OURS[name], solution=True).state == "solution", name
