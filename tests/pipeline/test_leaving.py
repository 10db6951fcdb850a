"""However a pipeline is left, nothing of it stays: no task, no open file, no thread."""

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from asyncml.clock import simulate
from asyncml.pipeline import iteration
from asyncml.pipeline.pipeline import Pipeline
from tests.notebook_kernel import Kernel
from tests.pipeline.consuming import collect, left, nap

SOON_S = 5.0  # after that, nothing may be left: a wide margin, for a busy machine


class Broken(Exception):
    pass


def soon(is_so):
    deadline = time.monotonic() + SOON_S
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.001)
    return is_so()


class Lines:
    """A real file as a source, and whether each time that it was opened it is closed again."""

    def __init__(self, path, count):
        self.path = path
        self.path.write_text("".join(f"{number}\n" for number in range(count)))
        self.files = []

    def read(self):
        with self.path.open() as file:
            self.files.append(file)
            yield from map(int, file)

    async def aread(self):
        with self.path.open() as file:
            self.files.append(file)
            for line in file:
                await asyncio.sleep(0.001)
                yield int(line)

    def all_closed(self):
        return all(file.closed for file in self.files)


# a cancellation at any await


def half(value):
    return value / 2


def flaky():
    failed = set()

    async def load(value):
        await asyncio.sleep(0.01)
        if value % 3 == 0 and value not in failed:
            failed.add(value)
            raise Broken(value)
        return value

    return load


async def twice(value):
    for _ in range(2):
        await asyncio.sleep(0.001)
        yield value


async def is_even(value):
    await asyncio.sleep(0.001)
    return value % 2 == 0


SHAPES = {
    "an asynchronous source": lambda lines: Pipeline(lines.aread).batch(2),
    "threads": lambda lines: (
        Pipeline(lines.read).map(nap, concurrency=2).map(half, concurrency=2).prefetch(2)
    ),
    "a time-out in threads": lambda lines: (
        Pipeline(lines.aread).map(half, concurrency=2, timeout=1).filter(is_even)
    ),
    "flat_map": lambda lines: (
        Pipeline(lines.read).shuffle(3).flat_map(twice, concurrency=2).batch(3).prefetch(1)
    ),
    "retries": lambda lines: Pipeline(lines.read).map(flaky(), concurrency=2, retries=2).batch(2),
    "a late shuffle": lambda lines: (
        Pipeline(lines.read).map(nap, concurrency=2).shuffle(4).batch(2, collate=tuple)
    ),
}


async def cancelled(pipeline, step, times):
    """The items before a cancellation `step` turns of the loop from now; whether one took place."""
    loop, items = asyncio.get_running_loop(), []

    async def consume():
        async for item in pipeline:
            items.append(item)

    task, run_once, turns = asyncio.create_task(consume()), loop._run_once, 0

    def counted():
        nonlocal turns
        if step <= turns < step + times:
            task.cancel()
        turns += 1
        run_once()

    loop._run_once = counted
    await asyncio.wait([task])
    loop._run_once = run_once
    return items, task.cancelled()


