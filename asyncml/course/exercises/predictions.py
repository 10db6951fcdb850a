"""What formulas or experience predict for the measurements of lessons 04, 05 and 08.

A cell that asks for a bet must not show the answer, so the predictions are here.
"""

on_paper: dict[str, float] = {
    # lesson 04: seconds, and a ratio
    "start a coroutine": 1e-7,
    "start a task": 1e-6,
    "start a thread": 1e-4,
    "start a process": 1e-1,
    "tasks in the time of one process": 1e5,
    "await, without a switch": 1e-7,
    "enter a free lock": 3e-7,
    "switch to another task": 1e-6,
    "hand over to a thread": 1e-5,
    "hand over to a process": 1e-4,
    # bytes
    "a task that waits": 1000,
    # virtual time: tasks that keep a loop busy, a total, and seconds
    "tasks that fill the loop": 1 / 0.01,
    "a turn between": 1000,
    "the last of three updates": 3 * 0.2,
    # lesson 05
    "async def, times as fast": 1.0,
    "24 shards, one at a time": 24 * (0.09 + 0.03),
    "in rounds": 24 / 3 * (0.09 + 3 * 0.03),
    "in a pipeline": 0.09 + 24 * 0.03,
    "in rounds, 24 at once": 1 / (0.25 + 0.75 / 24),
    "as good as six": 4,
    "the latest beat of (d)": 0.25,
    "on the loop": 0.28,
    "in a thread": 0.006,
    "times as fast": 8 * (3 + 1 + 2) / (3 + 8 + 2),
    # lesson 08
    "ticks during training": 1,
    "seeds that learn XOR": 1,
    "right after training": 0.85,
    "mistakes among the four": 0.62,
    "turns beside training": 1,
}
