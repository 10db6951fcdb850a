"""What each task of a program did, why it waited, and what is wrong with it.

    recorder   records a coroutine and everything that it starts
    hooks      the places where the recorder listens to the event loop
    watched    a coroutine whose steps are timed
    unawaited  coroutines that were called but not awaited
    recording  what is recorded while the program runs
    tracks     what is recorded of one task or one thread
    lanes      the recording as lanes of slices, and their statistics
    drawing    lanes as a figure, as text and as sentences
    findings   what is wrong, and where
    moments    the recording as moments, at each of which something changes
    script     the data for the player's script, as JSON
    player     lets a reader step through a timeline in a browser
    timeline   all of this together, to read, draw and save

`clock/reasons` finds what a wait is for, and `clock/waiting` on which line it is. Lessons 01, 03
and 05 read timelines.
"""

from asyncml.timeline.findings import Finding
from asyncml.timeline.lanes import Slice, TimelineStatistics
from asyncml.timeline.recorder import record
from asyncml.timeline.timeline import Timeline

__all__ = [
    "Finding",
    "Slice",
    "Timeline",
    "TimelineStatistics",
    "record",
]
