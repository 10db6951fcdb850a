"""A suspended coroutine tells what it waits for, and on which line."""

import asyncio
import contextlib
import inspect
import types

import pytest

from asyncml.clock import simulate, waiting
from asyncml.clock.reasons import reason, target_name
from asyncml.clock.waiting import (
    Site,
    await_chain,
    check_coroutine,
    own_name,
    user_site,
)
from asyncml.timeline.recorder import record


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
    sites = [Site(code, lasti) for _, code, lasti in chain]
    lines, first = inspect.getsourcelines(leaf)
    assert user_site(sites) == sites[-2]
    assert sites[-2].line == first + len(lines) - 1
    assert str(sites[-2]) == f"test_waiting.py, leaf, line {sites[-2].line}"
    assert reason([site.code for site in sites], None) == "sleep"


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


class Unnamed:
    def __getattr__(self, name):
        raise LookupError(name)

    def __repr__(self):
        raise LookupError

    def __call__(self): ...


class Endless:
    def __getattr__(self, name):
        return Endless()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Unnamed(), "<Unnamed"),
        (lambda: Endless(), "<"),
        (lambda: 10**5000, "<int"),
        (lambda: "x" * 1000, "'xxx"),
        (lambda: types.SimpleNamespace(__name__=7), "namespace"),
    ],
)
def test_anything_can_be_refused(make, said):
    with pytest.raises(TypeError, match=f"^`simulate` needs a coroutine, got {said}") as caught:
        check_coroutine("simulate", make())
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: leaf, "leaf"),
        (lambda: Unnamed, "Unnamed"),
        (lambda: Unnamed(), None),
        (lambda: Endless(), None),
        (lambda: 7, None),
    ],
)
def test_the_name_of_anything(make, name):
    assert own_name(make()) == name


def test_a_future_of_the_programs_own_may_have_any_attributes():
    class Own(asyncio.Future):
        @property
        def _children(self):
            raise LookupError

    async def main():
        loop = asyncio.get_running_loop()
        future = Own(loop=loop)
        loop.call_later(1, future.set_result, "done")
        found = reason([], target_name(future))
        return await future, found

    assert simulate(main()) == ("done", "future")
    assert simulate(record(main())).result == ("done", "future")


@types.coroutine
def bare():
    yield


async def comprehends():
    return [[await each for each in (bare(),)] for _ in range(1)]


def test_a_comprehension_is_named_after_its_function_on_every_python():
    coroutine = comprehends()
    coroutine.send(None)
    names = [Site(code, lasti).function for _, code, lasti in await_chain(coroutine)]
    coroutine.close()
    assert names[0] == "test_waiting.py, comprehends"
    assert not [name for name in names if "comp>" in name]
