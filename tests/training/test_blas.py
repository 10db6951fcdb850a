"""The threads of BLAS: what is set meanwhile, what is put back, and by whom.

In processes of their own, in which no variable says how many threads there are.
"""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from asyncml.network.sequential import MLP
from asyncml.training.blas import LARGE, BlasThreads, threads_for
from benchmarks.measuring import THREADS

ROOT = Path(__file__).parents[2]
PRELUDE = """
import asyncio, gc, sys, threading
import numpy as np
import asyncml as aml
from asyncml.training import blas
from threadpoolctl import ThreadpoolController

def threads():
    pools = ThreadpoolController().select(user_api="blas").info()
    return {pool["num_threads"] for pool in pools}

for library in ThreadpoolController().select(user_api="blas").lib_controllers:
    blas._set_threads(library, 2)  # also where there is one core
if threads() != {2}:
    print("cannot")
    sys.exit()

batches = [(np.zeros((4, 784), np.float32), np.zeros(4, int))] * 3

def made(*sizes):
    model = aml.MLP([784, *(sizes or (16,)), 10])
    return model, aml.SGD(model, 0.01)
"""


def said(program, *options):
    """What a program prints whose BLAS has two threads."""
    environment = {name: value for name, value in os.environ.items() if name not in THREADS}
    command = [sys.executable, "-W", "error", *options, "-c", PRELUDE + textwrap.dedent(program)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    if done.stdout == "cannot\n":
        pytest.skip("the BLAS of this NumPy cannot be told how many threads to take")
    return done.stdout


def test_a_small_model_trains_and_is_evaluated_with_one_thread():
    program = """
    class Watched(aml.MLP):
        def loss_and_grads(self, x, y):
            seen.append(threads())
            return super().loss_and_grads(x, y)

        def predict(self, x):
            seen.append(threads())
            return super().predict(x)

    async def main():
        model = Watched([784, 16, 10])
        async for _ in aml.fit(model, aml.SGD(model, 0.01), batches):
            seen.append(threads())
        seen.append(threads())
        await aml.evaluate(model, batches[:1])
        seen.append(threads())

    seen = []
    asyncio.run(main())
    print(*seen)
    """
    assert said(program) == " ".join(["{1}"] * 6 + ["{2}", "{1}", "{2}"]) + "\n"


def test_a_large_one_takes_them_all_and_the_caller_has_the_last_word():
    program = """
    async def main(*sizes, **options):
        async for _ in aml.fit(*made(*sizes), batches[:1], **options):
            return threads()

    print(asyncio.run(main(1400)), asyncio.run(main(1400, blas_threads=1)))
    print(asyncio.run(main(blas_threads=2)), asyncio.run(main(blas_threads=64)), threads())
    """
    assert said(program) == "{2} {1}\n{2} {2} {2}\n"


@pytest.mark.parametrize("ending", ["break", "raise KeyError", "await steps.aclose()"])
def test_it_is_put_back_however_the_training_ends(ending):
    program = f"""
    async def main():
        steps = aml.fit(*made(), batches, epochs=9)
        try:
            async for _ in steps:
                {ending}
        except KeyError:
            pass
        del steps
        print(threads())

    asyncio.run(main())
    print(threads(), blas.BlasThreads._active)
    """
    assert said(program) == "{2}\n{2} {}\n"


def test_where_several_overlap_the_least_counts_and_the_last_puts_back():
    program = """
    first, second, third = blas.BlasThreads(2), blas.BlasThreads(1), blas.BlasThreads(5)
    for each, change in [(first, 1), (second, 1), (third, 1), (second, 0), (first, 0), (third, 0)]:
        each.__enter__().apply() if change else each.__exit__()
        print(threads(), end=" ")
    """
    assert said(program) == "{2} {1} {1} {2} {2} {2} "


def test_from_whatever_thread_and_whoever_set_it_last():
    program = """
    from threadpoolctl import threadpool_limits

    def elsewhere(call):
        thread = threading.Thread(target=call)
        thread.start()
        thread.join()

    mine = threadpool_limits(2, "blas")  # from now on threadpoolctl minds this thread alone
    bound = blas.BlasThreads(1).__enter__()
    elsewhere(bound.apply)
    print(threads(), end=" ")
    bound.__exit__()
    print(threads(), end=" ")
    bound.__enter__().apply()
    elsewhere(bound.__exit__)
    print(threads(), end=" ")
    with threadpool_limits(1, "blas"):
        print(threads(), end=" ")
    print(threads())
    """
    assert said(program) == "{1} {2} {2} {1} {2}\n"


def test_one_that_a_collector_ends_in_the_midst_of_anothers_change():
    program = """
    class Kept:
        def __init__(self, most):
            self.bound = blas.BlasThreads(most).__enter__()
            self.bound.apply()
            self.me = self  # for the collector to find

        def __del__(self):
            self.bound.__exit__()
            ended.append(threads())

    def collecting(library, number):
        gc.collect()
        set_threads(library, number)
        gc.collect()

    gc.disable()
    ended, set_threads = [], blas._set_threads
    for library in ThreadpoolController().select(user_api="blas").lib_controllers:
        set_threads(library, 3)
    Kept(2)
    blas._set_threads = collecting
    with blas.BlasThreads(1) as bound:
        bound.apply()  # ends the one that is kept
        print(threads(), end=" ")
    print(threads(), len(ended), end=" ")
    bound.__enter__().apply()
    blas._set_threads = set_threads
    Kept(2)
    blas._set_threads = collecting
    bound.__exit__()  # here too
    print(threads(), len(ended), blas.BlasThreads._active)
    """
    assert said(program) == "{1} {3} 1 {3} 2 {}\n"


def test_many_at_once_in_many_threads():
    program = """
    async def main(epochs):
        async for _ in aml.fit(*made(), batches, epochs=epochs):
            assert threads() == {1}

    runners = [threading.Thread(target=asyncio.run, args=[main(n)]) for n in (1, 5, 20, 2, 9, 14)]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join()
    print(threads(), blas.BlasThreads._active)
    """
    assert said(program) == "{2} {}\n"


def test_it_is_looked_for_where_it_is_used_and_not_before():
    program = """
    import subprocess
    source = "import sys, asyncml.training; print('threadpoolctl' in sys.modules)"
    print(subprocess.run([sys.executable, "-c", source], capture_output=True).stdout.decode())
    """
    assert said(program).split() == ["False"]


@pytest.mark.parametrize(
    ("model", "given", "threads"),
    [
        (MLP([4, 3]), None, 1),
        (MLP([4, 3]), 3, 3),
        (MLP([999, 1000]), None, None),  # 1,000,000
        (MLP([998, 1000]), None, 1),
        (object(), None, None),
        (object(), 2, 2),
    ],
)
def test_how_many(model, given, threads):
    assert LARGE == 1_000_000
    assert threads_for(model, given) == threads


def test_none_bounds_nothing():
    with BlasThreads(None) as blas:
        blas.apply()
        assert BlasThreads._active == {}
