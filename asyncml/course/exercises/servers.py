"""A parameter server for exercises, which records how it was used."""

import asyncio
import random
from typing import Any

from asyncml.course.exercises.scenes import demand

TRIP_S = 0.05  # one way
UPDATE_S = 5 * TRIP_S  # one get and one put


class Server:
    """A remote server with one parameter; reading and writing it take a while each."""

    def __init__(self, seed: int, count: int = 6) -> None:
        chance = random.Random(seed)
        self.params = self.first = chance.randrange(1000, 2000)
        self.gradients = chance.sample(range(1, 100), count)
        self.load_s = [number / 20 for number in chance.sample(range(10, 30), count)]
        self.broken_puts = 0
        self.loaded: list[int] = []
        self.put_at: list[float] = []
        self.trainer: Any = None  # the answer, whose locks are inspected
        self.held: dict[str, list[bool]] = {"load": [], "get": [], "put": []}
        self.at_once = 0  # the most updates in progress: begun by a get, not yet put

    @property
    def right(self) -> int:
        """The right final value of the parameter."""
        return self.first - sum(self.gradients)

    def locks(self) -> list[Any]:
        """Return the locks in the trainer's attributes."""
        kept = vars(self.trainer).values() if hasattr(self.trainer, "__dict__") else ()
        return [value for value in kept if isinstance(value, asyncio.Lock | asyncio.Semaphore)]

    def _note(self, what: str) -> None:
        self.held[what].append(any(lock.locked() for lock in self.locks()))
        self.at_once = max(self.at_once, len(self.held["get"]) - len(self.put_at))

    async def load_gradient(self, number: int) -> int:
        """Return a gradient, after its load time."""
        self._note("load")
        self.loaded.append(number)
        await asyncio.sleep(self.load_s[number])
        return self.gradients[number]

    async def get(self) -> int:
        """Return the parameter, read half-way through the round trip."""
        self._note("get")
        await asyncio.sleep(TRIP_S)
        params = self.params
        await asyncio.sleep(TRIP_S)
        return params

    async def put(self, params: int) -> None:
        """Write the parameter; raise ConnectionError while `broken_puts` is positive."""
        self._note("put")
        await asyncio.sleep(2 * TRIP_S)  # a put sends more than a get
        if self.broken_puts:
            self.broken_puts -= 1
            raise ConnectionError("the server did not answer")
        self.params = params
        self.put_at.append(asyncio.get_running_loop().time())
        await asyncio.sleep(TRIP_S)

    def demand_puts(self) -> None:
        """Demand that `put` was called if `get` was."""
        gets, puts = len(self.held["get"]), len(self.held["put"])
        shown = f"`get` ran {gets} times, and `put` never."
        demand(puts > 0 or gets == 0, "no-put", shown, "Is it called, and is the call awaited?")
