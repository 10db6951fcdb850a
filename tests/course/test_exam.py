"""The exam: the right options are what the programs do, and each wrong option differs."""

import asyncio
import json
import re
from itertools import pairwise

import numpy as np
import pytest

import asyncml as aml
from asyncml.course import exercises
from asyncml.course.exercises import check
from asyncml.course.exercises.exam import TOPICS, meaning
from asyncml.course.lab import lessons

FORMS = "exam-before", "exam-after"
LETTERS = "ABCD"


@pytest.fixture(autouse=True)
def _afresh(monkeypatch):
    monkeypatch.setattr(exercises, "_failures", exercises.Counter())


def questions(form):
    """Return the text of each question of a form."""
    path = lessons() / f"{form.replace('-', '_')}.ipynb"
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    texts = {cell["id"]: "".join(cell["source"]) for cell in cells}
    return [texts[f"question-{number}"] for number in range(1, len(TOPICS) + 1)]


def options(form, number):
    """Return the texts of the options, by what they stand for: 0 is right."""
    text = questions(form)[number - 1]
    found = dict(re.findall(r"\*\*([A-D])\*\* (.+?)(?= · |$)", text, re.MULTILINE))
    return [found[letter_for(form, number, each)] for each in range(4)]


def letter_for(form, number, wanted):
    return next(letter for letter in LETTERS if meaning(form, number, letter) == wanted)


def right_letters(form):
    return [letter_for(form, number, 0) for number in range(1, len(TOPICS) + 1)]


# ---- what the programs do ----


def outcome(form, number, stays_s=0.0):
    """Run a question's program in virtual time; return what it printed and when, and its names."""
    said = []

    async def wait(name, seconds):
        await asyncio.sleep(seconds)
        note(name)

    def note(name):
        said.append((asyncio.get_running_loop().time(), name))

    (program,) = re.findall(r"```python\n(.*?)```", questions(form)[number - 1], re.DOTALL)
    if "async def main" in program:
        program += "\n\nawait main()"
    globals_ = [line for line in program.splitlines() if re.match(r"\w+ = \d+$", line)]
    body = "\n".join("    " + line for line in program.splitlines() if line not in globals_)
    names = {"asyncio": asyncio, "wait": wait, "print": note, "compute": aml.compute}
    exec("\n".join([*globals_, "async def program():", body]), names)

    async def ended():
        try:
            await names["program"]()
        except TimeoutError as error:
            said.append((asyncio.get_running_loop().time(), type(error).__name__))
        at_s = asyncio.get_running_loop().time()
        await asyncio.sleep(stays_s)
        return at_s

    run = aml.simulate(aml.record(ended()))
    return said, run, names


@pytest.mark.parametrize("form", FORMS)
def test_1_the_end_of_two_waits(form):
    _, run, _ = outcome(form, 1)
    assert options(form, 1)[0] == f"after {run.result:g} s"


@pytest.mark.parametrize("form", FORMS)
def test_2_tasks_overlap(form):
    said, _, _ = outcome(form, 2)
    assert options(form, 2)[0] == ", ".join(f"{name} at {at:g} s" for at, name in said)


@pytest.mark.parametrize("form", FORMS)
def test_3_an_await_that_does_not_wait(form):
    said, _, _ = outcome(form, 3)
    assert options(form, 3)[0] == ", ".join(name for _, name in said)


@pytest.mark.parametrize("form", FORMS)
def test_4_a_background_task_while_a_cell_computes(form):
    counted = []

    async def count():
        while True:
            await asyncio.sleep(1)
            counted.append(1)

    async def beside():
        counting = asyncio.create_task(count())
        await asyncio.sleep(0)
        (cell,) = re.findall(r"```python\n(.*?)```", questions(form)[3], re.DOTALL)
        body = "\n".join("    " + line for line in cell.splitlines())
        names = {"compute": aml.compute}
        exec(f"async def cell():\n{body}", names)
        await names["cell"]()
        during = len(counted)
        await asyncio.sleep(0.5)
        counting.cancel()
        return during, len(counted)

    assert options(form, 4)[0] == "not at all"
    assert aml.simulate(beside()) == (0, 1)  # overdue turns are not made up for


