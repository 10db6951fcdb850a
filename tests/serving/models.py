"""A model for tests, and what they do with a batcher that has it."""

import asyncio
import os


class Model:
    """Doubles numbers; takes so long; notes its batches; fails where a row is negative."""

    def __init__(self, seconds=1.0, per_row=0.0):
        self.seconds, self.per_row = seconds, per_row
        self.batches = []
        self.began = []
        self.running = self.most = 0

    async def __call__(self, rows):
        self.batches.append([int(row) for row in rows])
        self.began.append(asyncio.get_running_loop().time())
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(self.seconds + self.per_row * len(rows))
        finally:
            self.running -= 1
        if any(row < 0 for row in rows):
            raise ValueError("negative")
        return [2 * row for row in rows]


def double(rows):
    if any(row < 0 for row in rows):
        raise ValueError("negative")
    return [2 * row for row in rows]


async def at(seconds, call, *args):
    await asyncio.sleep(seconds - asyncio.get_running_loop().time())
    return await call(*args)


def adds_up(statistics):
    done = statistics.answered + statistics.cancelled + statistics.failed
    return statistics.requests == done + statistics.queued


def die(rows):
    os._exit(1)
