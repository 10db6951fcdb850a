"""What the tests call in processes: each of those imports this file, and so not pytest."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

from asyncml.pipeline.pipeline import Pipeline


def in_processes(fn, options, count=4, **more):
    return Pipeline(range(count)).map(fn, executor="process", concurrency=1, **options, **more)


def is_child(value):
    return multiprocessing.parent_process() is not None


def hangs_once(value):
    time.sleep(60 if value == 1 else 0)
    return value


def later(value):
    async def load():
        return [value]

    return load()


def dies(value):
    time.sleep(0.01)
    if value == 5:
        os._exit(1)
    return value


def tell(value):
    time.sleep(0.05)
    return os.getpid()


def pid_of(value):
    return os.getpid()


def pid_or_error(value):
    if value == 3:
        raise OSError(os.getpid())
    return os.getpid()


def pid_then_hang(value):
    if value:
        time.sleep(60)
    return os.getpid()


def where_and_half(number):
    time.sleep(0.02 * (number % 4 == 0))  # later than those behind it
    return os.getpid(), number / 2


def fails_twice(folder):
    calls = len(list(Path(folder).iterdir()))
    Path(folder, str(calls)).touch()
    if calls < 2:
        raise OSError(f"call {calls}")
    return calls


def random_name(_):
    return os.urandom(8)


def deaf():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def hang(value):
    if value:
        time.sleep(600)
    return value


HANGING = [
    {},
    {"timeout": 500},
    {"executor": "process"},
    {"executor": "process", "timeout": 500},
]
