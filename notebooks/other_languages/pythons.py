"""What the Python that runs this does with tasks, threads and interpreters.

    python pythons.py

What is printed: a name, and a number. What this Python does not have is left out.
"""

import asyncio
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor


def best(function, rounds=3):
    return min(function() for _ in range(rounds))


async def nothing():
    pass


def start_tasks(eager, count=2000):
    async def main():
        start = time.perf_counter()
        for _ in range(count):
            await loop.create_task(nothing())
        return (time.perf_counter() - start) / count

    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        if eager:
            loop.set_task_factory(asyncio.eager_task_factory)
        return runner.run(main())


def count_up():
    total = 0
    for _ in range(200):  # long enough for the system to find a core for each thread
        for i in range(10_000):
            total += i & 7
    return total


def seconds_of(*calls):
    """Run plain functions in as many threads, at once."""
    with ThreadPoolExecutor(len(calls)) as pool:
        go = threading.Barrier(len(calls))
        list(pool.map(lambda _: go.wait(), calls))  # the threads have started
        start = time.perf_counter()
        list(pool.map(lambda call: call(), calls))
        return time.perf_counter() - start


def at_once(*calls):
    """How many of the calls go on at once: processor seconds in a second, at the best of three.

    Other programs can only make it less.
    """

    def share():
        used = time.process_time()
        took = seconds_of(*calls)
        return (time.process_time() - used) / took

    return max(share() for _ in range(3))


COUNT = "total = 0\nfor _ in range(200):\n    for i in range(10_000):\n        total += i & 7\n"


def in_interpreters():
    from concurrent import interpreters

    def made():
        start = time.perf_counter()
        interpreters.create().close()
        return time.perf_counter() - start

    one, other = interpreters.create(), interpreters.create()
    both = at_once(lambda: one.exec(COUNT), lambda: other.exec(COUNT))
    one.close()
    other.close()
    return best(made), both


def main():
    print(f"task_ns {best(lambda: start_tasks(False)) * 1e9:.0f}")
    if sys.version_info >= (3, 12):
        print(f"eager_task_ns {best(lambda: start_tasks(True)) * 1e9:.0f}")
    print(f"loop_ns {best(lambda: seconds_of(count_up)) / 2e6 * 1e9:.1f}")
    print(f"two_threads_at_once {at_once(count_up, count_up):.2f}")
    if sys.version_info >= (3, 14):
        made_s, both = in_interpreters()
        print(f"interpreter_ms {made_s * 1e3:.1f}")
        print(f"two_interpreters_at_once {both:.2f}")
        print(f"jit_built_in {int(sys._jit.is_available())}")


if __name__ == "__main__":
    main()
