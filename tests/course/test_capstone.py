"""The program of lesson 12 as a process that is killed, its score, and the board."""

# cells are as learners write them

import asyncio
import dataclasses
import json
import linecache
import threading
from pathlib import Path

import numpy as np
import pytest

import asyncml as aml
from asyncml.course.exercises import Wrong, board, bucket, capstone, league
from asyncml.course.exercises.board import Result, score, submit
from asyncml.course.exercises.programs import run_program, train_here, write_program

CELLS = """
import asyncio

import asyncml as aml

RETRIES = 8


class Kept:
    def __init__(self, get):
        self.get = get

    async def put(self, key, data): ...

    async def list(self, prefix): ...
---
async def fetched_in_pairs(store, key):
    return key, await store.get(key)


fetched = fetched_in_pairs

print("a cell may do other things as well")
---
async def load_data(keys, get, decode):
    store = aml.RateLimited(Kept(get), per_second=200, burst=20)

    async def fetch(key):
        return await fetched(store, key)

    images = aml.Pipeline(keys).map(fetch, concurrency=16, retries=RETRIES)
    images = images.map(lambda pair: (decode(pair[1]), aml.label_of(pair[0])), concurrency=2,
                        on_error="skip")
    async for pair in images:
        yield pair
---
import json

def best_of(scores):
    return scores.index(max(scores))


async def train_and_save(folder, model, optimizer, batches, validate, epochs, patience):
    book = folder / "scores.json"
    scores = json.loads(book.read_text()) if book.exists() else []
    async with aml.Checkpointer(folder) as checkpoints:
        last = await checkpoints.restore(model, optimizer)
        for epoch in range(last.epoch if last else 0, epochs):
            if scores[:epoch] and epoch - 1 - best_of(scores[:epoch]) >= patience:
                break
            steps = aml.fit(model, optimizer, batches, epochs=epoch + 1, resume_from=last)
            async for last in steps:
                if last.index % 10 == 9:
                    await checkpoints.save(last, model, optimizer)
            scores[epoch:] = [await validate()]
            book.write_text(json.dumps(scores))
            await checkpoints.save(last, model, optimizer)
    return scores
"""


def notebook(cells=CELLS):
    """Run cells as a notebook does; return their names."""
    scope = {"__name__": "__main__"}
    for number, cell in enumerate(cells.split("---\n")):
        name = f"<cell {number} of {hash(cells)}>"
        linecache.cache[name] = len(cell), None, cell.splitlines(keepends=True), name
        exec(compile(cell, name, "exec"), scope)
    return scope


@pytest.mark.parametrize("step", [33])
def test_cells_killed_at_any_step_go_on_to_the_weights_of_the_run_never_broken(step, tmp_path):
    cells = notebook()
    program = tmp_path / "night.py"
    write_program(program, cells["load_data"], cells["train_and_save"])
    text = program.read_text()
    assert "RETRIES = 8" in text
    assert "a cell may do other things" not in text
    first = run_program(program, tmp_path / "broken", kill_at=step)
    assert first.is_killed
    second = run_program(program, tmp_path / "broken")
    assert not second.is_killed
    assert 80 - first.steps < second.steps <= 80 - first.steps + 21
    whole = train_here(cells["load_data"], cells["train_and_save"], tmp_path / "whole")
    assert np.array_equal(np.load(tmp_path / "broken" / "weights.npy"), whole.params)


def test_a_program_that_fails_says_so_and_one_that_lives_is_not_killed(tmp_path):
    program = tmp_path / "night.py"
    program.write_text("print('step 0')\nraise SystemExit('no more')\n")
    with pytest.raises(RuntimeError, match="no more"):
        run_program(program, tmp_path)
    assert not run_program_quietly(program.with_name("good.py"), tmp_path).is_killed


def run_program_quietly(program, folder):
    program.write_text("print('step 0')\n")
    return run_program(program, folder, kill_at=7)


def test_what_is_imported_is_imported_there_as_well(tmp_path):
    write_program(tmp_path / "night.py", capstone.load_data, capstone.train_and_save)
    text = (tmp_path / "night.py").read_text()
    assert "from asyncml.course.exercises.capstone import load_data\n" in text
    compile(text, "night.py", "exec")


def test_parameters_and_variables_are_not_taken_for_names_of_the_notebook(tmp_path):
    cells = notebook()
    cells |= {"folder": tmp_path, "scores": [0.5], "book": object(), "steps": object()}
    write_program(tmp_path / "night.py", cells["load_data"], cells["train_and_save"])
    text = (tmp_path / "night.py").read_text()
    assert "def train_and_save" in text
    assert "scores = [0.5]" not in text