@pytest.mark.parametrize("resumed", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_cancelled_in_any_turn_of_the_loop(shape, resumed, tmp_path):
    lines = Lines(tmp_path / "lines", 7)
    make = SHAPES[shape]

    async def main(step):
        pipeline, before = make(lines), []
        if resumed:
            some = aiter(pipeline)
            before = [await anext(some), await anext(some)]
            await some.aclose()
            pipeline.load_state_dict(pipeline.state_dict())
        items, is_cancelled = await cancelled(pipeline, step, 1 + step % 2)
        assert left() == []
        assert lines.all_closed()
        again, state = make(lines), pipeline.state_dict()
        again.load_state_dict(state)
        rest = await collect(again)
        assert before + items + (rest if state["epoch"] == 0 else []) == whole
        return is_cancelled

    whole = simulate(collect(make(lines)))
    step = 0
    while simulate(main(step)):
        step += 1
    assert step > 10


@pytest.mark.parametrize("answer", ["a result", "an error"])
@pytest.mark.parametrize("options", [{}, {"on_error": "skip"}, {"retries": 2}, {"ordered": False}])
def test_a_function_need_not_pass_its_cancellation_on(answer, options):
    calls = []

    async def load(value):
        calls.append(value)
        try:
            await asyncio.sleep(0.1)
        except asyncio.CancelledError:
            if answer == "an error":
                raise OSError("connection lost") from None
        return value

    async def main():
        items = aiter(Pipeline(range(99)).map(load, concurrency=3, **options))
        await anext(items)
        begun = len(calls)
        await asyncio.wait_for(items.aclose(), 1)
        assert len(calls) == begun
        assert left() == []

    simulate(main())


def test_nor_need_an_asynchronous_source():
    async def source():
        for value in range(99):
            try:
                await asyncio.sleep(0.1)
            except asyncio.CancelledError:
                closing.append(value)
            yield value

    async def main():
        for consumed in (1, 3):
            items = aiter(Pipeline(source))
            for _ in range(consumed):
                await anext(items)
            await asyncio.wait_for(items.aclose(), 1)
            assert left() == []

    closing = []
    simulate(main())
    assert len(closing) == 2


def test_what_was_cancelled_is_no_error_of_an_item():
    seen = []

    async def load(value):
        try:
            await asyncio.sleep(value)
        except asyncio.CancelledError:
            raise OSError from None
        return value

    async def main():
        pipeline = Pipeline(range(9)).map(load, on_error=lambda error, item: seen.append(item))
        async for _ in pipeline:
            break
        await asyncio.sleep(0)
        assert left() == []

    simulate(main())
    assert seen == []


# every other way out


def ways(source):
    return [
        Pipeline(source),
        Pipeline(source).map(half, concurrency=2),
        Pipeline(source).map(nap, concurrency=2, ordered=False).batch(2).prefetch(2),
        Pipeline(source).flat_map(twice).map(half, timeout=1).filter(is_even),
    ]


def refuse(value):
    if value == 5:
        raise Broken


@pytest.mark.parametrize("way", ["break", "body", "stage", "close", "drop", "kept"])
def test_plain_for_closes_files_and_threads(way, tmp_path):
    lines = Lines(tmp_path / "lines", 1000)
    before = set(threading.enumerate())
    for source in (lines.read, lines.aread):
        for pipeline in ways(source):
            if way in ("break", "body"):
                try:
                    for _ in pipeline:
                        if way == "body":
                            raise Broken
                        break
                except Broken:
                    pass
            elif way == "stage":
                with pytest.raises(Broken):
                    list(pipeline.map(lambda item: refuse(5)))
            else:
                items = iter(pipeline)
                next(items)
                if way == "close":
                    items.close()
                elif way == "kept":  # and ended by another iteration
                    next(iter(pipeline))
                del items
            assert soon(lines.all_closed)
            assert soon(lambda: set(threading.enumerate()) <= before)
    assert lines.files


def test_an_iterator_in_a_cycle_goes_with_the_garbage(tmp_path):
    class Node:
        pass

    async def main():
        for pipeline in ways(lines.read):
            node = Node()
            node.node, node.items = node, aiter(pipeline)
            await anext(node.items)
            del node
            gc.collect()
            await asyncio.sleep(SOON_S)
            assert left() == []
            assert lines.all_closed()

    lines = Lines(tmp_path / "lines", 100)
    simulate(main())


def test_the_source_itself_may_drop_the_iterator():
    closed = []

    def source():
        try:
            for value in range(99):
                if value == 9:
                    kept.clear()  # as when garbage is collected at this moment
                yield value
        finally:
            closed.append(True)

    async def main():
        kept.append(aiter(Pipeline(source).map(nap, concurrency=1)))
        await anext(kept[0])
        await asyncio.sleep(1)
        assert closed
        assert left() == []

    kept = []
    simulate(main())


def test_so_may_a_function_on_the_loop():
    def leave(value):
        pipeline.load_state_dict(state)

    pipeline = Pipeline(range(9)).map(nap, concurrency=1).filter(leave)
    state = pipeline.state_dict()
    with pytest.raises(RuntimeError, match="which ended this iteration"):
        simulate(collect(pipeline))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.untidy  # asyncio logs the error of the last one
def test_a_source_whose_clean_up_fails_holds_nothing_up():
    def source():
        try:
            yield from range(99)
        finally:
            raise Broken

    async def stall(value):
        await asyncio.sleep(9 * value)
        return value

    async def main():
        pipeline = Pipeline(source).map(stall)
        async for _ in pipeline:
            break
        items = aiter(pipeline)
        await anext(items)
        with pytest.raises(Broken):
            await items.aclose()
        assert left() == []
        waiting = asyncio.create_task(collect(pipeline))
        await asyncio.sleep(1)
        with pytest.raises(Broken):
            pipeline.load_state_dict(pipeline.state_dict())
        with pytest.raises(RuntimeError, match="load_state_dict"):
            await waiting
        assert left() == []

    simulate(main())
    begun = time.monotonic()
    for _ in Pipeline(source).map(stall):
        break
    assert time.monotonic() - begun < SOON_S


def test_never_started_it_opens_nothing_and_counts_for_nothing(tmp_path):
    lines = Lines(tmp_path / "lines", 20)
    make = lambda: Pipeline(lines.read).shuffle(9).map(half)  # noqa: E731
    first, second = list(make()), list(make().take(3))
    lines.files.clear()
    pipeline = make()
    aiter(pipeline)
    unused = [iter(pipeline), aiter(pipeline)]
    assert not lines.files
    assert pipeline.state_dict() == make().state_dict()
    assert list(pipeline) == first  # not the second epoch
    del unused
    pipeline = make()
    assert [item for _, item in zip(range(3), pipeline, strict=False)] == second == first[:3]
    state = pipeline.state_dict()
    again = make()
    again.load_state_dict(state)
    iter(again)
    iter(again)  # tqdm.auto makes an iterator before it makes the one that it uses
    assert list(again) == first[3:]


# interrupts


@pytest.mark.skipif(sys.platform == "win32", reason="no signal reaches a waiting thread there")
@pytest.mark.parametrize("where", ["waiting", "body"])
def test_an_interrupt_of_plain_for(where, tmp_path):
    lines = Lines(tmp_path / "lines", 1000)
    before = set(threading.enumerate())

    def load(value):
        if value == 5 and where == "waiting":
            time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.05)
        return value

    def consume():
        for item in Pipeline(lines.read).map(load, concurrency=1).prefetch(2):
            if item == 3 and where == "body":
                signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        consume()
    assert soon(lambda: lines.all_closed() and set(threading.enumerate()) <= before)


