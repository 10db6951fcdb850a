"""The clock of a loop: the machine's, virtual time, or its own."""

import asyncio
import contextlib
import time

import pytest

from asyncml.clock.loop import VirtualLoop
from asyncml.clocks import Clock, clock_of, is_virtual


class OwnTime(asyncio.SelectorEventLoop):
    def time(self):
        return 7.0


class OwnClock(OwnTime):
    def advance(self, seconds):
        """Do nothing."""


@pytest.mark.parametrize(
    ("kind", "virtual", "has_own"),
    [
        (asyncio.SelectorEventLoop, False, False),
        (asyncio.new_event_loop, False, False),
        (OwnTime, False, True),
        (OwnClock, True, True),
        (VirtualLoop, True, True),
    ],
)
def test_the_time_of_a_loop(kind, virtual, has_own):
    with contextlib.closing(kind()) as loop:
        assert is_virtual(loop) == isinstance(loop, Clock) == virtual
        assert clock_of(loop) == (loop.time if has_own else time.monotonic)
        assert clock_of(loop, time.perf_counter) == (loop.time if has_own else time.perf_counter)


def test_where_no_loop_runs_no_time_is_virtual():
    assert not is_virtual(None)
