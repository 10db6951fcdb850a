"""An alias for `asyncml.course.exercises`: the name under which the notebooks import it."""

import sys
from importlib import import_module

_HOME = "asyncml.course.exercises"
_IMPORTED = "bucket", "league", "lesson_06"  # by notebooks

# The same module objects: a second copy would have its own registry of exercises.
sys.modules[__name__] = import_module(_HOME)
for _name in _IMPORTED:
    sys.modules[f"{__name__}.{_name}"] = import_module(f"{_HOME}.{_name}")
