"""The checks of lesson 06: the verdict on each answer, right or wrong."""

import ast
import asyncio
import builtins
import contextlib
import json
import random
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from asyncml.clock import simulate
from asyncml.course.exercises import check, lesson_06
from tests.course.edits import answers
from tests.course.tables import every, values

NAMES = {
    "asyncio": asyncio,
    "contextlib": contextlib,
    "random": random,
    "threading": threading,
    "time": time,
    "background": [],
    "ThreadPoolExecutor": ThreadPoolExecutor,
}
TEXTS = {
    "06-harvest": r"""
given
    def sorted_by_outcome(tasks):
        errors = {key: task.exception() for key, task in tasks.items()}
        images = {key: task.result() for key, task in tasks.items() if errors[key] is None}
        failures = {key: error for key, error in errors.items() if isinstance(error, ValueError)}
        for error in errors.values():
            if error is not None and not isinstance(error, ValueError):
                raise error
        return images, failures
passed
    async def harvest(fetch, keys):
        images, failures = {}, {}
        async def one(key):
            try:
                images[key] = await fetch(key)
            except ValueError as error:
                failures[key] = error
        async with asyncio.TaskGroup() as group:
            for key in keys:
                group.create_task(one(key))
        return images, failures
passed
    results = await asyncio.gather(*map(fetch, keys), return_exceptions=True)
    images, failures = {}, {}
    for key, result in zip(keys, results, strict=True):
        if isinstance(result, ValueError):
            failures[key] = result
        elif isinstance(result, BaseException):
            raise result
        else:
            images[key] = result
    return images, failures
passed
    tasks = {key: asyncio.create_task(fetch(key)) for key in keys}
    images, failures = {}, {}
    try:
        for key, task in tasks.items():
            try:
                images[key] = await task
            except ValueError as error:
                failures[key] = error
    finally:
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)
    return images, failures
passed
    tasks = {key: asyncio.create_task(fetch(key)) for key in keys}
    try:
        await asyncio.wait(tasks.values())
    except asyncio.CancelledError:
        for task in tasks.values():
            task.cancel()
        await asyncio.wait(tasks.values())
        raise
    return sorted_by_outcome(tasks)
swallowed
    - async with asyncio.TaskGroup() as group:
    -     for key in keys:
    -         group.create_task(one(key))
    + await asyncio.wait([asyncio.create_task(one(key)) for key in keys])
report
    images, failures = await base(fetch, keys)
    return images, {key: ValueError(key) for key in failures}
image
    await fetch(key) => [await fetch(key)]
left-running
    return await base(lambda key: asyncio.shield(fetch(key)), keys)
late-key
    (key): => ():
    (one(key)) => (one())
late-key
    (key): => (fetching):
    fetch(key) => fetching
    (one(key)) => (one(fetch(key)))
swapped
    return (await base(fetch, keys))[::-1]
stop-swallowed
    try:
        return await base(fetch, keys)
    except asyncio.CancelledError:
        pass
group | does not take a group | into a small `async def` of your own
    failures = {}
    try:
        async with asyncio.TaskGroup() as group:
            tasks = {key: group.create_task(fetch(key)) for key in keys}
    except ValueError as error:
        failures["?"] = error
    return {key: task.result() for key, task in tasks.items()}, failures
cancelled
    tasks, failures = {}, {}
    try:
        async with asyncio.TaskGroup() as group:
            tasks = {key: group.create_task(fetch(key)) for key in keys}
    except* ValueError:
        for key, task in tasks.items():
            if not task.cancelled() and task.exception():
                failures[key] = task.exception()
    good = {k: t.result() for k, t in tasks.items() if not t.cancelled() and not t.exception()}
    return good, failures
cancelled | the group cancels the others | into a small `async def` of your own
    try:
        async with asyncio.TaskGroup() as group:
            tasks = {key: group.create_task(fetch(key)) for key in keys}
    except* ValueError:
        pass
    failures = {key: task.exception() for key, task in tasks.items() if task.exception()}
    return {key: task.result() for key, task in tasks.items() if key not in failures}, failures
lost
    images, failures = {}, {}
    try:
        results = await asyncio.gather(*map(fetch, keys))
        images = dict(zip(keys, results, strict=True))
    except ValueError as error:
        failures[str(error)[:2]] = error
    return images, failures
escaped | On which line is it raised | into a small `async def` of your own
    return dict(zip(keys, await asyncio.gather(*map(fetch, keys)), strict=True)), {}
left-running
    tasks = {key: asyncio.create_task(fetch(key)) for key in keys}
    await asyncio.wait(tasks.values())
    return sorted_by_outcome(tasks)
among-images | Who sorts them out? | `isinstance(result, ValueError)`
    results = await asyncio.gather(*map(fetch, keys), return_exceptions=True)
    return dict(zip(keys, results, strict=True)), {}
unreported
    results = await asyncio.gather(*map(fetch, keys), return_exceptions=True)
    pairs = zip(keys, results, strict=True)
    return {key: result for key, result in pairs if isinstance(result, bytes)}, {}
report
    images, failures = await base(fetch, keys)
    return images, {key: str(error) for key, error in failures.items()}
swallowed | Only a ValueError is a failure | `except ValueError`
    images, failures = {}, {}
    async def one(key):
        try:
            images[key] = await fetch(key)
        except Exception as error:
            failures[key] = error
    await asyncio.gather(*map(one, keys))
    return images, failures
swallowed
    results = await asyncio.gather(*map(fetch, keys), return_exceptions=True)
    pairs = list(zip(keys, results, strict=True))
    failures = {key: result for key, result in pairs if isinstance(result, Exception)}
    return {key: result for key, result in pairs if key not in failures}, failures
stop-swallowed
    - async with asyncio.TaskGroup() as group:
    -     for key in keys:
    -         group.create_task(one(key))
    + with contextlib.suppress(asyncio.CancelledError):
    +     await asyncio.gather(*map(one, keys))
sequence
    images, failures = {}, {}
    for key in keys:
        try:
            images[key] = await fetch(key)
        except ValueError as error:
            failures[key] = error
    return images, failures
not-awaited
    return {key: asyncio.create_task(fetch(key)) for key in keys}, {}
not-awaited
    return {key: fetch(key) for key in keys}, {}
kind
    images, _ = await base(fetch, keys)
    return list(images.values())
kind
    await base(fetch, keys)
kind
    images, failures = await base(fetch, keys)
    return images, list(failures)
not-awaited
    results = asyncio.gather(*map(fetch, keys), return_exceptions=True)
    return dict(zip(keys, results, strict=True)), {}
early
    images = {}
    async def one(key):
        images[key] = await fetch(key)
    background.extend(asyncio.create_task(one(key)) for key in keys)
    return images, {}
which-key
    images, failures = {}, {}
    for coroutine in asyncio.as_completed(map(fetch, keys)):
        try:
            images[len(images)] = await coroutine
        except ValueError as error:
            failures[str(error)] = error
    return images, failures
which-key
    async def one(key):
        return key, await fetch(key)
    images, failures, key = {}, {}, keys[0]
    for coroutine in asyncio.as_completed(map(one, keys)):
        try:
            key, images[key] = await coroutine
        except ValueError as error:
            failures[key] = error
    return images, failures
early
    async with asyncio.TaskGroup() as group:
        tasks = {key: group.create_task(fetch(key)) for key in keys}
        return {key: task.result() for key, task in tasks.items()}, {}
which-key
    images, failures = await base(fetch, keys)
    names = [key for key in keys if key in images]
    return dict(zip(names, reversed(images.values()), strict=True)), failures
sequence
    await base(fetch, keys)
    return await base(fetch, keys)
both
    images, failures = await base(fetch, keys)
    return {**images, **dict.fromkeys(failures)}, failures
which-key
    return {"17": b"\x00\x01\x02\x03"}, {"18": ValueError("18 is broken")}
""",
    "06-close-anyhow": r"""
given
    async def close_nothing(): ...
cut-off | What can stand between | `await asyncio.shield(
    async def close_anyhow(work, close):
        try:
            return await work()
        finally:
            await close()
passed
    -     await close()
    +     closing, stop = asyncio.create_task(close()), None
    +     while not closing.done():
    +         try:
    +             await asyncio.shield(closing)
    +         except asyncio.CancelledError as again:
    +             stop = again
    +     if stop is not None:
    +         raise stop
passed
    stops = 0
    try:
        return await work()
    finally:
        closing = asyncio.ensure_future(close())
        while not closing.done():
            try:
                await asyncio.wait([closing])
            except asyncio.CancelledError:
                stops += 1
        if stops:
            raise asyncio.CancelledError
passed
    closed = asyncio.Event()
    async def close_it():
        try:
            await close()
        finally:
            closed.set()
    try:
        return await work()
    finally:
        closing = asyncio.create_task(close_it())
        was_stopped = False
        while not closed.is_set():
            try:
                await closed.wait()
            except asyncio.CancelledError:
                was_stopped = True
        if was_stopped:
            raise asyncio.CancelledError
        await closing
early
    return (await asyncio.gather(work(), close()))[0]
not-closed
    result = await work()
    await close()
    return result
not-closed
    try:
        return await work()
    except BaseException:
        await close()
        raise
cut-off
    -     await close()
    +     closing = asyncio.create_task(close())
    +     await closing
left | not your wait | `while not closing.done():`
    close() => asyncio.shield(close())
third
    -     await close()
    +     closing = asyncio.create_task(close())
    +     try:
    +         await asyncio.shield(closing)
    +     except asyncio.CancelledError:
    +         await closing
    +         raise
third
    -     await close()
    +     closing = asyncio.create_task(close())
    +     try:
    +         await asyncio.shield(closing)
    +     except asyncio.CancelledError:
    +         await asyncio.shield(closing)
    +         raise
swallowed
    -     await close()
    +     closing = asyncio.create_task(close())
    +     while not closing.done():
    +         with contextlib.suppress(asyncio.CancelledError):
    +             await asyncio.shield(closing)
swallowed
          return await work()
    + except asyncio.CancelledError:
    +     return None
twice
    -     await close()
    +     while True:
    +         try:
    +             await close()
    +             break
    +         except asyncio.CancelledError:
    +             pass
not-stopped
    working = asyncio.create_task(work())
    stop = None
    while not working.done():
        try:
            await asyncio.shield(working)
        except asyncio.CancelledError as error:
            stop = error
        except OSError:
            pass
    await close()
    if stop:
        raise stop
    return working.result()
not-awaited
    -     await close()
    +     closing = asyncio.create_task(close())
    +     assert closing
no-call
    close() => asyncio.shield(close)
lost-error
    try:
        return await work()
    except OSError:
        return None
    finally:
        await base(close_nothing, close)
result
    await base(work, close)
""",
    "06-read-within": r"""
not-yours
    async def read_within(open_file, seconds):
        file = await open_file()
        try:
            async with asyncio.timeout(seconds):
                return await file.read()
        except TimeoutError:
            return None
        finally:
            await file.close()
passed
    -     async with asyncio.timeout(seconds):
    +     async with asyncio.timeout(seconds) as limit:
    ...
      except TimeoutError:
    +     if not limit.expired():
    +         raise
passed
    async with contextlib.aclosing(await open_file()) as file:
        reading = asyncio.create_task(file.read())
        try:
            done, _ = await asyncio.wait([reading], timeout=seconds)
        finally:
            reading.cancel()
            await asyncio.wait([reading])
        return reading.result() if done else None
passed
    file = None
    try:
        file = await open_file()
        async with asyncio.timeout(seconds) as limit:
            return await file.read()
    except TimeoutError:
        if limit.expired():
            return None
        raise
    finally:
        if file is not None:
            await file.close()
not-none
    data = await base(open_file, seconds)
    return b"" if data is None else data
late
    file, loop = await open_file(), asyncio.get_running_loop()
    start = loop.time()
    try:
        data = await file.read()
    finally:
        await file.close()
    return data if loop.time() - start <= seconds else None
signature
    async def takes_other_arguments(it):
        return it
not-yours
    async with contextlib.aclosing(await open_file()) as file:
        try:
            return await asyncio.wait_for(file.read(), seconds)
        except TimeoutError:
            return None
not-yours
    file = await open_file()
    data = None
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                data = await file.read()
    finally:
        await file.close()
    return data
unopened
    - file = await open_file()
    ...
      try:
    +     file = await open_file()
not-closed
    file = await open_file()
    try:
        async with asyncio.timeout(seconds):
            data = await file.read()
            await file.close()
            return data
    except TimeoutError:
        return None
not-closed
    file = await open_file()
    data = None
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            data = await file.read()
    await file.close()
    return data
swallowed
    TimeoutError => (TimeoutError, asyncio.CancelledError)
swallowed | Whose was this one? | Catch `TimeoutError`
    -         return await file.read()
    - except TimeoutError:
    -     return None
    +         try:
    +             return await file.read()
    +         except asyncio.CancelledError:
    +             return None
escaped | Where does it change? | `try:` around the whole
    -         return await file.read()
    - except TimeoutError:
    -     return None
    +         try:
    +             return await file.read()
    +         except TimeoutError:
    +             return None
escaped
    - except TimeoutError:
    -     return None
lost-error
    file = await open_file()
    data = None
    try:
        async with asyncio.timeout(seconds):
            data = await file.read()
    finally:
        await file.close()
        return data
lost-error
    -     async with asyncio.timeout(seconds):
    -         return await file.read()
    - except TimeoutError:
    +     return await asyncio.wait_for(file.read(), seconds)
    + except Exception:
not-awaited | Who waits for it? | `await file.close()`
    await file.close => file.close
not-awaited
    -     await file.close()
    +     closing = asyncio.create_task(file.close())
    +     assert closing
cut-off | What does the time-out limit | stands around that block
    file = await open_file()
    try:
        async with asyncio.timeout(seconds):
            try:
                return await file.read()
            finally:
                await file.close()
    except TimeoutError:
        return None
opening
    file = None
    try:
        async with asyncio.timeout(seconds):
            file = await open_file()
            return await file.read()
    except TimeoutError:
        return None
    finally:
        if file is not None:
            await file.close()
no-time-out
    file = await open_file()
    try:
        return await file.read()
    finally:
        await file.close()
runs-on
    file = await open_file()
    reading = asyncio.create_task(file.read())
    try:
        done, _ = await asyncio.wait([reading], timeout=seconds)
        return reading.result() if done else None
    finally:
        await file.close()
coroutine
    file.read() => asyncio.to_thread(file.read)
no-call
    file = await open_file()
    try:
        return await asyncio.wait_for(file.read, seconds)
    finally:
        await file.close()
swallowed
    file = await open_file()
    reading = asyncio.create_task(file.read())
    asyncio.get_running_loop().call_later(seconds, reading.cancel)
    try:
        return await reading
    except asyncio.CancelledError:
        return None
    finally:
        await file.close()
late
    file = await open_file()
    reading = asyncio.create_task(file.read())
    await asyncio.sleep(seconds)
    await file.close()
    return reading.result() if reading.done() else reading.cancel() and None
twice
      except TimeoutError:
    +     await file.close()
no-await
    return await open_file().read()
no-with
    file = await open_file()
    try:
        with asyncio.timeout(seconds):
            return await file.read()
    finally:
        await file.close()
group
    -     async with asyncio.timeout(seconds):
    -         return await file.read()
    +     async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
    +         task = group.create_task(file.read())
    +     return task.result()
result
    await base(open_file, seconds)
not-none
    file = await open_file()
    await file.close()
    return b"\xcd\x07,\xd8"
blocking
    file = await open_file()
    time.sleep(seconds)
    await file.close()
""",
    "06-read-in-thread": r"""
passed
    async def read_in_thread(open_file, seconds):
        def read():
            with open_file() as file:
                return file.read()
        try:
            async with asyncio.timeout(seconds) as limit:
                return await asyncio.to_thread(read)
        except TimeoutError:
            if not limit.expired():
                raise
            return None
passed
    file = open_file()
    reading = asyncio.ensure_future(asyncio.to_thread(file.read))
    reading.add_done_callback(lambda done: (done.exception(), file.close()))
    done, _ = await asyncio.wait([reading], timeout=seconds)
    return reading.result() if done else None
not-yours
    with contextlib.suppress(TimeoutError):
        return await base(open_file, seconds)
under-it | Does it end the thread? | with open_file() as file:
    with open_file() as file:
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.to_thread(file.read)
        except TimeoutError:
            return None
not-closed
    try:
        return await asyncio.wait_for(asyncio.to_thread(open_file().read), seconds)
    except TimeoutError:
        return None
not-closed
    file = open_file()
    try:
        data = await asyncio.wait_for(asyncio.to_thread(file.read), seconds)
    except TimeoutError:
        return None
    file.close()
    return data
late
    def read():
        with open_file() as file:
            return file.read()
    reading = asyncio.create_task(asyncio.to_thread(read))
    done, _ = await asyncio.wait([reading], timeout=seconds)
    data = await reading
    return data if done else None
blocking
    with open_file() as file:
        async with asyncio.timeout(seconds):
            return file.read()
plain-file
    file = await open_file()
    return await file.read()
escaped
    def read():
        with open_file() as file:
            return file.read()
    async with asyncio.timeout(seconds):
        return await asyncio.to_thread(read)
lost-error
    def read():
        with contextlib.suppress(OSError), open_file() as file:
            return file.read()
    try:
        async with asyncio.timeout(seconds):
            return await asyncio.to_thread(read)
    except TimeoutError:
        return None
swallowed
    try:
        return await base(open_file, seconds)
    except asyncio.CancelledError:
        return None
coroutine
    async def read():
        with open_file() as file:
            return await asyncio.to_thread(file.read)
    return await asyncio.to_thread(read)
late
    def read():
        with open_file() as file:
            return file.read()
    return await asyncio.to_thread(read)
blocking
    with open_file() as file:
        return await asyncio.to_thread(file.read())
holds
    def read():
        with open_file() as file:
            return file.read()
    loop = asyncio.get_running_loop()
    try:
        with ThreadPoolExecutor(1) as pool:
            async with asyncio.timeout(seconds):
                return await loop.run_in_executor(pool, read)
    except TimeoutError:
        return None
by-hand
    data = []
    def read():
        with open_file() as file:
            data.append(file.read())
    thread = threading.Thread(target=read)
    thread.start()
    thread.join(seconds)
    return data[0] if data else None
not-none
    open_file().close()
    return b"\xcd\x07,\xd8"
""",
    "06-patient-3": r"""
passed
    async def patient_3(parse, messages):
        async def parse_one(message):
            return parse(message)
        return [await asyncio.to_thread(asyncio.run, parse_one(message)) for message in messages]
passed
    return [await asyncio.to_thread(parse, message) for message in messages]
passed
    return await asyncio.gather(*(asyncio.to_thread(parse, message) for message in messages))
passed
    loop = asyncio.get_running_loop()
    return tuple([await loop.run_in_executor(None, parse, message) for message in messages])
passed
    return await asyncio.to_thread(lambda: [parse(message) for message in messages])
passed
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(asyncio.to_thread(parse, message)) for message in messages]
    return [task.result() for task in tasks]
kind
    return await asyncio.to_thread(map, parse, messages)
late-message
    return await asyncio.gather(*[asyncio.to_thread(lambda: parse(m)) for m in messages])
blocked | Where else | the function and its argument
    return [parse(message) for message in messages]
blocked
    results = []
    for message in messages:
        await asyncio.sleep(0)
        results.append(parse(message))
    return results
blocked
    async def one(message):
        return parse(message)
    return await asyncio.gather(*map(one, messages))
called
    return [await asyncio.to_thread(parse(message)) for message in messages]
not-awaited
    return [asyncio.to_thread(parse, message) for message in messages]
not-awaited
    return asyncio.to_thread(lambda: [parse(message) for message in messages])
not-awaited
    return [asyncio.ensure_future(asyncio.to_thread(parse, message)) for message in messages]
not-awaited
    def parse_one => def one
    asyncio.run, parse_one(message) => one, message
by-hand
    results = []
    for message in messages:
        thread = threading.Thread(target=lambda message=message: results.append(parse(message)))
        thread.start()
        thread.join()
    return results
by-hand
    with ThreadPoolExecutor(1) as pool:
        return list(pool.map(parse, messages))
order
    return (await base(parse, messages))[::-1]
calls
    return [await asyncio.to_thread(parse, messages[0])]
kind
    await base(parse, messages)
result
    await base(parse, messages)
    return messages
swallowed
    results = []
    for message in messages:
        with contextlib.suppress(ValueError):
            results.append(await asyncio.to_thread(parse, message))
    return results
kind
    return {message: await asyncio.to_thread(parse, message) for message in messages}
argument
    return await asyncio.to_thread(parse, messages)
not-awaited
    coroutines = [asyncio.to_thread(parse, message) for message in messages]
    return [asyncio.ensure_future(coroutine).result() for coroutine in coroutines]
called
    return [await parse(message) for message in messages]
signature
    async def takes_other_arguments(it):
        return it
""",
    "06-patient-5": r"""
passed
    async def patient_5(fetch):
        for attempt in range(4):
            try:
                return await fetch()
            except ConnectionError:
                if attempt == 3:
                    raise
passed
    for _ in range(3):
        with contextlib.suppress(ConnectionError):
            return await fetch()
    return await fetch()
passed
    lost = None
    for pause_s in (0, 0.1, 0.2, 0.4):
        await asyncio.sleep(pause_s)
        try:
            return await fetch()
        except ConnectionError as error:
            lost = error
    raise lost
hopeless
    ConnectionError => OSError
other-error
    with contextlib.suppress(ConnectionError):
        return await base(fetch)
    raise ConnectionError("gave up")
raise-after
    for _ in range(4):
        try:
            return await fetch()
        except ConnectionError as error:
            print(error)
    raise error
raise-after
    for _ in range(4):
        with contextlib.suppress(ConnectionError):
            return await fetch()
    raise
reused
    once = fetch()
    return await base(lambda: once)
swallowed
    ConnectionError => BaseException
hopeless
    ConnectionError => Exception
lost-error
    for _ in range(4):
        try:
            return await fetch()
        except ConnectionError:
            continue
endless
    while True:
        try:
            return await fetch()
        except ConnectionError:
            pass
gave-up
    return await fetch()
count
    for _ in range(4):
        with contextlib.suppress(ConnectionError):
            return await fetch()
    return await fetch()
gave-up
    try:
        for _ in range(4):
            return await fetch()
    except ConnectionError:
        return None
goes-on
    data = None
    for _ in range(4):
        with contextlib.suppress(ConnectionError):
            data = await fetch()
    return data
result
    await base(fetch)
swallowed
    try:
        return await base(fetch)
    except asyncio.CancelledError:
        return None
lost-error
    try:
        return await base(fetch)
    except ZeroDivisionError:
        return None
no-call
    return await fetch
""",
    "06-patient-7": r"""
passed
    async def patient_7(locks, first, second, work):
        first, second = sorted((first, second))
        async with locks[first], locks[second]:
            return await work()
passed
    one, other = sorted((locks[first], locks[second]), key=id)
    async with one, other:
        return await work()
passed
    async with contextlib.AsyncExitStack() as stack:
        for name in locks:
            if name in (first, second):
                await stack.enter_async_context(locks[name])
        return await work()
passed
    while True:
        async with locks[first]:
            if not locks[second].locked():
                async with locks[second]:
                    return await work()
        await asyncio.sleep(0.013 if first < second else 0.017)
deadlock
    one, other = sorted((first, second), key=len)
    async with locks[one], locks[other]:
        return await work()
no-with
    locks[first].acquire()
    try:
        return await work()
    finally:
        locks[first].release()
deadlock | asked for the same | `sorted((first, second))`
    async with locks[first], locks[second]:
        return await work()
deadlock
    async with locks[second], locks[first]:
        return await work()
unlocked
    return await work()
unlocked
    async with locks[min(first, second)]:
        return await work()
unlocked
    mine = [locks[name] for name in sorted((first, second)) if not locks[name].locked()]
    async with contextlib.AsyncExitStack() as stack:
        for lock in mine:
            await stack.enter_async_context(lock)
        return await work()
unlocked
    first, second = sorted((first, second))
    async with locks[first]:
        pass
    async with locks[second]:
        return await work()
one-at-a-time
    async with contextlib.AsyncExitStack() as stack:
        for lock in locks.values():
            await stack.enter_async_context(lock)
        return await work()
left-locked
    await asyncio.gather(locks[first].acquire(), locks[second].acquire())
    try:
        return await work()
    finally:
        locks[first].release()
        locks[second].release()
deadlock
    lock = asyncio.Lock()
    async with lock, locks[first], locks[second]:
        return await work()
no-order
    one, other = sorted((locks[first], locks[second]))
    async with one, other:
        return await work()
left-locked
    for name in sorted((first, second)):
        await locks[name].acquire()
    result = await work()
    for name in (first, second):
        locks[name].release()
    return result
left-locked
    first, second = sorted((first, second))
    await locks[first].acquire()
    await locks[second].acquire()
    try:
        return await work()
    finally:
        locks[first].release()
        locks[second].release()
no-with
    with locks[first], locks[second]:
        return await work()
swallowed
    with contextlib.suppress(OSError):
        return await base(locks, first, second, work)
stop-swallowed
    with contextlib.suppress(asyncio.CancelledError):
        return await base(locks, first, second, work)
result
    await base(locks, first, second, work)
no-call
    work() => work
not-awaited
    await work => work
names
    async with first, second:
        return await work()
""",
    "06-patient-8": r"""
passed
    async def patient_8(watchdog, work):
        dog = asyncio.create_task(watchdog())
        try:
            return await work()
        finally:
            dog.cancel()
            await asyncio.wait([dog])
passed
    wait([dog]) => gather(dog, return_exceptions=True)
passed
    -     await asyncio.wait([dog])
    +     with contextlib.suppress(asyncio.CancelledError):
    +         await dog
leak | on which ways out | in a `finally`
    background.append(asyncio.create_task(watchdog()))
    return await work()
leak
    dog = asyncio.create_task(watchdog())
    result = await work()
    dog.cancel()
    await asyncio.wait([dog])
    return result
leak
    dog = asyncio.create_task(watchdog())
    try:
        result = await work()
    except Exception:
        dog.cancel()
        await asyncio.wait([dog])
        raise
    dog.cancel()
    await asyncio.wait([dog])
    return result
still-ending | only asks | `await asyncio.wait([dog])`
    -     await asyncio.wait([dog])
cancelled
    asyncio.wait([dog]) => dog
waits-for-dog
    async with asyncio.TaskGroup() as group:
        group.create_task(watchdog())
        return await work()
group
    async with asyncio.TaskGroup() as group:
        dog = group.create_task(watchdog())
        result = await work()
        dog.cancel()
    return result
waits-for-dog
    await watchdog()
    return await work()
waits-for-dog
    return (await asyncio.gather(watchdog(), work()))[1]
calls
    return await work()
lost-error
    try:
        return await base(watchdog, work)
    except OSError:
        return None
swallowed
    try:
        return await base(watchdog, work)
    except asyncio.CancelledError:
        return None
no-call
    dog = asyncio.create_task(watchdog)
    return await work(), dog
signature
    async def takes_other_arguments(it):
        return it
result
    await base(watchdog, work)
await-cancel
    -     dog.cancel()
    -     await asyncio.wait([dog])
    +     await dog.cancel()
""",
    "06-patient-10": r"""
passed
    def patient_10(attempt):
        return random.uniform(0, 0.1 * 2**attempt)
passed
    return 0.1 * 2**attempt * random.uniform(0.5, 1.5)
passed
    return random.uniform(0, min(1, 0.1 * 2**attempt))
passed
    return random.choice([0.1, 0.2, 0.4, 0.8])
kind
    assert random.uniform(0, 0.1 * 2**attempt) >= 0
kind
    return "1"
kind
    return float("inf")
kind
    return 10**400
negative
    return -1
too-often
    return 0
too-often
    return 0.01
too-often
    return random.uniform(0, 0.1)
in-step
    return 1
in-step
    return 0.1 * 2**attempt
late
    return 0.1 * 2**attempt + random.uniform(0, 0.01)
late
    return random.uniform(0, 20)
signature
    def pause():
        return 1
""",
}
BETS = {
    "passed": [1.5],
    "open": [...],
    "punctual": [1],
    "in-turn": [1.7],
    "first": [1.2],
    "never": [10, 10.2, 10.5],
    "unit": [1500],
    "other": [3],
    "kind": ["1.5"],
}
BLOCKED, SLOW, ALONE = "blocked loop", "slow network", "one at a time"
DIAGNOSES = {
    "passed": [[BLOCKED, SLOW, ALONE], (BLOCKED, SLOW, ALONE), ["Blocked loop", SLOW, ALONE]],
    "open": [..., [..., ..., ...], [BLOCKED, ..., ALONE]],
    "A-slow-network": [[SLOW, SLOW, ALONE]],
    "A-one-at-a-time": [[ALONE, SLOW, ALONE]],
    "A-deadlock": [["deadlock", SLOW, ALONE]],
    "B-blocked-loop": [[BLOCKED, BLOCKED, ALONE]],
    "B-one-at-a-time": [[BLOCKED, ALONE, ALONE]],
    "C-slow-network": [[BLOCKED, SLOW, SLOW]],
    "C-blocked-loop": [[BLOCKED, SLOW, BLOCKED]],
    "C-swallowed-stop": [[BLOCKED, SLOW, "swallowed stop"]],
    "kind": [
        [BLOCKED, SLOW],
        BLOCKED,
        ["blocked", SLOW, ALONE],
        [[BLOCKED], SLOW, ALONE],
        7,
    ],
}


