import asyncio
import copy
import gc
import inspect
import math
import pickle
import weakref

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncml.clock import simulate
from asyncml.stores.hedged import Hedged
from asyncml.stores.limited import RateLimited
from asyncml.stores.memory import MemoryStore, ObjectNotFound, RequestFailed, Store
from asyncml.stores.slow import SlowStore
from tests.stores.parts import check_rate, memory


class Lost(ConnectionError):
    pass


class Scripted(MemoryStore):
    """A store whose requests take what they are told to take, and end as they are told to end.

    Args:
        requests: for each, in the order in which they are made, how long it takes, and how it
            ends: with bytes, or by raising an error.
        clean_up_s: how long a request takes to end once it has been cancelled.
    """

    def __init__(self, *requests, clean_up_s=0.0):
        super().__init__()
        self.script, self.clean_up_s = iter(requests), clean_up_s
        self.asked, self.cancelled, self.running = [], 0, 0

    async def get(self, key):
        seconds, end = next(self.script)
        self.asked.append(asyncio.get_running_loop().time())
        self.running += 1
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self.cancelled += 1
            await asyncio.sleep(self.clean_up_s)
            raise
        finally:
            self.running -= 1
        if isinstance(end, bytes):
            return end
        raise end


async def end_of(request):
    """Return how a request ends, and when."""
    try:
        end = await request
    except Exception as error:
        end = error
    return end, round(asyncio.get_running_loop().time(), 9)


def play(store, after_s=2):
    """Get an object from a hedged store; nothing may be left."""

    async def main():
        hedged = Hedged(store, after_s=after_s)
        ended = await end_of(hedged.get("a"))
        assert store.running == 0
        assert len(asyncio.all_tasks()) == 1
        assert hedged.hedges == len(store.asked) - 1
        return ended

    return simulate(main())


class TestGet:
    def test_an_answer_in_time_is_one_request(self):
        store = Scripted((1.9, b"one"))
        assert play(store) == (b"one", 1.9)
        assert store.asked == [0]

    def test_a_straggler_is_asked_again_and_called_off(self):
        store = Scripted((100, b"late"), (1, b"one"))
        assert play(store) == (b"one", 3)
        assert (store.asked, store.cancelled) == ([0, 2], 1)

    def test_the_first_may_still_be_quicker(self):
        store = Scripted((2.5, b"one"), (1, b"two"))
        assert play(store) == (b"one", 2.5)
        assert store.cancelled == 1

    def test_the_loser_is_waited_for_while_it_cleans_up(self):
        store = Scripted((100, b"late"), (1, b"one"), clean_up_s=0.5)
        assert play(store) == (b"one", 3.5)

    def test_it_can_be_asked_twice_at_once(self):
        assert play(Scripted((3, b"one"), (1, b"two")), after_s=0) == (b"two", 1)

    def test_both_answers_at_once_are_one_answer(self):
        assert play(Scripted((3, b"one"), (1, b"one"))) == (b"one", 3)

    def test_an_error_in_time_is_raised_at_once(self):
        error = ObjectNotFound("no object 'a'")
        store = Scripted((1, error))
        assert play(store) == (error, 1)
        assert store.asked == [0]

    @pytest.mark.parametrize(
        ("requests", "expected"),
        [
            (((3, Lost("1")), (5, b"two")), (b"two", 7)),
            (((9, b"one"), (1, Lost("2"))), (b"one", 9)),
            (((3, Lost("1")), (1, b"two")), (b"two", 3)),
            (((3, b"one"), (1, Lost("2"))), (b"one", 3)),
        ],
    )
    def test_where_one_fails_the_other_is_waited_for(self, requests, expected):
        assert play(Scripted(*requests)) == expected

    @pytest.mark.parametrize(("seconds", "first"), [(0.5, 1), (5, 0)])
    def test_where_both_fail_it_raises_the_earlier_and_notes_the_other(self, seconds, first):
        errors = Lost("the first"), RequestFailed("the second")
        store = Scripted((3, errors[0]), (seconds, errors[1]))
        error, at = play(store)
        assert (error, at) == (errors[first], max(3, 2 + seconds))
        other = errors[1 - first]
        assert error.__notes__ == [f"its other request failed too: {type(other).__name__}: {other}"]

    def test_a_store_that_cancels_its_own_request_has_not_answered(self):
        assert play(Scripted((3, asyncio.CancelledError()), (9, b"two"))) == (b"two", 11)

        async def main(*requests):
            with pytest.raises(asyncio.CancelledError):
                await Hedged(Scripted(*requests), after_s=2).get("a")
            return len(asyncio.all_tasks()), asyncio.get_running_loop().time()

        lost = asyncio.CancelledError()
        assert simulate(main((1, lost))) == (1, 1)
        assert simulate(main((3, lost), (4, lost))) == (1, 6)

    @settings(max_examples=200)
    @given(
        st.lists(st.tuples(st.integers(0, 50), st.booleans()), min_size=2, max_size=2),
        st.integers(0, 40),
    )
    def test_the_first_answer_counts_whatever_happens(self, requests, after):
        script = [
            (seconds / 10, b"%d" % n if is_good else Lost(str(n)))
            for n, (seconds, is_good) in enumerate(requests)
        ]
        end, at = play(Scripted(*script), after_s=after / 10 + 0.01)
        made = [(script[0][0], script[0][1]), (after / 10 + 0.01 + script[1][0], script[1][1])]
        if script[0][0] < after / 10 + 0.01:
            made = made[:1]
        good = [one for one in made if isinstance(one[1], bytes)]
        assert end == (min(good) if good else min(made, key=lambda one: one[0]))[1]
        assert at == round(min(good)[0] if good else max(seconds for seconds, _ in made), 9)

    @pytest.mark.parametrize("seconds", [1, 3])
    def test_an_error_does_not_keep_alive_what_the_request_had(self, seconds):
        class Mine(Exception):
            pass

        class Failing(MemoryStore):
            async def get(self, key):
                await asyncio.sleep(seconds)
                raise Mine

        async def main():
            try:
                await Hedged(Failing(), after_s=2).get("a")
            except Mine as error:
                return weakref.ref(error)

        gc.disable()
        try:
            assert simulate(main())() is None
        finally:
            gc.enable()

    def test_tasks_are_named_after_their_key(self):
        async def main():
            task = asyncio.create_task(Hedged(Scripted((9, b""), (9, b"")), 2).get("train/1"))
            await asyncio.sleep(3)
            names = {one.get_name() for one in asyncio.all_tasks()}
            await task
            return names

        assert {"get 'train/1'", "get 'train/1' again"} < simulate(main())

    def test_what_is_no_key_is_not_found(self):
        class Broken:
            def __repr__(self):
                raise ArithmeticError

            __str__ = __repr__

        for key in (Broken(), 42, [], None):
            with pytest.raises(ObjectNotFound):
                simulate(Hedged(memory("a")).get(key))


