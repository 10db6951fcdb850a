import asyncio
import copy
import inspect
import math
import pickle
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncml.clock import compute, simulate
from asyncml.stores.limited import RateLimited
from asyncml.stores.memory import MemoryStore, ObjectNotFound, Store
from asyncml.stores.slow import SlowStore
from tests.stores.parts import check_rate, memory


class Noted(MemoryStore):
    """A store that notes when each of its requests arrives."""

    def __init__(self, latency_s=0.0):
        super().__init__()
        self.asked, self.latency_s = [], latency_s

    async def get(self, key):
        self.asked.append((asyncio.get_running_loop().time(), key))
        await asyncio.sleep(self.latency_s)
        return b""

    @property
    def times(self):
        return [round(at, 9) for at, _ in self.asked]


async def ask(store, start_s, key, stop_s=math.inf):
    """Get `key` at `start_s`, and give up at `stop_s`."""
    loop = asyncio.get_running_loop()
    await asyncio.sleep(start_s - loop.time())
    try:
        async with asyncio.timeout_at(None if stop_s == math.inf else stop_s):
            await store.get(key)
    except TimeoutError:
        return


def due(requests, per_second, burst):
    """When each request leaves, by a second implementation in exact numbers."""
    tokens, at, found = Fraction(burst), Fraction(0), []
    for start, key, stop in requests:
        now = max(at, Fraction(start))
        have = min(Fraction(burst), tokens + (now - at) * per_second)
        leaves = now + max(Fraction(0), 1 - have) / per_second
        if stop > leaves:
            tokens = min(Fraction(burst), tokens + (leaves - at) * per_second) - 1
            at = leaves
            found.append((round(float(leaves), 6), key))
    return found


class TestTimes:
    def test_a_burst_leaves_at_once_and_the_rest_evenly(self):
        async def main():
            noted = Noted()
            store = RateLimited(noted, per_second=4, burst=3)
            await asyncio.gather(*map(store.get, "abcdef"))
            await asyncio.sleep(0.6)  # time for two tokens, and a part of a third
            await asyncio.gather(*map(store.get, "ghij"))
            return noted

        noted = simulate(main())
        assert noted.times == [0, 0, 0, 0.25, 0.5, 0.75, 1.35, 1.35, 1.5, 1.75]
        assert "".join(key for _, key in noted.asked) == "abcdefghij"

    def test_times_stay_exact_over_thousands_of_requests(self):
        async def main():
            noted = Noted()
            store = RateLimited(noted)
            await asyncio.gather(*[store.get("a") for _ in range(3000)])
            return [at for at, _ in noted.asked]

        times = simulate(main())
        assert times == pytest.approx([max(0, n - 19) / 200 for n in range(3000)], abs=1e-12)

    def test_within_the_burst_nobody_gives_up_its_turn(self):
        store = RateLimited(MemoryStore({"a": b"one"}), burst=2)

        async def main():
            request = store.get("a")
            with pytest.raises(StopIteration):
                request.send(None)

        simulate(main())

    def test_it_counts_puts_and_lists_too(self):
        async def main():
            store = RateLimited(MemoryStore(), per_second=1, burst=1)
            await store.put("a", b"1")
            await asyncio.gather(store.put("a", b"2"), store.list("a"), store.get("a"))
            return asyncio.get_running_loop().time()

        assert simulate(main()) == 3

    def test_a_loop_that_was_busy_gets_no_more_than_the_burst(self):
        async def main():
            noted = Noted()
            store = RateLimited(noted, per_second=10, burst=3)
            requests = asyncio.gather(*[store.get("a") for _ in range(8)])
            await asyncio.sleep(0.05)
            compute(10)  # nobody can leave meanwhile
            await requests
            return noted.times

        assert simulate(main()) == [0, 0, 0, 10.05, 10.05, 10.05, 10.15, 10.25]

    @settings(max_examples=150)
    @given(
        st.lists(
            st.tuples(st.integers(0, 40), st.one_of(st.none(), st.integers(0, 60))), max_size=25
        ),
        st.integers(1, 12),
        st.integers(1, 5),
    )
    def test_the_rate_is_kept_and_nobody_waits_longer_than_it_asks(
        self, requests, per_second, burst
    ):
        # (when it begins, how long it is patient) in tenths of a second; nothing ends when
        # something else begins, as the order within one moment is nobody's promise
        planned = [
            (start / 10, key, math.inf if patience is None else start / 10 + patience / 10 + 0.0123)
            for key, (start, patience) in enumerate(sorted(requests, key=lambda one: one[0]))
        ]

        async def main():
            noted = Noted()
            store = RateLimited(noted, per_second, burst)
            await asyncio.gather(*[ask(store, *one) for one in planned])
            assert len(asyncio.all_tasks()) == 1
            return noted.asked

        asked = simulate(main())
        check_rate([at for at, _ in asked], per_second, burst)
        assert [(round(at, 6), key) for at, key in asked] == due(planned, per_second, burst)


