"""After each test: no task, no thread, no setting, and no unretrieved exception."""

import gc
import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import leftovers

# the same examples in every run, so that only a change can fail a test; `explore` tries others
QUIET = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("suite", derandomize=True, **QUIET)
settings.register_profile("explore", **QUIET)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))


@pytest.fixture(scope="session", autouse=True)
def what_was_there_before_the_tests_is_frozen() -> None:
    """Hide existing objects from the collector, because checks of exercises collect every time.

    Hypothesis creates its random state for its first test, and asks the collector who holds it. It
    cannot find frozen objects, and from Python 3.14 on it then warns; so a property runs first.
    """
    _first_property()
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def interrupts_are_heard() -> Iterator[None]:
    """Handle SIGINT again, which `nohup` and shells ignore for background processes."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True)
def no_failures_yet() -> Iterator[None]:
    """Forget earlier verdicts: the second verdict on an exercise says more than the first."""
    with leftovers.no_failures_yet():
        yield


@pytest.fixture(autouse=True)
def nothing_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves anything running; `@pytest.mark.untidy` allows tasks, not threads."""
    with leftovers.nothing_is_left(untidy=bool(request.node.get_closest_marker("untidy"))):
        yield


@given(st.none())
def _first_property(_: None) -> None: ...
