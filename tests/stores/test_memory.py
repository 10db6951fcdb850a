import asyncio
import copy
import inspect
import pickle
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncml.clock import simulate
from asyncml.stores.memory import (
    MemoryStore,
    ObjectNotFound,
    RequestFailed,
    SlowStore,
    Store,
    StoredObject,
    check_store,
)

KEYS = [f"train/{i:05}-{i % 10}.png" for i in range(100)]


def memory(keys=KEYS):
    return MemoryStore({key: key.encode() for key in keys})


async def elapsed(coroutine):
    """How long a coroutine takes by the clock of its loop, whatever becomes of it."""
    clock = asyncio.get_running_loop().time
    start = clock()
    await asyncio.gather(coroutine, return_exceptions=True)
    return round(clock() - start, 9)


class Broken:
    def __repr__(self):
        raise ArithmeticError

    __str__ = __repr__


class Text(str):
    __repr__ = Broken.__repr__


class TestMemoryStore:
    def test_gives_back_what_was_put(self):
        async def main():
            store = MemoryStore()
            await store.put("a", b"1")
            await store.put("a", b"2")
            return await store.get("a"), len(store), repr(store)

        assert simulate(main()) == (b"2", 1, "<MemoryStore: 1 object>")

    @settings(deadline=None, max_examples=30)
    @given(st.lists(st.text("ab/é", min_size=1, max_size=4)), st.text("ab/é", max_size=3))
    def test_lists_the_keys_with_a_prefix_sorted(self, keys, prefix):
        async def main():
            store = memory(keys[::2])
            await store.list("")
            for key in keys[1::2]:  # after a first listing
                await store.put(key, b"")
            return await store.list(prefix)

        assert simulate(main()) == sorted({key for key in keys if key.startswith(prefix)})

    def test_what_it_lists_is_a_copy(self):
        async def main():
            store = memory(["a", "b"])
            (await store.list()).clear()
            return await store.list()

        assert simulate(main()) == ["a", "b"]

    def test_a_missing_key_names_itself_and_the_nearest(self):
        with pytest.raises(ObjectNotFound) as caught:
            simulate(memory().get("train/00042-3.png"))
        assert isinstance(caught.value, KeyError)
        assert str(caught.value) == (
            "no object 'train/00042-3.png' among the 100 here; the nearest is 'train/00042-2.png'"
        )

    @pytest.mark.parametrize("key", ["", "zzz", "train/00042-3.png", "\udc80", 42])
    def test_any_missing_key_is_one_clear_error(self, key):
        with pytest.raises(ObjectNotFound, match=re.escape(repr(key))):
            simulate(memory().get(key))
        with pytest.raises(ObjectNotFound, match="this MemoryStore is empty"):
            simulate(MemoryStore().get(key))

    def test_bad_objects_are_refused(self):
        store = MemoryStore()
        with pytest.raises(ValueError, match="`key` must not be empty"):
            simulate(store.put("", b""))
        with pytest.raises(TypeError, match="`key` must be a str, got int"):
            simulate(store.put(1, b""))
        with pytest.raises(TypeError, match="`data` must be bytes, got str for key 'a'"):
            simulate(store.put("a", "text"))
        with pytest.raises(TypeError, match="got str"):
            MemoryStore({"a": "text"})
        assert len(store) == 0

    def test_later_changes_to_what_was_put_change_nothing(self):
        data = bytearray(b"abc")
        store = MemoryStore()
        simulate(store.put("a", data))
        data[0] = 0
        assert simulate(store.get("a")) == b"abc"

    @pytest.mark.parametrize(
        "make", [list, dict, bytes, type(None), Broken, lambda: 10**5000, lambda: Text("x")]
    )
    def test_what_is_no_key_is_not_found(self, make):
        key = make()
        for store in (memory(), MemoryStore()):
            with pytest.raises(ObjectNotFound, match=r"^no object "):
                simulate(store.get(key))

    @pytest.mark.parametrize(
        ("key", "nearest"),
        [("b", "abc"), ("abd", "abc"), ("abce", "abc"), ("", "ab"), ("ac", "abc"), ("é", "z")],
    )
    def test_the_nearest_begins_alike(self, key, nearest):
        with pytest.raises(ObjectNotFound, match=f"the nearest is '{nearest}'$"):
            simulate(memory(["ab", "abc", "z"]).get(key))

    def test_it_begins_with_any_mapping(self):
        class Falsy(dict):
            def __bool__(self):
                raise ArithmeticError

        assert simulate(MemoryStore(Falsy(a=b"1")).get("a")) == b"1"
        assert len(MemoryStore({})) == len(MemoryStore(None)) == 0

    def test_its_bytes_know_their_key_also_after_a_journey(self):
        store = memory(["a"])
        data = simulate(store.get("a"))
        assert isinstance(data, StoredObject)
        for same in (data, pickle.loads(pickle.dumps(data)), copy.copy(data), copy.deepcopy(data)):
            assert (same, same.key) == (b"a", "a")
        simulate(store.put("b", data))
        assert simulate(store.get("b")).key == "b"
        assert data.key == "a"