@every(
    *(answers(name, NAMES, text) for name, text in TEXTS.items()),
    values("06-clean-up", BETS),
    values("06-triage", DIAGNOSES),
)
def test_an_answer_gets_its_verdict(case):
    case.judge()


def test_the_bet_is_what_happens():
    async def tidies_up(seconds):
        try:
            await asyncio.sleep(10)
        finally:
            await asyncio.sleep(seconds)

    async def main():
        try:
            async with asyncio.timeout(1), asyncio.TaskGroup() as group:
                group.create_task(tidies_up(0.2))
                group.create_task(tidies_up(0.5))
        except TimeoutError:
            return asyncio.get_running_loop().time()

    assert simulate(main()) == pytest.approx(1.5)


def test_a_wrong_diagnosis_is_named():
    message = check("06-triage", ["slow network"] * 3).message
    assert message.startswith("A is not 'slow network'. How long does each task wait")


def test_each_wrong_diagnosis_gets_a_hint_of_its_own():
    right = [right for right, _, _ in lesson_06._TRIAGE.values()]
    wrong = [[*right[:n], word, *right[n + 1 :]] for n in range(3) for word in lesson_06.WORDS]
    told = [check("06-triage", answer).message for answer in wrong if answer != right]
    assert len(set(told)) == len(told) == 12


