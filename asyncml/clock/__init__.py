"""Virtual time: an hour of waiting in milliseconds, with the same times on every machine.

    simulate   run a program in virtual time, and let it say how long its work takes
    loop       the event loop whose clock jumps to the next timer
    turns      worker threads take turns, and time stands still while one of them works
    strangers  threads that the program starts on its own
    polling    a program that only yields, for ever
    waiting    in which coroutines a task is suspended, and on which line
    reasons    what a task waits for, in a word, and as one of a few kinds
    deadlock   a program in which nothing can happen any more, and who waits for what

Lesson 03 builds such a loop.
"""

from asyncml.clock.deadlock import Deadlock
from asyncml.clock.simulate import compute, simulate

__all__ = [
    "Deadlock",
    "compute",
    "simulate",
]
