"""A judge that recognises mistakes by example."""

import asyncio

import pytest

from asyncml.clock import simulate
from asyncml.course.exercises import Wrong
from asyncml.course.exercises.examples import Examples


class Traits:
    """The traits of a program on four keys, of which it may fetch at most two at once."""

    def __init__(self):
        self.runs = 0

    def __call__(self, program):
        self.runs += 1
        now = peak = 0

        async def fetch(key):
            nonlocal now, peak
            now += 1
            peak = max(peak, now)
            await asyncio.sleep(key)
            now -= 1
            return key

        async def main():
            found = await program(fetch, [3, 1, 2, 1])
            return {"found": found, "peak": peak, "seconds": asyncio.get_running_loop().time()}

        return simulate(main())


@pytest.fixture
def judge():
    judge = Examples(Traits())

    @judge.is_right
    async def bounded(fetch, keys):
        slots = asyncio.Semaphore(2)

        async def one(key):
            async with slots:
                return await fetch(key)

        return await asyncio.gather(*map(one, keys))

    @judge.is_wrong("sequence", "{seconds:g} s, one after the other.", "Start them.", "`gather`.")
    async def one_by_one(fetch, keys):
        return [await fetch(key) for key in keys]

    @judge.is_wrong("chunks", "{peak} at once, in {seconds:g} s.", "Who waits for whom?")
    async def in_twos(fetch, keys):
        found = []
        for start in range(0, len(keys), 2):
            found += await asyncio.gather(*map(fetch, keys[start : start + 2]))
        return found

    judge.programs = {"sequence": one_by_one, "chunks": in_twos, None: bounded}
    return judge


async def with_workers(fetch, keys):
    rest, found = iter(enumerate(keys)), {}

    async def work():
        for place, key in rest:
            found[place] = await fetch(key)

    await asyncio.gather(work(), work())
    return [found[place] for place in sorted(found)]


async def with_tasks_awaited_at_once(fetch, keys):
    found = []
    for key in keys:
        found.append(await asyncio.create_task(fetch(key)))
    return found


async def in_groups_of_two(fetch, keys):
    found = []
    for pair in (keys[:2], keys[2:]):
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(fetch(key)) for key in pair]
        found += [task.result() for task in tasks]
    return found


async def all_at_once(fetch, keys):
    return await asyncio.gather(*map(fetch, keys))


def test_what_does_the_same_as_the_right_one_is_right(judge):
    traits = judge.judge(with_workers, "never said")
    assert traits == {"found": [3, 1, 2, 1], "peak": 2, "seconds": 4}
    assert judge.traits.runs == 2  # no wrong example was run


@pytest.mark.parametrize(
    ("answer", "code", "message", "hints"),
    [
        (
            with_tasks_awaited_at_once,
            "sequence",
            "7 s, one after the other.",
            ("Start them.", "`gather`."),
        ),
        (in_groups_of_two, "chunks", "2 at once, in 5 s.", ("Who waits for whom?",) * 2),
        (all_at_once, "other", "4 were in flight.", ("Count.",) * 2),
    ],
)
def test_what_does_the_same_as_a_wrong_one_is_wrong_in_its_way(judge, answer, code, message, hints):
    with pytest.raises(Wrong) as caught:
        judge.judge(answer, "{peak} were in flight.", "Count.")
    wrong = caught.value
    assert (wrong.code, wrong.message, (wrong.hint, wrong.more)) == (code, message, hints)


def test_every_example_is_what_it_stands_for(judge):
    assert judge.judge(judge.programs[None], "")
    for code in ("sequence", "chunks"):
        with pytest.raises(Wrong) as caught:
            judge.judge(judge.programs[code], "")
        assert caught.value.code == code


def test_the_first_of_two_examples_that_do_the_same_counts(judge):
    judge.is_wrong("again", "", "")(judge.programs["chunks"])
    with pytest.raises(Wrong) as caught:
        judge.judge(in_groups_of_two, "")
    assert caught.value.code == "chunks"


def test_what_the_scene_refuses_is_not_compared(judge):
    async def refused(fetch, keys):
        raise Wrong("raised", "it raised.")

    with pytest.raises(Wrong) as caught:
        judge.judge(refused, "")
    assert caught.value.code == "raised"
    assert judge.traits.runs == 1
