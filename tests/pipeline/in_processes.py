"""What the tests call in processes: each of those imports this file, and so not pytest."""

import os
import time

from asyncml.pipeline.pipeline import Pipeline


def in_processes(fn, options, count=4, **more):
    return Pipeline(range(count)).map(fn, executor="process", concurrency=1, **options, **more)


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
