import asyncio
import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncml.clock import simulate
from asyncml.stores.memory import MemoryStore, ObjectNotFound, RequestFailed
from asyncml.stores.slow import SlowStore
from tests.stores.parts import KEYS, elapsed, memory


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