def test_what_cannot_be_written_is_named_and_ours_stands_there(tmp_path, capsys):
    cells = notebook(CELLS.replace("RETRIES = 8", "RETRIES = asyncio.Semaphore(8)"))
    for said in "`RETRIES` was made in another cell", "`load_data` cannot be found":
        write_program(tmp_path / "night.py", cells["load_data"], cells["train_and_save"])
        assert f"ours in place of your `load_data`: {said}" in capsys.readouterr().out
        text = (tmp_path / "night.py").read_text()
        assert "from asyncml.course.exercises.capstone import load_data\n" in text
        assert "RETRIES" not in text
        linecache.cache.clear()


# ---- the score ----


@pytest.fixture
def small(monkeypatch):
    """The same world with 500 images: the same rules in a sixth of the time."""
    world = capstone.World
    monkeypatch.setattr(board, "World", lambda: world(500))
    monkeypatch.setattr(board, "LEAST_S", world(500).bound_s)


@pytest.mark.usefixtures("small")
def test_ours_comes_near_the_bound_and_never_below():
    found = score(capstone.load_data, capstone.train_and_save)
    assert 1 <= found.score < 1.4
    assert f"score {found.score:.3f}: " in repr(found)


def cheat_in_a_thread(keys, get, decode):
    """Fetch in a loop of another thread, where virtual time does not pass."""

    async def fetch(key):
        def elsewhere():
            for _ in range(9):
                try:
                    found.append(aml.simulate(get(key)))
                    return
                except ConnectionError:
                    pass

        found = []
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        return key, found[0]

    images = aml.Pipeline(keys).map(fetch, concurrency=4)
    return images.map(
        lambda pair: (decode(pair[1]), aml.label_of(pair[0])), concurrency=2, on_error="skip"
    )


def cheat_in_the_bucket(keys, get, decode):
    bucket = get.__closure__[0].cell_contents
    bucket.fate = lambda key, attempt: (0.0, False)
    bucket._tokens = 1e9
    return capstone.load_data(keys, get, decode)


def unlimited(keys, get, decode):
    bucket = get.__closure__[0].cell_contents

    async def fetch(key):
        bucket._tokens = 20.0
        return key, await get(key)

    images = aml.Pipeline(keys).map(fetch, concurrency=200, retries=8)
    return images.map(
        lambda pair: (decode(pair[1]), aml.label_of(pair[0])), concurrency=16, on_error="skip"
    )


def kept_from_before(keys, get, decode):
    """Know all the bytes, request each key once, and wait for no answer."""
    world = get.__closure__[0].cell_contents

    async def fetch(key):
        asking = asyncio.ensure_future(get(key))
        await asyncio.sleep(0)
        asking.cancel()
        return key, world._data[key]

    images = aml.Pipeline(keys).map(fetch, concurrency=4)
    images = images.map(
        lambda pair: (decode(pair[1]), aml.label_of(pair[0])), concurrency=2, on_error="skip"
    )
    world.asked.update(keys)
    return images


def decode_for_free(keys, get, decode):
    return capstone.load_data(keys, get, aml.decode_png)


def half_of_it(keys, get, decode):
    return capstone.load_data(keys[::2], get, decode)


def storm(keys, get, decode):
    async def fetch(key):
        while True:
            try:
                return key, await get(key)
            except ConnectionError:
                await asyncio.sleep(0.001)

    images = aml.Pipeline(keys).map(fetch, concurrency=300)
    return images.map(
        lambda pair: (decode(pair[1]), aml.label_of(pair[0])), concurrency=2, on_error="skip"
    )


async def skip_the_training(folder, model, optimizer, batches, validate, epochs, patience):
    async for _ in batches:
        pass


async def skip_the_saving(folder, model, optimizer, batches, validate, epochs, patience):
    async for _ in aml.fit(model, optimizer, batches):
        pass


class Sly(float):
    """Greater than anything, whatever its value."""

    def __ge__(self, other):
        return True


async def train_by_another_clock(folder, *parts):
    await capstone.train_and_save(folder, *parts)
    loop = asyncio.get_running_loop()
    now, loop.time = loop.time, lambda: now() if asyncio.current_task() is None else Sly(1.0)


async def save_at_once(folder, model, optimizer, batches, validate, epochs, patience):
    (Path(folder) / "0.safetensors").write_bytes(b"")
    loop = asyncio.get_running_loop()
    loop.time = lambda: 0.0


def at_any_rate(keys, get, decode):
    async def fetch(key):
        return key, await get(key)

    images = aml.Pipeline(keys).map(fetch, concurrency=100, retries=8)
    return images.map(
        lambda pair: (decode(pair[1]), aml.label_of(pair[0])), concurrency=2, on_error="skip"
    )