@pytest.mark.parametrize("where", ["waiting", "body"])
def test_an_interrupt_of_async_for(where, tmp_path):
    lines = Lines(tmp_path / "lines", 1000)

    async def main():
        loop = asyncio.get_running_loop()
        loop.call_later(0.02, signal.raise_signal, signal.SIGINT)
        try:
            async for _ in Pipeline(lines.read).map(nap, concurrency=1).map(half).prefetch(2):
                if where == "body":
                    await asyncio.sleep(9)
        except asyncio.CancelledError:
            await asyncio.sleep(0.001)
            found.append(left())
            raise

    found = []
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())
    assert found == [[]]
    assert lines.all_closed()


CELLS = {
    "for, waiting": "for item in stalling: pass",
    "for, body": "for item in ready: time.sleep(9)",
    "async for, waiting": "async for item in stalling: pass",
    "async for, body": "async for item in ready: await stall(5)",
}
SETUP = """
import asyncio, os, signal, threading, time
from asyncml.pipeline.pipeline import Pipeline

def source():
    files.append(open("lines"))
    with files[-1]:
        yield from map(int, files[-1])

async def stall(value):
    for _ in range(900 if value == 5 else 1):  # an idle loop sees no interrupt in a notebook
        await asyncio.sleep(0.01)
    return value

def half(value):
    return value / 2

files = []
stalling = Pipeline(source).map(stall, concurrency=2).map(half).batch(2)
ready = Pipeline(source).map(half).prefetch(2)
await asyncio.sleep(0)  # so that this cell is a task, as the next ones are
before = set(threading.enumerate()), len(asyncio.all_tasks())
"""
INTERRUPT = "threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()"  # as Jupyter does
LEFT = """
for _ in range(500):  # up to 5 s, on a busy machine
    await asyncio.sleep(0.01)
    if set(threading.enumerate()) <= before[0] and len(asyncio.all_tasks()) <= before[1]:
        break
print({thread.name for thread in set(threading.enumerate()) - before[0]},
      len(asyncio.all_tasks()) - before[1], [file.closed for file in files])
files.clear()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a signal ends the kernel there")
def test_an_interrupted_cell_leaves_nothing(tmp_path):
    (tmp_path / "lines").write_text("".join(f"{number}\n" for number in range(99)))
    kernel = Kernel(tmp_path)
    try:
        assert kernel.run(SETUP).status == "ok"
        for name, cell in CELLS.items():
            begun = time.monotonic()
            run = kernel.run(f"{INTERRUPT}\n{cell}")
            assert time.monotonic() - begun < 3
            assert run.status == "error", name
            assert run.outputs[-1]["ename"] in ("KeyboardInterrupt", "CancelledError"), name
            run = kernel.run(LEFT)
            assert [output["text"] for output in run.outputs] == ["set() 0 [True]\n"], name
        assert kernel.unfinished() == []
    finally:
        kernel.stop()


# the end of the program


@pytest.mark.parametrize("end", ["for", "async for", "a loop left open"])
def test_the_end_of_the_program_waits_for_nothing(end):
    program = f"""
