"""A store that makes a late request a second time.

A few requests take many times as long as the others. In a batch of a hundred, one such straggler is
enough to delay the rest, and asking again is nearly always quicker than waiting. See lesson 07.
"""

import asyncio

from asyncml.checks import check_number
from asyncml.failures import add_note, said, shorten
from asyncml.stores.memory import Keys, Store, check_store


class Hedged:
    """A store that asks again for a late object, and takes whichever answer comes first.

    These are the hedged requests of J. Dean and L. A. Barroso, "The Tail at Scale", Communications
    of the ACM 56 (2), 2013. They suggest asking again after the time within which 95 % of the
    answers arrive: then one request in twenty is made twice, and few answers are late.

    Only `get` is hedged; `put` and `list` are each made once. A second `put` would not be safe: the
    cancelled one may still be on its way to the store, and overwrite what a later `put` has written
    there.

    Args:
        store: the underlying store.
        after_s: how long to wait for an answer before asking again, in seconds, >= 0. The time that
            a request waits in an underlying `RateLimited` counts too.

    Attributes:
        hedges: the number of second requests made.

    Raises:
        TypeError: `store` is not a store, or `after_s` is not a number.
        ValueError: `after_s` is negative or not finite.

    Example:
        >>> from asyncml.clock import simulate
        >>> from asyncml.stores.memory import MemoryStore
        >>> from asyncml.stores.slow import SlowStore
        >>> slow = SlowStore(MemoryStore({"a": b"one"}), latency_s=1)
        >>> store = Hedged(slow, after_s=0.5)
        >>> simulate(store.get("a")), store.hedges
        (b'one', 1)
    """

    def __init__(self, store: Store, after_s: float = 0.075) -> None:
        check_store(store)
        rule = "finite seconds >= 0"
        self.store = store
        self.after_s = check_number("after_s", after_s, rule)
        if not 0 <= self.after_s < float("inf"):
            raise ValueError(f"`after_s` must be {rule}, got {after_s}")
        self.hedges = 0

    def __repr__(self) -> str:
        return f"Hedged({self.store!r}, after_s={self.after_s:g})"

    async def get(self, key: str) -> bytes:
        """Return the object under `key`, from whichever request is answered first.

        The other request is cancelled, and has ended when this returns. If one of two requests
        fails, the other's outcome counts. If this is cancelled, so are both.

        Args:
            key: the name of the object, a non-empty str.

        Raises:
            Exception: the underlying store's error if it came before `after_s`, after which no
                second request is made; or, if both requests fail, the earlier error, with the other
                one in a note.
        """
        name = f"get {shorten(key)}"
        requests, answers, errors = list[asyncio.Task[None]](), list[bytes](), list[Exception]()

        async def ask() -> None:
            try:
                answers.append(await self.store.get(key))
            except Exception as error:
                errors.append(error)
            else:
                for other in set(requests) - {asyncio.current_task()}:
                    other.cancel()

        async with asyncio.TaskGroup() as group:  # exits when both have ended, even if cancelled
            requests.append(group.create_task(ask(), name=name))
            await asyncio.wait(requests, timeout=self.after_s)
            if not requests[0].done():
                self.hedges += 1
                requests.append(group.create_task(ask(), name=f"{name} again"))
        if answers:
            return answers[0]
        for other in errors[1:]:
            what = f"{type(other).__name__}: {said(other)}"
            add_note(errors[0], f"its other request failed too: {what}")
        try:
            # without an error, the store itself cancelled its request
            raise errors[0] if errors else asyncio.CancelledError
        finally:
            errors.clear()  # their tracebacks hold this frame

    async def put(self, key: str, data: bytes) -> None:
        """Store `data` under `key`, in one request; raises what the underlying store raises."""
        await self.store.put(key, data)

    async def list(self, prefix: str = "") -> Keys:
        """Return the sorted keys that start with `prefix`; raises what the store raises."""
        return await self.store.list(prefix)
