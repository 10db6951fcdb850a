"""A suspended coroutine tells what it waits for, and on which line."""

import asyncio
import contextlib
import inspect
import types

import pytest

from asyncml import waiting
from asyncml.clock import simulate
from asyncml.waiting import Place, await_chain, check_coroutine, reason, user_place


async def leaf():
    await asyncio.sleep(1)


async def branch():
    await leaf()


@types.coroutine
def old_style():
    yield from leaf()


class Awaitable:
    def __await__(self):
        return (yield from leaf().__await__())


async def through_a_generator():
    async def items():
        await leaf()
        yield 1

    async for _ in items():
        pass


async def through_a_context_manager():
    @contextlib.asynccontextmanager
    async def opened():
        await leaf()
        yield

    async with opened():
        pass


async def through_old_style():
    await old_style()


async def through_an_awaitable():
    await Awaitable()


@pytest.mark.parametrize(
    ("program", "names"),
    [
        (branch, ["branch", "leaf", "sleep"]),
        (through_a_generator, ["through_a_generator", "items", "leaf", "sleep"]),
        (through_a_context_manager, [..., "__aenter__", "opened", "leaf", "sleep"]),
        (through_old_style, ["through_old_style", "old_style", "leaf", "sleep"]),
        (through_an_awaitable, ["through_an_awaitable", "__await__", "leaf", "sleep"]),
    ],
)
def test_the_chain_is_walked_to_its_end(program, names):
    async def main():
        task = asyncio.create_task(program())
        await asyncio.sleep(0)
        chain = await_chain(task.get_coro())
        await task
        return chain

    chain = simulate(main())
    found = [code.co_name for _, code, _ in chain]
    if names[0] is ...:
        found, names = found[-len(names) + 1 :], names[1:]
    assert found == names
    places = [Place(code, lasti) for _, code, lasti in chain]
    lines, first = inspect.getsourcelines(leaf)
    assert user_place(places) == places[-2]
    assert places[-2].line == first + len(lines) - 1
    assert str(places[-2]) == f"test_waiting.py, leaf, line {places[-2].line}"
    assert reason(places, None) == "sleep"


def test_what_does_not_wait_has_no_chain():
    coro = leaf()
    coro.close()
    assert await_chain(coro) == []
    assert await_chain(None) == []
    assert await_chain(7) == []


@pytest.mark.parametrize(
    ("filename", "part"),
    [
        ("some/folder/train.py", "train.py, "),
        ("/tmp/ipykernel_77/123.py", ""),
        ("<ipython-input-1-abc>", ""),
        ("<stdin>", ""),
    ],
)
def test_a_file_is_named_without_its_folder_and_a_cell_not_at_all(filename, part):
    assert waiting.file_part(filename) == part


@pytest.mark.parametrize("main", [leaf, 7, None, "text", lambda: None])
def test_what_is_no_coroutine_is_an_error(main):
    with pytest.raises(TypeError, match="`record` needs a coroutine, got"):
        check_coroutine("record", main)
