"""Every private name of CPython that the package uses is listed, used, and in this Python."""

import ast
import asyncio
import concurrent.futures
import importlib
import re
import threading
import weakref
from pathlib import Path

import pytest

import asyncml
from asyncml import internals
from asyncml.internals import (
    awaited_by,
    coroutine_of,
    frame_at,
    processes_of,
    threads_of,
    unseen_error,
    variables,
)

LISTED = re.findall(r"^    ([a-z][\w.\[\]]+)", internals.__doc__, re.MULTILINE)
# these names begin with an underscore, but are documented
DOCUMENTED = {"_exit", "_fields", "_is_gil_enabled", "_make"}
MAY_BE_NONE = {
    "_coro",
    "_default_executor",
    "_exception",
    "_executor_manager_thread",
    "_fut_waiter",
    "_source_traceback",
    "_thread_id",
}


def short(name):
    """Return the last name, such as `_run` of "asyncio.Handle._run[self]"."""
    return name.partition("[")[0].rpartition(".")[2]


def find(name):
    """Return the object of that name, or raise LookupError or AttributeError."""
    path, _, variable = name.partition("[")
    module, _, rest = path.rpartition(".")
    names = [rest]
    while not _is_module(module):
        module, _, rest = module.rpartition(".")
        names.insert(0, rest)
    found = importlib.import_module(module)
    for each in names:
        found = getattr(example(found), each)
    if variable and variable[:-1] not in found.__code__.co_varnames:
        raise LookupError(name)
    return found


def _is_module(name):
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        return False
    return True


def example(kind):
    """Return an instance of the class, for names that only instances have."""

    async def ended():
        return asyncio.current_task()

    loop = asyncio.new_event_loop()
    loop.close()
    make = {
        asyncio.BaseEventLoop: lambda: loop,
        asyncio.Future: lambda: asyncio.Future(loop=loop),
        asyncio.Handle: lambda: asyncio.Handle(print, (), loop),
        asyncio.Task: lambda: asyncio.run(ended()),
        asyncio.TimerHandle: lambda: asyncio.TimerHandle(1, print, (), loop),
        concurrent.futures.ProcessPoolExecutor: lambda: kind(1),
        concurrent.futures.ThreadPoolExecutor: lambda: kind(1),
        threading.Condition: lambda: kind(),
    }
    return make[kind]() if kind in make else kind


@pytest.mark.parametrize("name", LISTED)
def test_it_is_there(name):
    try:
        found = find(name)
    except (AttributeError, LookupError):
        pytest.fail(f"this Python has no {name}: see what `internals` says it is for")
    assert found is not None or short(name) in MAY_BE_NONE


@pytest.mark.parametrize(
    "name", ["threading._gone", "asyncio.Task._gone", "threading.Condition.wait[gone]"]
)
def test_what_is_missing_is_noticed(name):
    with pytest.raises((AttributeError, LookupError)):
        find(name)


def test_no_other_is_used_and_none_is_listed_in_vain():
    used, ours = set(), set()
    for path in Path(asyncml.__file__).parent.rglob("*.py"):
        if "exercises" not in path.parts:
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                used.update(_used(node))
                ours.update(_defined(node))
    private = {name for name in used if re.fullmatch(r"_[A-Za-z]\w*", name)}
    listed = {short(name) for name in LISTED if "._" in name}
    assert private - ours - DOCUMENTED <= listed
    assert listed <= private


def _used(node):
    if isinstance(node, ast.Attribute):
        yield node.attr
    elif isinstance(node, ast.ImportFrom):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in {"getattr", "hasattr"}:
        yield getattr(node.args[1], "value", "")


def _defined(node):
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id
    elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
        yield node.attr if getattr(node.value, "id", "") in {"self", "cls"} else ""


def test_names_of_tasks():
    async def main():
        future = asyncio.get_running_loop().create_future()
        coro = asyncio.wait_for(future, None)
        task = asyncio.create_task(coro)
        assert coroutine_of(task) is coro
        assert awaited_by(task) is None
        await asyncio.sleep(0)
        assert awaited_by(task) is future
        future.set_exception(KeyError("k"))
        await asyncio.wait([task])
        assert isinstance(unseen_error(task), KeyError)
        assert unseen_error(task) is task.exception()
        assert unseen_error(task) is None  # retrieved by now

    asyncio.run(main())
    assert coroutine_of(None) is awaited_by(None) is unseen_error(None) is None


def test_names_of_pools():
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        pool.submit(abs, 1).result()
        (thread,) = threads_of(pool)
        assert isinstance(thread, threading.Thread)
        assert processes_of(pool) == []
    with concurrent.futures.ProcessPoolExecutor(1) as pool:
        assert processes_of(pool) == []
        assert not threads_of(pool)


class Kept: ...


def test_a_frame_keeps_no_copy_of_its_variables():
    kept, frame = Kept(), frame_at(0)
    known = weakref.ref(kept)
    assert variables(frame)["kept"] is kept
    del kept
    assert known() is None