@pytest.mark.parametrize(("form", "coroutines", "each_s"), [(FORMS[0], 1, 10), (FORMS[1], 4, 2)])
def test_5_coroutines_that_compute(form, coroutines, each_s):
    async def computes():
        aml.compute(each_s)

    async def main():
        await asyncio.gather(*[computes() for _ in range(coroutines)])
        return asyncio.get_running_loop().time()

    assert options(form, 5)[0] == f"{aml.simulate(main()):g} s"


@pytest.mark.parametrize(
    ("form", "each_s", "count"), [(FORMS[0], 0.06, 100), (FORMS[1], 0.04, 200)]
)
def test_6_the_change_that_halves(form, each_s, count):
    async def load(item, seconds=each_s):
        await asyncio.sleep(seconds)

    async def one_by_one(load=load):
        for item in range(count):
            await load(item)
            await asyncio.to_thread(aml.compute, each_s)
        return asyncio.get_running_loop().time()

    async def overlapped():
        async for _ in aml.Pipeline(range(count)).map(load, concurrency=1):
            await asyncio.to_thread(aml.compute, each_s)
        return asyncio.get_running_loop().time()

    async def twice_as_fast():
        return await one_by_one(lambda item: load(item, each_s / 2))

    words = options(form, 6)
    assert words[0].startswith(("load the next", "read the next"))
    assert "thread" in words[2]
    assert "twice as fast" in words[3]
    whole = 2 * each_s * count
    assert aml.simulate(overlapped()) == pytest.approx(whole / 2, rel=0.02)
    assert aml.simulate(one_by_one()) == pytest.approx(whole)  # in a thread, but awaited
    assert aml.simulate(twice_as_fast()) == pytest.approx(0.75 * whole)


@pytest.mark.parametrize("form", FORMS)
def test_7_the_last_one_to_write(form):
    _, _, names = outcome(form, 7)
    assert options(form, 7)[0] == str(names["total"])


@pytest.mark.parametrize("form", FORMS)
def test_8_the_waiting_ends_and_the_thread_does_not(form):
    said, run, _ = outcome(form, 8, stays_s=5)
    assert options(form, 8)[0].endswith("the thread goes on computing")
    assert run.result == 1
    assert form == FORMS[1] or said == [(1, "TimeoutError")]
    assert [each.end_s for each in run.slices if each.lane.startswith("thread")] == [3]


@pytest.mark.parametrize(
    ("form", "seconds", "rate"), [(FORMS[0], 0.05, 200), (FORMS[1], 0.08, 100)]
)
def test_9_littles_law(form, seconds, rate):
    assert options(form, 9)[:2] == [f"{rate * seconds:g}", f"{rate / (seconds * 1000):g}"]


JOBS = {FORMS[0]: {"a": 3, "b": 1, "c": 1, "d": 1}, FORMS[1]: {"a": 1, "b": 4, "c": 1, "d": 2}}


@pytest.mark.parametrize("form", FORMS)
def test_10_the_timeline_of_two_places(form):
    lanes = {}

    async def job(name, seconds, places):
        async with places:
            begin = int(asyncio.get_running_loop().time())
            await asyncio.sleep(seconds)
            lanes[name] = f"{name} " + " " * begin + "#" * seconds

    async def main(places):
        await asyncio.gather(*[job(*each, places) for each in JOBS[form].items()])

    (block,) = re.findall(r"```text\n(.*?)```", questions(form)[9], re.DOTALL)
    pictures = {}
    for row, letters in zip(
        block.split("\n\n"), (LETTERS[:2], LETTERS[2:]), strict=True
    ):  # two and two
        lines = row.splitlines()
        starts = [*(lines[0].index(f"{letter}  a") + 3 for letter in letters), None]
        for letter, (begin, end) in zip(letters, pairwise(starts), strict=True):
            pictures[letter] = [line[begin : end and end - 3].rstrip() for line in lines]
    for wanted, count in (0, 2), (1, 4), (3, 1):
        aml.simulate(main(asyncio.Semaphore(count)))
        drawn = pictures[letter_for(form, 10, wanted)]
        assert drawn == [lanes[name] for name in sorted(lanes)]
    assert len({tuple(lane) for lane in pictures.values()}) == 4


