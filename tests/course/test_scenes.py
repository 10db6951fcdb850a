"""The heartbeat beside an answer."""

import asyncio

import pytest

from asyncml.clock import Deadlock, compute, simulate
from asyncml.course.exercises.scenes import heart


def beats(scene, **options):
    """Return how late the beats came beside a scene."""

    async def main():
        lags = []
        async with heart(lags, 0.1, **options):
            await scene()
        assert len(asyncio.all_tasks()) == 1
        return [round(lag, 9) for lag in lags]

    return simulate(main())


def test_a_heart_notes_how_late_each_beat_was():
    async def holds():
        await asyncio.sleep(0.25)
        compute(0.4)
        await asyncio.sleep(0.25)

    assert beats(holds) == [0, 0, 0.35, 0, 0]


def test_it_stops_so_that_one_who_waits_for_ever_is_seen():
    async def waits():
        await asyncio.get_running_loop().create_future()

    with pytest.raises(Deadlock):
        beats(waits, beats=20)


def test_nothing_is_left_of_it_after_an_error():
    async def fails():
        await asyncio.sleep(0.25)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        beats(fails)
