"""What only the course needs: the module works without it.

    ready      check whether a machine can run the course
    readout    the results of that check, as a code of six characters
    wheelhouse all wheels on a stick, for a room without a network
    lab        a learner's own copy of the lessons
    routes     routes through the lessons for a workshop, and parts that stand alone
    measuring  measured figures, beside their predictions
    projecting figures that can be read from the last row of a room
    workloads  work for threads and processes, which notebooks cannot define themselves
    address    where the course is published, and its badges
    serve      a network from a checkpoint, over HTTP
    quotes     the output of a lesson's cell, for the answers of lesson 13
    languages  the programs of lesson 13 in other languages, run or recorded
    exercises  the checks of the learner's answers

Every lesson uses it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asyncml.course.exercises.standing import progress
    from asyncml.course.measuring import Measurement, bets, measured, plot_measured
    from asyncml.course.projecting import projector

__all__ = ["Measurement", "bets", "measured", "plot_measured", "progress", "projector"]


def __getattr__(name: str) -> Any:
    # on demand: `ready` also runs where a package is missing, or Python is too old
    if name == "progress":
        return import_module("asyncml.course.exercises").progress
    if name == "projector":
        return import_module("asyncml.course.projecting").projector
    if name in __all__:
        return getattr(import_module("asyncml.course.measuring"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