@pytest.mark.parametrize(
    ("form", "load_s", "step_s"), [(FORMS[0], 0.06, 0.04), (FORMS[1], 0.09, 0.03)]
)
def test_11_what_sets_the_pace(form, load_s, step_s):
    async def main(loads=1, step_s=step_s, lookahead=3):
        async def load(item):
            await asyncio.sleep(load_s)

        ends, loop = [], asyncio.get_running_loop()
        batches = aml.Pipeline(range(20)).map(load, concurrency=loads, lookahead=lookahead)
        async for _ in batches:
            await asyncio.to_thread(aml.compute, step_s)
            ends.append(loop.time())
        return np.diff(ends)[4:].mean()

    asked = re.findall(r"every (\d+) ms.*? that (\d+)|$", questions(form)[10])[0]
    assert options(form, 11)[0] == "two loads at once"
    assert aml.simulate(main()) == pytest.approx(int(asked[0]) / 1000)
    assert aml.simulate(main(loads=2)) == pytest.approx(int(asked[1]) / 1000, abs=0.006)
    assert aml.simulate(main(lookahead=16)) == pytest.approx(int(asked[0]) / 1000)
    assert aml.simulate(main(step_s=step_s / 3)) == pytest.approx(int(asked[0]) / 1000)


@pytest.mark.parametrize(
    ("form", "t0", "a", "rows"), [(FORMS[0], 1, 0.1, 20), (FORMS[1], 2, 0.2, 30)]
)
def test_12_rows_a_second(form, t0, a, rows):
    on_paper = [rows / (t0 + a * rows), 1 / a, 1 / (t0 + a), rows / t0]
    assert [float(option) for option in options(form, 12)] == pytest.approx(on_paper, abs=0.05)


# ---- the grades ----


@pytest.mark.parametrize("form", FORMS)
def test_all_right_passes(form):
    right = right_letters(form)
    assert check(form, right).code == "passed"
    assert check(form, "".join(right).lower()).code == "passed"
    assert {*right} == {*LETTERS}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("number", range(1, len(TOPICS) + 1))
def test_each_wrong_option_names_the_lesson_and_what_it_takes_for_granted(form, number):
    seen = set()
    for wanted in 1, 2, 3:
        answers = right_letters(form)
        answers[number - 1] = letter_for(form, number, wanted)
        verdict = check(form, answers)
        assert verdict.code == "11-of-12"
        assert f"{number} (lesson {TOPICS[number - 1].lesson}: " in verdict.message
        seen.add(verdict.message)
    assert len(seen) == 3
    assert len({*options(form, number)} if number != 10 else LETTERS) == 4


def test_the_forms_are_parallel_and_their_letters_are_not():
    assert right_letters(FORMS[0]) != right_letters(FORMS[1])
    for one, other in zip(*map(questions, FORMS), strict=True):
        assert ("```python" in one) == ("```python" in other)


def test_what_nobody_knows_counts_as_wrong_and_names_the_lesson():
    verdict = check("exam-before", ["?"] * 12)
    assert verdict.code == "0-of-12"
    assert "1 (lesson 01); 2 (lesson 01); " in verdict.message


@pytest.mark.parametrize(
    ("answers", "code", "words"),
    [
        (..., "open", "put your twelve answers"),
        ([...] * 12, "open", "question 1 has no answer yet"),
        (["A"] * 11 + [None], "open", "question 12 has no answer yet"),
        (["A"] * 11, "count", "got 11"),
        ("A", "count", "got 1"),
        (7, "count", "got 1"),
        (["A"] * 11 + ["E"], "kind", "got 'E' for 12"),
        (["A"] * 11 + [[1]], "kind", "got [1] for 12"),
        (np.array(["A"] * 12), "3-of-12", ""),
    ],
)
def test_what_is_no_answer_is_told(answers, code, words):
    verdict = check("exam-after", answers)
    if code == "3-of-12":
        assert verdict.code == f"{right_letters('exam-after').count('A')}-of-12"
    else:
        assert (verdict.code, words in verdict.message) == (code, True)


@pytest.mark.parametrize("form", FORMS)
def test_no_answer_stands_in_the_notebook(form):
    path = lessons() / f"{form.replace('-', '_')}.ipynb"
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert code[:12] == [f"answer_{number} = ..." for number in range(1, 13)]