class TestSlowStore:
    def test_each_request_takes_its_latency(self):
        async def main():
            store = SlowStore(memory(), latency_s=3600, jitter=0)
            return [
                await elapsed(call)
                for call in (store.get(KEYS[0]), store.put("new", b""), store.list("train/"))
            ]

        assert simulate(main()) == [3600, 3600, 3600]

    def test_passes_through_what_the_store_behind_says(self):
        async def main():
            store = SlowStore(memory(), latency_s=1)
            await store.put("new", b"data")
            return await store.get("new"), await store.list("new"), await store.list()

        assert simulate(main()) == (b"data", ["new"], sorted([*KEYS, "new"]))
        with pytest.raises(ObjectNotFound, match="'nothing'"):
            simulate(SlowStore(memory()).get("nothing"))

    @settings(deadline=None, max_examples=30)
    @given(latency_s=st.floats(0, 1e3), jitter=st.floats(0, 1), seed=st.integers(), key=st.text())
    def test_jitter_bounds_the_time(self, latency_s, jitter, seed, key):
        store = SlowStore(MemoryStore(), latency_s, jitter, seed=seed)
        seen = simulate(elapsed(store.get(key)))
        assert (1 - jitter) * latency_s - 1e-6 <= seen <= (1 + jitter) * latency_s + 1e-6

    def test_the_mean_time_is_the_latency(self):
        async def main():
            store = SlowStore(memory(), latency_s=1, jitter=0.5)
            return [await elapsed(store.get(key)) for key in KEYS * 10]

        times = simulate(main())
        assert 0.98 < sum(times) / len(times) < 1.02
        assert min(times) < 0.51
        assert max(times) > 1.49

    @settings(deadline=None, max_examples=20)
    @given(st.permutations(KEYS[:20]), st.integers(1, 20))
    def test_a_key_meets_the_same_fate_in_any_order_and_company(self, order, concurrency):
        async def fates(keys, concurrency):
            store = SlowStore(memory(), latency_s=1, jitter=0.9, failure_rate=0.5, seed=7)
            clock = asyncio.get_running_loop().time
            fate = {}

            async def worker(rest):
                for key in rest:
                    start = clock()
                    (result,) = await asyncio.gather(store.get(key), return_exceptions=True)
                    fate[key] = (round(clock() - start, 6), str(result))

            rest = iter(keys)
            await asyncio.gather(*(worker(rest) for _ in range(concurrency)))
            return fate

        assert simulate(fates(order, concurrency)) == simulate(fates(KEYS[:20], 1))

    def test_draws_do_not_differ_between_machines(self):
        async def main():
            store = SlowStore(memory(), latency_s=1, seed=0)
            return [await elapsed(store.get("a")) for _ in range(2)]

        assert simulate(main()) == [0.914168827, 1.01377263]

    def test_other_seeds_attempts_and_operations_are_other_draws(self):
        async def main():
            store, other = (SlowStore(memory(), latency_s=1, seed=seed) for seed in (0, 1))
            calls = (store.get("a"), store.get("a"), other.get("a"), store.put("a", b""))
            return {await elapsed(call) for call in calls}

        assert len(simulate(main())) == 4

    def test_fails_at_its_rate_and_a_retry_draws_anew(self):
        async def main():
            store = SlowStore(memory(), failure_rate=0.3)
            for key in KEYS:
                for _ in range(40):
                    try:
                        await store.get(key)
                        break
                    except RequestFailed:
                        continue
                else:
                    raise AssertionError(f"{key} never came")
            return store

        store = simulate(main())
        assert store.requests == len(KEYS) + store.failures
        assert 0.2 < store.failures / store.requests < 0.4

    @pytest.mark.parametrize(("rate", "failures"), [(0.0, 0), (1.0, 100)])
    def test_certain_rates(self, rate, failures):
        store = SlowStore(memory(), failure_rate=rate)

        async def main():
            return await asyncio.gather(*map(store.get, KEYS), return_exceptions=True)

        results = simulate(main())
        assert sum(isinstance(result, ConnectionError) for result in results) == failures
        assert store.failures == failures

    def test_a_failure_comes_late_names_the_key_and_says_what_to_do(self):
        store = SlowStore(memory(), latency_s=2, jitter=0, failure_rate=1)
        assert simulate(elapsed(store.get(KEYS[0]))) == 2
        with pytest.raises(RequestFailed) as caught:
            simulate(store.put("a/b", b""))
        assert str(caught.value) == (
            "put 'a/b' failed at attempt 1: this store loses 100.0% of its requests; "
            "ask again, e.g. map(..., retries=3)"
        )

    def test_a_lost_put_puts_nothing(self):
        behind = MemoryStore()
        with pytest.raises(RequestFailed):
            simulate(SlowStore(behind, failure_rate=1).put("a", b""))
        assert len(behind) == 0

    @pytest.mark.parametrize(
        "view",
        [memoryview, lambda data: memoryview(data)[::-1][::-1], lambda data: data],
    )
    def test_a_buffer_filled_anew_meanwhile_changes_nothing(self, view):
        class Mine(MemoryStore):
            async def put(self, key, data):
                await asyncio.sleep(1)
                await super().put(key, data)

        async def main():
            store = SlowStore(SlowStore(Mine(), latency_s=1), latency_s=2)
            for turns in (0.5, 2.5, 3.5):
                data = bytearray(b"old")
                task = asyncio.create_task(store.put(f"after {turns}", view(data)))
                await asyncio.sleep(turns)
                data[:] = b"new"
                await task
            return [await store.get(key) for key in await store.list()]

        assert simulate(main()) == [b"old"] * 3

    def test_pixels_filled_anew_meanwhile_change_nothing(self):
        async def main():
            store = SlowStore(MemoryStore(), latency_s=1)
            pixels = np.zeros((2, 3), np.uint8)
            tasks = [asyncio.create_task(store.put(key, pixels[:, ::2].data)) for key in "ab"]
            await asyncio.sleep(0.1)
            pixels[:] = 1
            await asyncio.gather(*tasks)
            return [await store.get(key) for key in "ab"]

        assert simulate(main()) == [bytes(4)] * 2

    @pytest.mark.parametrize("data", ["text", 1, None, [1], np.zeros(3, np.uint8)])
    def test_only_bytes_are_put(self, data):
        store = SlowStore(MemoryStore())
        with pytest.raises(TypeError, match=r"`data` must be bytes, got .* for key 'a'"):
            simulate(store.put("a", data))
        assert store.requests == 0

    def test_counts_requests_and_those_in_flight(self):
        async def main():
            store = SlowStore(memory(), latency_s=1)
            group = asyncio.gather(*map(store.get, KEYS[:5]))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            seen = store.in_flight
            await group
            await store.get(KEYS[0])
            return seen, store.requests, store.in_flight, store.peak_in_flight

        assert simulate(main()) == (5, 6, 0, 5)

    def test_cancelled_requests_are_no_longer_in_flight(self):
        async def main():
            store = SlowStore(memory(), latency_s=10)
            tasks = [asyncio.ensure_future(store.get(key)) for key in KEYS[:3]]
            await asyncio.sleep(1)
            tasks[0].cancel()
            try:
                async with asyncio.timeout(1):
                    await store.put("late", b"")
            except TimeoutError:
                pass
            seen = store.in_flight
            await asyncio.gather(*tasks, return_exceptions=True)
            return seen, store.in_flight, store.requests, store.failures, len(store.store)

        assert simulate(main()) == (2, 0, 4, 0, len(KEYS))

    def test_an_error_of_the_store_behind_leaves_the_counts_right(self):
        store = SlowStore(MemoryStore())
        with pytest.raises(KeyError):
            simulate(store.get("a"))
        assert (store.in_flight, store.failures, store.requests) == (0, 0, 1)

    def test_waits_in_real_time_on_an_ordinary_loop_and_on_a_second_one(self):
        store = SlowStore(memory(), latency_s=0.001)
        assert asyncio.run(store.get(KEYS[0])) == asyncio.run(store.get(KEYS[0]))

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"latency_s": -1}, "`latency_s` must be finite seconds >= 0, got -1"),
            ({"latency_s": float("nan")}, "`latency_s` must be"),
            ({"latency_s": float("inf")}, "`latency_s` must be"),
            ({"jitter": 1.5}, "`jitter` must be between 0 and 1, got 1.5"),
            ({"jitter": -0.1}, "`jitter` must be between 0 and 1"),
            ({"failure_rate": 5}, "`failure_rate` must be between 0 and 1, got 5"),
        ],
    )
    def test_bad_numbers_are_refused(self, wrong, message):
        with pytest.raises(ValueError, match=message):
            SlowStore(MemoryStore(), **wrong)

    def test_what_is_no_store_is_refused(self):
        with pytest.raises(TypeError, match=r"get, put and list, got dict; .* MemoryStore\(\)"):
            SlowStore({})
        with pytest.raises(TypeError, match="got the class MemoryStore"):
            SlowStore(MemoryStore)

    def test_its_repr_is_how_it_was_made(self):
        store = SlowStore(memory(["a"]), 0.5, seed=3)
        assert repr(store) == (
            "SlowStore(<MemoryStore: 1 object>, "
            "latency_s=0.5, jitter=0.2, failure_rate=0.0, seed=3)"
        )

    def test_signature_of_the_contract(self):
        assert str(inspect.signature(SlowStore)).startswith(
            "(store: asyncml.stores.memory.Store, latency_s: float = 0.02, jitter: float = 0.2, "
            "failure_rate: float = 0.0, seed: int = 0)"
        )


def test_anything_with_three_methods_is_a_store():
    class Mine:
        async def get(self, key):
            return b"mine"

        async def put(self, key, data): ...

        async def list(self, prefix):
            return []

    check_store(Mine())
    assert isinstance(SlowStore(Mine()), Store)
    assert simulate(SlowStore(Mine()).get("any")) == b"mine"