class TestCancelled:
    @pytest.mark.parametrize("who", range(6))
    @pytest.mark.parametrize("moment", [0, 0.1, 0.5, 0.75, 1.25, 1.75, 2.25])
    def test_who_gives_up_while_waiting_leaves_its_place_to_the_others(self, who, moment):
        async def main():
            noted = Noted(latency_s=0.3)
            store = RateLimited(noted, per_second=2, burst=2)  # they leave at 0, 0, 0.5, 1, ...
            tasks = [asyncio.create_task(store.get(key)) for key in range(6)]
            await asyncio.sleep(moment)
            tasks[who].cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            assert len(asyncio.all_tasks()) == 1
            return noted

        noted = simulate(main())
        has_left = who in [key for _, key in noted.asked]
        if moment != (due_s := max(0, who - 1) / 2):  # within one moment, either may be first
            assert has_left == (moment > due_s)
        expected = [key for key in range(6) if key != who or has_left]
        assert [key for _, key in noted.asked] == expected
        assert noted.times == [max(0, n - 1) / 2 for n in range(len(expected))]

    def test_all_give_up_and_it_goes_on(self):
        async def main():
            noted = Noted()
            store = RateLimited(noted, per_second=1, burst=1)
            tasks = [asyncio.create_task(store.get("a")) for _ in range(5)]
            await asyncio.sleep(0.5)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.gather(*[store.get("b") for _ in range(2)])
            return noted.asked

        assert simulate(main()) == [(0, "a"), (1, "b"), (2, "b")]

    def test_a_request_that_has_left_has_taken_its_token(self):
        async def main():
            noted = Noted(latency_s=5)
            store = RateLimited(noted, per_second=1, burst=1)
            await ask(store, 0, "a", 0.25)
            await store.get("b")
            return noted.asked

        assert simulate(main()) == [(0, "a"), (1, "b")]

    def test_a_request_that_fails_has_taken_its_token(self):
        async def main():
            store = RateLimited(MemoryStore({"a": b"one"}), per_second=1, burst=1)
            with pytest.raises(ObjectNotFound):
                await store.get("b")
            await store.get("a")
            return asyncio.get_running_loop().time()

        assert simulate(main()) == 1


class TestLoops:
    def test_each_virtual_clock_begins_with_a_full_bucket(self):
        noted = Noted()
        store = RateLimited(noted, per_second=1, burst=2)

        async def main():
            await asyncio.gather(*map(store.get, "abc"))

        for _ in range(3):
            simulate(main())
        assert noted.times == [0, 0, 1] * 3

    @staticmethod
    async def has_to_wait(store):
        task = asyncio.create_task(store.get("a"))
        for _ in range(5):
            await asyncio.sleep(0)
        has_to_wait = not task.done()
        task.cancel()
        await asyncio.wait([task])
        return has_to_wait

    def test_in_real_time_a_second_loop_finds_what_the_first_has_left(self):
        store = RateLimited(memory("a"), per_second=0.001, burst=3)
        assert [asyncio.run(self.has_to_wait(store)) for _ in range(5)] == [False] * 3 + [True] * 2

    def test_a_virtual_clock_between_two_real_ones(self):
        store = RateLimited(memory("a"), per_second=0.001, burst=1)
        assert not asyncio.run(self.has_to_wait(store))
        assert not simulate(self.has_to_wait(store))
        assert simulate(self.has_to_wait(store)) is False
        assert not asyncio.run(self.has_to_wait(store))
        assert asyncio.run(self.has_to_wait(store))

    def test_a_loop_that_ended_with_requests_waiting_is_forgotten(self):
        store = RateLimited(memory("a"), per_second=0.001, burst=1)
        loop = asyncio.new_event_loop()
        tasks = [loop.create_task(store.get("a")) for _ in range(3)]
        loop.run_until_complete(asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED))
        assert simulate(store.get("a")) == b"a"
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.wait(tasks))
        loop.close()

    def test_two_loops_at_once_are_refused_where_one_of_them_waits(self):
        store = RateLimited(memory("a"), per_second=0.001, burst=1)

        async def main():
            simulate(store.get("a"))  # nobody waits yet
            await store.get("a")
            task = asyncio.create_task(store.get("a"))
            await asyncio.sleep(0)
            with pytest.raises(RuntimeError, match="another event loop are waiting"):
                simulate(store.get("a"))
            assert not task.done()
            task.cancel()
            await asyncio.wait([task])
            simulate(store.get("a"))

        asyncio.run(main())