import asyncio, sys
from asyncml.pipeline.pipeline import Pipeline
from tests.pipeline.in_processes import HANGING, hang

async def begin(pipeline):
    items = aiter(pipeline)
    return items, await anext(items)

def main():
    opened = []
    for options in HANGING:
        pipeline = Pipeline(range(9)).map(hang, concurrency=1, **options)
        if {end!r} == "for":
            items = iter(pipeline)
            opened.append((items, next(items)))
        elif {end!r} == "async for":
            opened.append(asyncio.run(begin(pipeline)))
        else:
            loops.append(asyncio.new_event_loop())
            opened.append(loops[-1].run_until_complete(begin(pipeline)))
    print([value for _, value in opened], flush=True)
    return opened

loops = []
if __name__ == "__main__":
    kept = main()
"""
    done = subprocess.run(  # a tenth of what it would wait for
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.returncode) == ("[0, 0, 0, 0]\n", 0)
    if end != "a loop left open":  # of whose tasks Python warns
        assert done.stderr == ""


# a function that holds the loop itself


def test_a_thread_that_goes_on_is_spoken_of(monkeypatch):
    monkeypatch.setattr(iteration, "PATIENCE_S", 0.05)
    has_begun, may_end = threading.Event(), threading.Event()

    def wait(value):
        if value:
            has_begun.set()
            may_end.wait(20)
        return value

    async def holds(value):
        return wait(value)

    async def hands_over(value):
        return await asyncio.to_thread(wait, value)

    for fn in (holds, hands_over):
        has_begun.clear()
        may_end.clear()
        items = iter(Pipeline(range(9)).map(fn, concurrency=1, lookahead=1))
        next(items)
        assert has_begun.wait(20)
        with pytest.warns(RuntimeWarning, match=r"after 0\.05 s one of its functions still holds"):
            items.close()
        may_end.set()


def test_nothing_is_said_where_it_ends_in_time():
    async def hand_over(value):
        return await asyncio.to_thread(abs, value)

    for item in Pipeline(range(9)).map(hand_over):
        if item:
            break


@pytest.mark.parametrize("kept", ["items = iter(p); next(items)", "it = iter(p); next(it); del p"])
def test_an_iterator_that_the_program_leaves_lying_says_nothing_at_its_end(kept):
    program = f"""
import threading
from asyncml.pipeline.pipeline import Pipeline
async def hold(value):
    if value:
        threading.Event().wait()
    return value
p = Pipeline(range(9)).map(hold, concurrency=1, lookahead=1)
{kept}
print("end")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=True
    )
    assert (done.stdout, done.stderr) == ("end\n", "")