def test_the_three_patients_take_as_long_and_have_what_the_check_says():
    room = lesson_06.waiting_room()
    assert {letter: timeline.duration_s for letter, timeline in room.items()} == {
        "A": 0.8,
        "B": 0.8,
        "C": 0.8,
    }
    statistics = {letter: timeline.statistics() for letter, timeline in room.items()}
    assert statistics["A"].longest_block_s == pytest.approx(0.195)
    assert statistics["A"].lag_s > 0.5
    assert statistics["B"].busy == statistics["C"].busy == 0
    assert statistics["B"].peak_concurrency == 4
    assert statistics["C"].peak_concurrency == 1


def test_the_pauses_leave_the_learners_randomness_alone():
    random.seed(1)
    first = random.random()
    random.seed(1)
    check("06-patient-10", lambda attempt: random.uniform(0, 0.1 * 2**attempt))
    assert random.random() == first


# ---- the lesson itself ----
NOTEBOOK = Path(__file__).parents[2] / "notebooks/06_when_things_go_wrong.ipynb"


def parts():
    """Return the code cells of each section and each patient, without folded solutions."""
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    found, part = {"opening": []}, "opening"
    for cell in cells:
        text = "".join(cell["source"])
        for heading in re.findall(r"^(?:## \d|### Patient \d+)", text, re.MULTILINE):
            part = heading.strip("# ")
            found[part] = []
        if cell["cell_type"] == "code" and "solution" not in cell["metadata"].get("tags", []):
            found[part].append(re.sub(r"%pip.*", "pass", text))
    return found


def names_in(sources):
    """Return the names that code cells use, and those that they define anywhere."""
    used, defined = set(), set(dir(builtins))
    for source in sources:
        for node in ast.walk(ast.parse(source)):
            match node:
                case ast.Name(id=name, ctx=ast.Load()):
                    used.add(name)
                case ast.Name(id=name) | ast.arg(arg=name):
                    defined.add(name)
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                    defined.add(name)
                case ast.ClassDef(name=name) | ast.ExceptHandler(name=str(name)):
                    defined.add(name)
                case ast.alias(name=name, asname=other):
                    defined.add(other or name.split(".")[0])
    return used, defined


@pytest.mark.parametrize("part", [p for p in parts() if p != "opening"])
def test_each_section_and_each_patient_needs_only_what_it_says(part):
    """It needs the first two code cells, and for a patient the cell that examines it."""
    found = parts()
    needed = found["opening"] + (found["4"] if part.startswith("Patient") else [])
    used, defined = names_in([*needed, *found[part]])
    assert used <= defined
    assert len(found["opening"]) == 2
    assert len(found["4"]) == 1