class TestCancelled:
    @pytest.mark.parametrize("moment", [0, 1e-9, 1, 2, 2.0001, 3, 4.9, 5, 5.3])
    @pytest.mark.parametrize("clean_up_s", [0, 0.5])
    @pytest.mark.parametrize("second", [b"two", Lost()])
    def test_at_any_moment_both_are_cancelled_and_have_ended(self, moment, clean_up_s, second):
        async def main():
            store = Scripted((100, b"one"), (3, second), clean_up_s=clean_up_s)
            task = asyncio.create_task(Hedged(store, after_s=2).get("a"))
            await asyncio.sleep(moment)
            task.cancel()
            (result,) = await asyncio.gather(task, return_exceptions=True)
            assert store.running == 0
            assert len(asyncio.all_tasks()) == 1
            return result, asyncio.get_running_loop().time()

        result, at = simulate(main())
        if result == b"two":  # it had come already
            assert moment >= 5 + clean_up_s
        else:
            assert isinstance(result, asyncio.CancelledError)
            assert at <= moment + clean_up_s

    @pytest.mark.parametrize("moment", [0, 1, 2, 3, 4, 5])
    @pytest.mark.parametrize("turns", range(6))
    def test_in_any_turn_of_the_loop_also_around_a_rate_limit(self, moment, turns):
        async def main():
            loop = asyncio.get_running_loop()
            store = Scripted(*[(1.5, b"one")] * 20, clean_up_s=0.25)
            limited = RateLimited(store, per_second=1, burst=1)
            hedged = Hedged(limited, after_s=1)
            tasks = [asyncio.create_task(hedged.get("a")) for _ in range(3)]
            for task in tasks:
                await asyncio.sleep(moment / 3)
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(end == b"one" or isinstance(end, asyncio.CancelledError) for end in ends)
            assert store.running == 0
            assert len(asyncio.all_tasks()) == 1
            free_at = max([loop.time(), *(at + 1 for at in store.asked[-1:])])
            await asyncio.gather(limited.get("b"), limited.get("c"))  # no token has been lost
            check_rate(store.asked, per_second=1, burst=1)
            return store.asked[-2:], [free_at, free_at + 1]

        found, expected = simulate(main())
        assert found == pytest.approx(expected)

    def test_cancelled_twice_it_still_waits_for_what_it_began(self):
        async def main():
            store = Scripted((100, b"one"), (100, b"two"), clean_up_s=1)
            task = asyncio.create_task(Hedged(store, after_s=2).get("a"))
            for moment in (3, 0.3, 0.3):
                await asyncio.sleep(moment)
                task.cancel()
            await asyncio.wait([task])
            return task.cancelled(), store.running, asyncio.get_running_loop().time()

        assert simulate(main()) == (True, 0, 4)

    def test_a_timeout_around_it(self):
        async def main():
            store = Scripted((100, b"one"), (100, b"two"))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(3):
                    await Hedged(store, after_s=2).get("a")
            return store.cancelled, asyncio.get_running_loop().time()

        assert simulate(main()) == (2, 3)


