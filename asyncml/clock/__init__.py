"""Virtual time: an hour of waiting takes milliseconds, with the same times on every machine.

    simulate   run a program in virtual time, and let it say how long its work takes
    loop       the event loop whose clock jumps to the next timer
    turns      worker threads take turns, and time stands still while one is running
    strangers  threads that the program starts outside the loop's control
    polling    detects a program that yields to the loop forever and does nothing else
    waiting    the coroutines in which a task is suspended, and the line
    reasons    what a task waits for, in a word or two and as one of a few kinds
    deadlock   the error for a program that cannot go on, with what each task waits for

Lesson 03 builds such a loop.
"""

from asyncml.clock.deadlock import Deadlock
from asyncml.clock.simulate import compute, simulate

__all__ = [
    "Deadlock",
    "compute",
    "simulate",
]