class TestArguments:
    def test_passes_on_what_the_store_behind_says(self):
        async def main():
            store = RateLimited(SlowStore(memory(["a/1"]), latency_s=1, jitter=0), burst=2)
            await store.put("a/2", bytearray(b"two"))
            return await store.get("a/2"), await store.list("a/"), await store.list()

        assert simulate(main()) == (b"two", ["a/1", "a/2"], ["a/1", "a/2"])

    def test_a_buffer_filled_anew_while_it_waits_changes_nothing(self):
        async def main():
            store = RateLimited(MemoryStore(), per_second=1, burst=1)
            await store.list()
            data = bytearray(b"old")
            task = asyncio.create_task(store.put("a", data))
            await asyncio.sleep(0.5)
            data[:] = b"new"
            await task
            return await store.get("a")

        assert simulate(main()) == b"old"

    @pytest.mark.parametrize(
        "copied", [copy.copy, copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))]
    )
    def test_a_copy_has_a_full_bucket_of_its_own(self, copied):
        store = RateLimited(memory("a"), per_second=0.5, burst=3)

        async def main():
            await asyncio.gather(*map(store.get, "aaa"))
            waiting = asyncio.create_task(store.get("a"))
            await asyncio.sleep(0)
            twin = copied(store)
            start = asyncio.get_running_loop().time()
            await asyncio.gather(*map(twin.get, "aaaa"))
            waited = asyncio.get_running_loop().time() - start
            await waiting
            return waited, type(twin), repr(twin)

        assert simulate(main()) == (2, RateLimited, repr(store))

    @pytest.mark.parametrize(
        ("wrong", "error", "message"),
        [
            ({"per_second": 0}, ValueError, "`per_second` must be a finite number > 0, got 0"),
            ({"per_second": -1.5}, ValueError, "got -1.5"),
            ({"per_second": math.inf}, ValueError, "got inf"),
            ({"per_second": math.nan}, ValueError, "got nan"),
            ({"per_second": 10**400}, ValueError, "`per_second` must be"),
            ({"per_second": "200"}, TypeError, "`per_second` must be .*, got '200'"),
            ({"per_second": True}, TypeError, "`per_second` must be .*, got True"),
            ({"burst": 0}, ValueError, "`burst` must be >= 1, got 0"),
            ({"burst": 2.5}, TypeError, "`burst` must be an int, got 2.5"),
        ],
    )
    def test_bad_numbers_are_refused(self, wrong, error, message):
        with pytest.raises(error, match=message):
            RateLimited(MemoryStore(), **wrong)

    def test_what_is_no_store_is_refused(self):
        with pytest.raises(TypeError, match="`store` must have"):
            RateLimited({})

    def test_it_is_a_store_as_its_repr_says(self):
        store = RateLimited(memory("a"), 12.5)
        assert isinstance(store, Store)
        assert repr(store) == "RateLimited(<MemoryStore: 1 object>, per_second=12.5, burst=20)"
        assert str(inspect.signature(RateLimited)).startswith(
            "(store: asyncml.stores.memory.Store, per_second: float = 200, burst: int = 20)"
        )

    def test_only_bytes_are_put(self):
        with pytest.raises(TypeError, match="`data` must be bytes, got str for key 'a'"):
            simulate(RateLimited(MemoryStore()).put("a", "text"))
