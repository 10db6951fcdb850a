import copy
import pickle
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncml.clock import simulate
from asyncml.stores.memory import (
    MemoryStore,
    ObjectNotFound,
    Store,
    StoredObject,
    check_store,
)
from asyncml.stores.slow import SlowStore
from tests.stores.parts import memory


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
