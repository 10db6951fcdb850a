"""A stage on a Dask cluster; in a process of its own, since Dask leaves a thread behind."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

# looked for, not imported: that takes a second, in every process that collects the tests
if not find_spec("distributed"):
    pytest.skip("not installed: see tests/requirements.txt", allow_module_level=True)

ROOT = Path(__file__).parents[2]
PROGRAM = """
import asyncio, logging, math, os, sys
from distributed import Client, LocalCluster
from asyncml import Pipeline
from tests.pipeline.in_processes import fails_twice, random_name, where_and_half

folder = sys.argv[1]
cluster = LocalCluster(
    n_workers=2, processes=True, threads_per_worker=1,
    dashboard_address="127.0.0.1:0", silence_logs=logging.CRITICAL,
)
with cluster, Client(cluster) as client:
    executor = client.get_executor()
    halves = Pipeline(range(24)).map(where_and_half, executor=executor, concurrency=4)

    async def collect():
        return [pair async for pair in halves]

    for pairs in (list(halves), asyncio.run(collect())):
        places, values = zip(*pairs)
        print(list(values) == [n / 2 for n in range(24)], os.getpid() in places)
    try:
        list(Pipeline([4, 9, -1, 16]).map(math.sqrt, executor=executor))
    except ValueError as error:
        print(type(error).__name__, error.__notes__)
    kept = Pipeline([4, -1, 16]).map(math.sqrt, executor=executor, on_error="skip")
    print([list(kept) for _ in range(5)] == [[2.0, 4.0]] * 5)
    again = Pipeline([folder]).map(fails_twice, executor=executor, retries=2)
    print(list(again), len(set(Pipeline([0] * 8).map(random_name, executor=executor))))
    print(executor.submit(math.sqrt, 25).result())
"""


def test_a_map_runs_on_a_cluster_of_processes(tmp_path):
    command = [sys.executable, "-W", "error", "-c", PROGRAM, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.returncode == 0, done.stderr  # where Dask logs each call that is called off
    assert done.stdout.splitlines() == [
        *["True False"] * 2,
        "ValueError ['in stage map(sqrt), item 2: -1']",
        "True",  # no item is taken for one that was called off
        "[2] 8",  # a retry calls again, and so does each of equal items
        "5.0",
    ]