# an asynchronous source and its clean-up


@pytest.mark.parametrize(
    "pipeline",
    [
        lambda source: Pipeline(source).take(2),
        lambda source: Pipeline(source).prefetch(3).take(2),
        lambda source: Pipeline(source).map(str).take(2),
        lambda source: Pipeline(source).batch(1).take(2),
        lambda source: Pipeline(source).map(str).batch(2).take(1),
        lambda source: Pipeline(source).shard(1, 2).take(1),
        lambda source: Pipeline(source).shuffle(1).map(str).prefetch(2).take(2),
        lambda source: Pipeline(source).take(2).map(str).take(99),
    ],
)
@pytest.mark.parametrize("count", [2, 3, 99])
def test_where_enough_is_taken_the_source_is_asked_for_no_more_and_cleans_up(pipeline, count):
    log = []

    async def source():
        try:
            for value in range(count):
                log.append(value)
                yield value
                await asyncio.sleep(0.1)
        finally:
            log.append("closing")
            await asyncio.sleep(1)
            log.append("closed")

    async def main():
        items = [item async for item in pipeline(source)]
        assert len(items) in (1, 2)
        assert log == [0, 1, "closing", "closed"]

    simulate(main())


@pytest.mark.parametrize("way", ["for", "async for"])
def test_a_plain_source_is_not_asked_for_more_either(way):
    asked = []

    def source():
        for value in range(99):
            asked.append(value)
            yield value

    pipeline = Pipeline(source).map(str, concurrency=4).take(3)
    items = list(pipeline) if way == "for" else simulate(collect(pipeline))
    assert items == ["0", "1", "2"]
    assert asked == [0, 1, 2]


@pytest.mark.parametrize(
    "add",
    [
        lambda p: p.filter(lambda value: value % 2),
        lambda p: p.map(abs, ordered=False),
        lambda p: p.map(abs, on_error="skip"),
        lambda p: p.flat_map(lambda value: [value] * (value % 2)),
        lambda p: p.shuffle(4),
        lambda p: p.shuffle(4).map(abs),
        lambda p: p.map(abs).shuffle(4).batch(2).map(max),
    ],
)
def test_what_is_taken_is_the_same_as_without_that_bound(add):
    whole = simulate(collect(add(Pipeline(range(40)))))
    for n in range(12):
        assert simulate(collect(add(Pipeline(range(40))).take(n))) == whole[:n]


# errors of the clean-up


def flushes():
    try:
        yield from range(10)
    finally:
        raise OSError("flush failed")


async def flushes_later():
    try:
        for value in range(10):
            yield value
    finally:
        await asyncio.sleep(0.001)
        raise OSError("flush failed")


WAYS = {
    "for": list,
    "async for": lambda p: asyncio.run(collect(p)),
    "in virtual time": lambda p: simulate(collect(p)),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("source", [flushes, flushes_later])
@pytest.mark.parametrize("add", [lambda p: p.take(3), lambda p: p, lambda p: p.map(nap).take(3)])
def test_an_error_of_the_clean_up_is_raised_at_the_end(add, source, way):
    with pytest.raises(OSError, match="flush failed"):
        WAYS[way](add(Pipeline(source)))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("source", [flushes, flushes_later])
def test_the_first_error_is_the_one_that_is_raised(source, way):
    with pytest.raises(ZeroDivisionError) as caught:
        WAYS[way](Pipeline(source).map(lambda value: 1 // (2 - value), executor="inline"))
    if source is flushes:
        assert "the clean-up raised OSError('flush failed')" in " ".join(caught.value.__notes__)


@pytest.mark.parametrize("way", WAYS)
def test_a_clean_up_that_takes_long_is_waited_for_at_the_end(way, monkeypatch):
    monkeypatch.setattr(iteration, "PATIENCE_S", 0.5)  # for a thread to end, on a busy machine
    closed = []

    async def source():
        try:
            for value in range(10):
                yield value
        finally:
            await asyncio.sleep(0.6)
            closed.append(True)

    assert WAYS[way](Pipeline(source).take(3)) == [0, 1, 2]
    assert closed