class TestStore:
    def test_puts_and_lists_pass_once_however_late(self):
        async def main():
            slow = SlowStore(memory(["a/1"]), latency_s=10, jitter=0)
            store = Hedged(slow, after_s=1)
            await store.put("a/2", b"two")
            return await store.list("a/"), await store.list(), slow.requests, store.hedges

        assert simulate(main()) == (["a/1", "a/2"], ["a/1", "a/2"], 3, 0)

    def test_around_a_rate_limit_the_second_request_waits_for_its_turn(self):
        async def main():
            store = Scripted((100, b"late"), (0.1, b"b"), (0.1, b"a"))
            hedged = Hedged(RateLimited(store, per_second=1, burst=1), after_s=1.5)
            await asyncio.gather(hedged.get("a"), hedged.get("b"))
            return [round(at, 9) for at in store.asked], asyncio.get_running_loop().time()

        assert simulate(main()) == ([0, 1, 2], 2.1)

    def test_most_stragglers_are_gone_for_a_few_requests_more(self):
        class Uneven(MemoryStore):
            async def get(self, key):
                asked.append(key)
                await asyncio.sleep(1 if len(asked) % 20 == 7 else 0.05)
                return b""

        async def main():
            store = Hedged(Uneven())
            for key in range(400):
                await store.get(key)
            return store.hedges, asyncio.get_running_loop().time()

        asked = []
        hedges, seconds = simulate(main())
        assert len(asked) == 400 + hedges
        assert hedges == 21  # one in twenty of those that were made
        assert seconds == pytest.approx(400 * 0.05 + hedges * 0.075)

    def test_in_real_time_and_on_a_second_loop(self):
        store = Hedged(SlowStore(memory("a"), latency_s=0.001), after_s=0)
        assert [asyncio.run(store.get("a")) for _ in range(2)] == [b"a"] * 2

    @pytest.mark.parametrize(
        "copied", [copy.copy, copy.deepcopy, lambda store: pickle.loads(pickle.dumps(store))]
    )
    def test_copies(self, copied):
        store = copied(Hedged(SlowStore(memory("a"), latency_s=1), after_s=0.5))
        assert (simulate(store.get("a")), store.hedges) == (b"a", 1)

    @pytest.mark.parametrize(
        ("wrong", "error", "got"),
        [
            (-1, ValueError, "-1"),
            (math.inf, ValueError, "inf"),
            (math.nan, ValueError, "nan"),
            ("1", TypeError, "'1'"),
            (None, TypeError, "None"),
        ],
    )
    def test_bad_numbers_are_refused(self, wrong, error, got):
        with pytest.raises(error, match=f"`after_s` must be finite seconds >= 0, got {got}"):
            Hedged(MemoryStore(), after_s=wrong)

    def test_what_is_no_store_is_refused(self):
        with pytest.raises(TypeError, match="`store` must have"):
            Hedged(MemoryStore)

    def test_it_is_a_store_as_its_repr_says(self):
        store = Hedged(memory("a"), 0.1)
        assert isinstance(store, Store)
        assert repr(store) == "Hedged(<MemoryStore: 1 object>, after_s=0.1)"
        assert str(inspect.signature(Hedged)).startswith(
            "(store: asyncml.stores.memory.Store, after_s: float = 0.075)"
        )
