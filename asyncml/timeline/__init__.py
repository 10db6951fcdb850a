"""What each task of a program did, why it waited, and what is wrong with it.

    recorder   record a coroutine and all that it starts
    hooks      where the recorder listens to the event loop
    watched    a coroutine whose steps are timed
    unawaited  coroutines that were called and not awaited
    recording  what is noted while the program runs
    tracks     what was noted of one task or one thread
    lanes      the recording as lanes of slices, and what they add up to
    drawing    lanes as a picture and in characters
    findings   what is wrong, and where
    moments    the recording as moments, at each of which something changes
    script     what the player's script is told of them
    player     moments that a reader walks through, in a browser
    timeline   all of this together, to be read, drawn and saved

What a wait is for is found in `clock/reasons`, and on which line in `clock/waiting`. Lessons 01, 03
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
