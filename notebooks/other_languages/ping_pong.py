"""Ping-pong between two parties in Python: coroutines, by hand and on two event loops, and threads.

    python ping_pong.py 20000

What is printed: a name, and the nanoseconds of one switch. uvloop is left out where it is missing.
"""

import asyncio
import queue
import sys
import threading
import time
from collections import deque
from importlib.util import find_spec


class Mailbox:
    """Room for one message, and for one who waits for it: a future of the running loop."""

    def __init__(self):
        self.message = self.waiting = None

    def put(self, value):
        if self.waiting is None:
            self.message = value
        else:
            self.waiting.set_result(value)
            self.waiting = None

    async def get(self):
        if self.message is None:
            self.waiting = asyncio.get_running_loop().create_future()
            return await self.waiting
        value, self.message = self.message, None
        return value


async def ping(n, out, back):
    total = 0
    for i in range(n):
        out.put(i)
        total += await back.get()
    assert total == n * (n - 1) // 2, "a message was lost"


async def pong(n, inbox, back):
    for _ in range(n):
        back.put(await inbox.get())


async def on_a_loop(n):
    there, back = Mailbox(), Mailbox()
    start = time.perf_counter()
    await asyncio.gather(ping(n, there, back), pong(n, there, back))
    return time.perf_counter() - start


class BareMailbox(Mailbox):
    """The same on the scheduler of lesson 03: a queue of coroutines, and nothing else."""

    def __init__(self, ready):
        super().__init__()
        self.ready = ready

    def put(self, value):
        self.message = value
        if self.waiting is not None:
            self.ready.append(self.waiting)
            self.waiting = None

    def get(self):
        return self

    def __await__(self):
        if self.message is None:
            yield self  # the scheduler notes who waits here
        value, self.message = self.message, None
        return value


def by_hand(n):
    ready = deque()
    there, back = BareMailbox(ready), BareMailbox(ready)
    start = time.perf_counter()
    ready += [ping(n, there, back), pong(n, there, back)]
    while ready:
        coroutine = ready.popleft()
        try:
            coroutine.send(None).waiting = coroutine
        except StopIteration:
            continue
    return time.perf_counter() - start


def in_threads(n):
    there, back = queue.SimpleQueue(), queue.SimpleQueue()

    def echo():
        for _ in range(n):
            back.put(there.get())

    thread = threading.Thread(target=echo)
    start, total = time.perf_counter(), 0
    thread.start()
    for i in range(n):
        there.put(i)
        total += back.get()
    took = time.perf_counter() - start
    thread.join()
    assert total == n * (n - 1) // 2, "a message was lost"
    return took


def on_uvloop(n):
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(on_a_loop(n))


def main(n=20_000):
    ways = {"coroutines-by-hand": by_hand, "asyncio": lambda n: asyncio.run(on_a_loop(n))}
    if find_spec("uvloop"):
        ways["uvloop"] = on_uvloop
    ways["threads"] = in_threads
    for name, way in ways.items():
        print(f"{name} {min(way(n) for _ in range(5)) / (2 * n) * 1e9:.1f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