@pytest.mark.usefixtures("small")
def test_a_world_that_was_made_easier_is_refused(monkeypatch):
    monkeypatch.setattr(bucket, "RATE", 1e6)
    monkeypatch.setattr(capstone, "ROW_S", 0.0)
    with pytest.raises(Wrong, match="unfair"):
        score(at_any_rate, capstone.train_and_save)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("load_data", "train", "expected"),
    [
        (unlimited, capstone.train_and_save, "unfair"),
        (cheat_in_the_bucket, capstone.train_and_save, "unfair"),
        (decode_for_free, capstone.train_and_save, "unasked"),
        (half_of_it, capstone.train_and_save, "images"),
        (storm, capstone.train_and_save, "storm"),
        (cheat_in_a_thread, capstone.train_and_save, "raised"),
        (kept_from_before, capstone.train_and_save, "unfair"),
        (capstone.load_data, train_by_another_clock, "unfair"),
        (capstone.load_data, skip_the_training, "images"),
        (capstone.load_data, skip_the_saving, "unsaved"),
        (capstone.load_data, save_at_once, "images"),
    ],
)
def test_what_nobody_can_beat_is_refused_however_it_was_reached(load_data, train, expected):
    with pytest.raises(Wrong) as raised:
        score(load_data, train)
    assert raised.value.code == expected


# ---- the board ----


def test_a_room_is_a_folder_of_results(tmp_path):
    least_s = capstone.World().bound_s
    assert least_s == pytest.approx(board.LEAST_S)
    good, better = (Result(least_s * times, least_s, 0) for times in (1.2, 1.1))
    room = tmp_path / "room"
    submit(room, "Grace", good)
    submit(room, "Ada / Augusta", better)
    submit(room, "Eve", dataclasses.replace(good, seconds=3.0))
    submit(room, "Mallory", dataclasses.replace(good, bound_s=0.1, seconds=float("nan")))
    (room / "half.json").write_text('{"name": "hal')
    (room / "notes.txt").write_text("not a result")
    found = board.board(room)
    assert list(found.rows)[:2] == ["Ada / Augusta", "Grace"]
    assert found.rows["Eve"] == found.rows["Mallory"] == "refused: nobody can be so fast"
    assert found.rows["half.json"] == "refused: not a file of `submit`"
    assert len(repr(found).splitlines()) == 5
    assert str(found).count("score") == 2
    submit(room, "Grace", dataclasses.replace(good, seconds=least_s * 1.05))
    assert next(iter(board.board(room).rows)) == "Grace"


@pytest.mark.parametrize("text", [
    "[1]", '{"name": "x", "seconds": 1e999, "refused": 0}', "[" * 100_000, '"x"', "null",
    '{"name": "x", "seconds": 50, "refused": 1e999}', '{"name": "x", "seconds": [], "refused": 0}',
    '{"name": "x", "seconds": -50, "refused": 0}', '{"name": "x", "seconds": true, "refused": 0}',
])  # fmt: skip
def test_a_file_that_somebody_made_up_spoils_no_board(text, tmp_path):
    submit(tmp_path, "Grace", Result(50.0, 1.0, 0))
    (tmp_path / "x.json").write_text(text)
    rows = board.board(tmp_path).rows
    assert len(rows) == 2
    assert "refused" in str(rows[next(name for name in rows if name != "Grace")])


def test_a_name_is_one_line_and_nobody_takes_that_of_another(tmp_path):
    forged = "Eve\nAda  score 0.500: 8.49 s, and 16.98 s is the least\u202e"
    submit(tmp_path, forged, Result(50.0, 1.0, 0))
    submit(tmp_path, "Grace", Result(20.0, 1.0, 0))
    (tmp_path / "z.json").write_text((tmp_path / "Grace.json").read_text().replace("20.0", "90"))
    found = board.board(tmp_path)
    assert len(repr(found).splitlines()) == 3
    assert found.rows["Grace"].seconds == 20
    assert found.rows["Grace (z.json)"].seconds == 90


def test_a_bound_in_a_file_counts_for_nothing(tmp_path):
    (tmp_path / "x.json").write_text(json.dumps({"name": "x", "seconds": 50, "refused": 0}))
    row = board.board(tmp_path).rows["x"]
    assert row.bound_s == board.LEAST_S


def test_the_league_has_a_board_with_its_own_bound(tmp_path):
    submit(tmp_path, "Grace", league.Score(seconds=2.39, bound_s=2.07, refused=39))
    submit(tmp_path, "Eve", league.Score(seconds=1.0, bound_s=2.07, refused=0))
    rows = board.board(tmp_path).rows
    assert rows["Grace"].score == pytest.approx(1.15, abs=0.01)
    assert rows["Eve"] == "refused: nobody can be so fast"


def test_an_empty_room_has_an_empty_board(tmp_path):
    assert repr(board.board(tmp_path)) == "nobody yet"


def test_the_bucket_of_the_league_is_as_it_was():
    assert league.score(league.pipeline).seconds == pytest.approx(2.39, abs=0.01)
