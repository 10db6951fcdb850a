"""What each task of a program did, why it waited, and what is wrong with it.

    recorder   record a coroutine and all that it starts
    hooks      where a recording listens to the event loop
    watched    a coroutine whose steps are timed
    unawaited  coroutines that were called and not awaited
    tracks     what was recorded of a task or a thread
    timeline   a recording to be drawn, read and saved
    drawing    as a picture and in characters
    findings   what is wrong, and where

Lessons 01, 03 and 05 read timelines.
"""

from asyncml.timeline.findings import Finding
from asyncml.timeline.recorder import record
from asyncml.timeline.timeline import Slice, Timeline, TimelineStatistics

__all__ = [
    "Finding",
    "Slice",
    "Timeline",
    "TimelineStatistics",
    "record",
]
