"""Checkpoints: whole or not at all, exact, bounded, and never in the way of one another."""

import asyncio
import dataclasses
import enum
import hashlib
import json
import math
import os
import re
import subprocess
import sys
import threading
from collections import Counter, OrderedDict
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from asyncml.network.optimizers import SGD, Adam
from asyncml.network.sequential import MLP
from asyncml.pipeline.pipeline import Pipeline, collate
from asyncml.training import checkpoint_files as files
from asyncml.training.checkpoint import Checkpointer, CheckpointError
from asyncml.training.fit import fit
from asyncml.training.step import Step

ROOT = Path(__file__).parents[2]


def make(seed=0, sizes=(4, 8, 3), kind=Adam):
    model = MLP(list(sizes), seed=seed)
    return model, kind(model, lr=0.01)


def step(index=0, state=None):
    return Step(0, index, 0.5, 2, 0.0, 0.0, state)


def run(main):
    return asyncio.run(main())


async def save(folder, *fills, keep_last=3, **options):
    """Save checkpoints whose parameters are all one number, which is the step's index too."""
    model, optimizer = make(**options)
    async with Checkpointer(folder, keep_last=keep_last) as checkpoints:
        for fill in fills:
            model.params[:] = fill
            await checkpoints.save(step(fill), model, optimizer)


async def restored(folder, **options):
    model, optimizer = make(**options)
    async with Checkpointer(folder) as checkpoints:
        return await checkpoints.restore(model, optimizer), model, optimizer


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def data(seed=3):
    rng = np.random.default_rng(0)
    pairs = [(rng.normal(size=4).astype(np.float32), i % 3) for i in range(30)]
    return (
        Pipeline(range(30)).shuffle(8, seed=seed).map(pairs.__getitem__).batch(4, collate=collate)
    )


# what is saved comes back


def test_the_newest_comes_back_with_its_step_and_learning_rate(tmp_path):
    async def main():
        model, optimizer = make()
        optimizer.lr, optimizer.t[...] = 0.1 + 0.2, 7
        async with Checkpointer(tmp_path / "a" / "b") as checkpoints:
            assert await checkpoints.restore(model, optimizer) is None
            await checkpoints.save(step(1), model, optimizer)
            optimizer.g_sum[:] = 3
            await checkpoints.save(step(2, {"position": [1, "ä"]}), model, optimizer)
        found, other, back = await restored(tmp_path / "a" / "b", seed=1)
        assert found == step(2, {"position": [1, "ä"]})
        assert (other.params == model.params).all()
        assert (back.g_sum == 3).all()
        assert (back.lr, back.t, back.model) == (0.1 + 0.2, 7, other)

    run(main)


def test_the_snapshot_is_taken_when_save_returns(tmp_path, monkeypatch):
    async def main():
        release = hold_the_disk(monkeypatch)
        model, optimizer = make()
        async with Checkpointer(tmp_path) as checkpoints:
            model.params[:] = 1
            await checkpoints.save(step(1), model, optimizer)
            model.params[:] = 2  # while the write is held
            release.set()
        found, other, _ = await restored(tmp_path)
        assert found.index == 1
        assert (other.params == 1).all()

    run(main)


def hold_the_disk(monkeypatch):
    release, fsync = threading.Event(), os.fsync

    def held(descriptor):
        release.wait(10)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", held)
    return release


@pytest.mark.parametrize("kind", [Adam, lambda model, lr: SGD(model, lr, momentum=0.9)])
@pytest.mark.parametrize("stop", [0, 5, 7, 8, 15])
def test_a_resumed_run_is_the_unbroken_one_bit_for_bit(tmp_path, kind, stop):
    async def main():
        whole, optimizer = make(kind=kind)
        losses = [s.loss async for s in fit(whole, optimizer, data(), epochs=3)]
        model, optimizer = make(kind=kind)
        async with Checkpointer(tmp_path) as checkpoints:
            async for s in fit(model, optimizer, data(), epochs=3):
                await checkpoints.save(s, model, optimizer)
                if s.epoch * 8 + s.index == stop:
                    break
        found, again, optimizer = await restored(tmp_path, seed=9, kind=kind)
        rest = fit(again, optimizer, data(), epochs=3, resume_from=found)
        assert [s.loss async for s in rest] == losses[stop + 1 :]
        assert (again.params == whole.params).all()

    run(main)


def test_a_pipeline_is_put_back_too(tmp_path):
    async def main():
        model, optimizer = make()
        async with Checkpointer(tmp_path) as checkpoints:
            async for s in fit(model, optimizer, data()):
                await checkpoints.save(s, model, optimizer)
                if s.index == 4:
                    break
            pipeline = data()
            await checkpoints.restore(model, optimizer, pipeline)
            assert len([batch async for batch in pipeline]) == 3
            before = model.params.copy()
            model.params[:] = 0
            with pytest.raises(ValueError, match="other stages"):
                await checkpoints.restore(model, optimizer, Pipeline([1]).batch(2))
            assert (model.params == 0).all()  # nothing was half applied
            assert before.any()

    run(main)


GOES_ON = """
import asyncio, hashlib, sys
from asyncml import Adam, Checkpointer, MLP, fit
from tests.training.test_checkpoint import data

async def main():
    model = MLP([4, 8, 3], seed=9)
    optimizer = Adam(model)
    async with Checkpointer(sys.argv[1]) as checkpoints:
        step = await checkpoints.restore(model, optimizer)
    print(*[s.loss async for s in fit(model, optimizer, data(), epochs=3, resume_from=step)])
    print(hashlib.sha256(model.params).hexdigest())

asyncio.run(main())
"""


def test_a_new_process_takes_the_next_steps_bit_for_bit(tmp_path):
    async def main():
        model, optimizer = make()
        losses = []
        async with Checkpointer(tmp_path) as checkpoints:
            async for s in fit(model, optimizer, data(), epochs=3):
                losses.append(s.loss)
                if len(losses) == 11:
                    await checkpoints.save(s, model, optimizer)
        return [*map(str, losses[11:]), hashlib.sha256(model.params).hexdigest()]

    expected = run(main)
    command = [sys.executable, "-c", GOES_ON, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == expected


def test_other_libraries_can_read_it(tmp_path):
    run(lambda: save(tmp_path, 4))
    arrays = load_file(tmp_path / names(tmp_path)[0])
    assert sorted(arrays) == ["optimizer.g2_sum", "optimizer.g_sum", "optimizer.t", "params"]
    assert (arrays["params"] == 4).all()


# how many, and which


def test_no_file_is_renamed_onto_another_which_windows_forbids_where_it_is_open(
    tmp_path, monkeypatch
):
    taken, rename = [], Path.rename

    def watched(path, target):
        taken.append(Path(target).exists())
        return rename(path, target)

    async def main():
        model, optimizer = make()
        async with Checkpointer(tmp_path) as first, Checkpointer(tmp_path) as second:
            for checkpoints in (first, second, first):
                await checkpoints.save(step(1), model, optimizer)
                await checkpoints.restore(model, optimizer)  # waits for the write
        await save(tmp_path, 2, keep_last=1)

    monkeypatch.setattr(Path, "rename", watched)
    run(main)
    assert taken == [False] * 4
    assert names(tmp_path) == ["checkpoint-00000003.safetensors"]


def test_the_last_are_kept_also_over_several_runs(tmp_path):
    run(lambda: save(tmp_path, 1, 2, 3, 4, keep_last=2))
    assert names(tmp_path) == [f"checkpoint-{n:08}.safetensors" for n in (2, 3)]
    run(lambda: save(tmp_path, 5, keep_last=2))
    assert names(tmp_path) == [f"checkpoint-{n:08}.safetensors" for n in (3, 4)]


def test_at_most_one_write_is_in_flight(tmp_path, monkeypatch):
    async def main():
        release = hold_the_disk(monkeypatch)
        model, optimizer = make()
        async with Checkpointer(tmp_path) as checkpoints:
            await checkpoints.save(step(1), model, optimizer)
            second = asyncio.create_task(checkpoints.save(step(2), model, optimizer))
            cancelled = asyncio.create_task(checkpoints.save(step(3), model, optimizer))
            await asyncio.sleep(0.01)
            assert not second.done()
            cancelled.cancel()
            release.set()
            await second
            await asyncio.wait([cancelled])
        assert cancelled.cancelled()
        assert len(names(tmp_path)) == 2

    run(main)


def test_what_a_killed_process_left_half_written_is_cleared(tmp_path):
    (tmp_path / "checkpoint-00000007.safetensors.partial").write_bytes(b"half")
    (tmp_path / "notes.txt").write_text("mine")
    run(lambda: save(tmp_path, 1))
    assert names(tmp_path) == ["checkpoint-00000000.safetensors", "notes.txt"]


def test_a_look_into_the_folder_does_not_disturb_the_one_who_writes(tmp_path, monkeypatch):
    async def main():
        release = hold_the_disk(monkeypatch)
        model, optimizer = make()
        async with Checkpointer(tmp_path) as checkpoints:
            await checkpoints.save(step(1), model, optimizer)
            while not names(tmp_path):  # noqa: ASYNC110 (the file is begun in a thread)
                await asyncio.sleep(0.001)
            assert (await restored(tmp_path))[0] is None  # as another process would
            release.set()
        assert (await restored(tmp_path))[0].index == 1

    run(main)


# damaged and foreign files


def flip(path):
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        flip,
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"\xff" * 100),
        lambda path: path.write_bytes(
            path.read_bytes().replace(b'"lr"', b'"rl"').replace(b'"checksum":"', b'"checksum":"0')
        ),
    ],
)
def test_a_damaged_file_is_passed_over_with_a_warning_and_never_deleted(tmp_path, damage):
    run(lambda: save(tmp_path, 1, 2))
    newest = tmp_path / "checkpoint-00000001.safetensors"
    damage(newest)
    with pytest.warns(UserWarning, match=r"checkpoint-00000001.*damaged"):
        found, model, _ = run(lambda: restored(tmp_path))
    assert found.index == 1
    assert (model.params == 1).all()
    run(lambda: save(tmp_path, 3, 4, keep_last=1))
    assert names(tmp_path) == [f"checkpoint-{n:08}.safetensors" for n in (1, 3)]


def test_one_damaged_byte_anywhere_is_noticed(tmp_path):
    run(lambda: save(tmp_path, 7, sizes=(1, 2)))
    path = tmp_path / names(tmp_path)[0]
    whole = path.read_bytes()

    async def main():
        model, optimizer = make(sizes=(1, 2))
        before = model.params.copy()
        async with Checkpointer(tmp_path) as checkpoints:
            for i in range(len(whole)):
                for flip in (1 << i % 8, 0x0F):  # a bit; and what makes I32 of F32
                    path.write_bytes(whole[:i] + bytes([whole[i] ^ flip]) + whole[i + 1 :])
                    with pytest.warns(UserWarning, match="damaged"):
                        assert await checkpoints.restore(model, optimizer) is None
        assert (model.params == before).all()
        assert not any(array.any() for array in optimizer.state().values())

    run(main)


def with_header(path, change):
    """Rewrite the header of a file; its checksum is that of what is in it then."""
    content = path.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    header = change(json.loads(content[8:end]))
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[end:])


def summed(words, path):
    arrays = files.Snapshot(load_file(path), words)
    return words | {"checksum": files._checksum(arrays)}


METADATA = "__metadata__"


@pytest.mark.parametrize(
    "change",
    [
        lambda header: header | {METADATA: None},
        lambda header: header | {METADATA: []},
        lambda header: header | {METADATA: {}},
        lambda header: header | {METADATA: "words"},
        lambda header: {key: value for key, value in header.items() if key != METADATA},
        lambda header: header | {METADATA: header[METADATA] | {"step": None}},
        lambda header: header | {METADATA: header[METADATA] | {"checksum": 7}},
        lambda header: header | {METADATA: dict.fromkeys(header[METADATA], "")},
        lambda header: header | {"params": None},
        lambda header: header | {"params": header["params"] | {"dtype": "F8_E4M3"}},
        lambda header: header | {"params": header["params"] | {"dtype": "BF16"}},
        lambda header: header | {"params": header["params"] | {"shape": [-1]}},
        lambda header: header | {"params": header["params"] | {"data_offsets": [0, 10**30]}},
        lambda header: header | {"params": header["params"] | {"shape": [10**18, 0]}},
        lambda header: [],
        lambda header: None,
        lambda header: 7,
        lambda header: {},
        lambda header: b"",
        lambda header: b"{",
        lambda header: b"[" * 100_000,
        lambda header: b'{"__metadata__":' * 50_000,
        lambda header: b"\xff\xfe{}",
    ],
)
def test_a_malformed_header_is_a_damaged_file(tmp_path, change):
    run(lambda: save(tmp_path, 1, 2))
    with_header(tmp_path / "checkpoint-00000001.safetensors", change)
    with pytest.warns(UserWarning, match=r"checkpoint-00000001.*damaged"):
        found, model, _ = run(lambda: restored(tmp_path))
    assert found.index == 1
    assert (model.params == 1).all()


@pytest.mark.parametrize("missing", ["step", "model", "optimizer", "lr", "asyncml"])
def test_so_is_one_in_which_a_word_is_missing_and_whose_checksum_is_right(tmp_path, missing):
    run(lambda: save(tmp_path, 1, 2))
    path = tmp_path / "checkpoint-00000001.safetensors"

    def change(header):
        words = {key: word for key, word in header[METADATA].items() if key != missing}
        return header | {METADATA: summed(words, path)}

    with_header(path, change)
    with pytest.warns(UserWarning, match=r"checkpoint-00000001.*damaged"):
        found, *_ = run(lambda: restored(tmp_path))
    assert found.index == 1


def test_the_types_of_arrays_are_compared_too(tmp_path):
    class Wide(Adam):
        def state(self):
            return {**super().state(), "t": np.zeros((), self.dtype)}

    Wide.__name__ = "Adam"

    async def main():
        model, optimizer = make(kind=Wide)
        Wide.dtype = np.int64
        async with Checkpointer(tmp_path) as checkpoints:
            await checkpoints.save(step(1), model, optimizer)
            assert (await checkpoints.restore(model, optimizer)).index == 1
            Wide.dtype, before = np.float64, model.params.copy()
            with pytest.raises(
                CheckpointError, match=r"'optimizer.t': 'int64 \(\)'.*'float64 \(\)'"
            ):
                await checkpoints.restore(model, optimizer)
            assert (model.params == before).all()

    run(main)


def test_nothing_but_damaged_files_is_none(tmp_path):
    (tmp_path / "checkpoint-00000003.safetensors").write_bytes(b"?")
    with pytest.warns(UserWarning, match="00000003"):
        assert run(lambda: restored(tmp_path))[0] is None
    run(lambda: save(tmp_path, 1))
    assert names(tmp_path)[1] == "checkpoint-00000004.safetensors"


@pytest.mark.parametrize("other", [{"sizes": (4, 9, 3)}, {"kind": SGD}])
def test_a_checkpoint_of_another_kind_is_an_error_and_kept(tmp_path, other):
    run(lambda: save(tmp_path, 1, 2))

    async def main():
        model, optimizer = make(**other)
        before = model.params.copy()
        async with Checkpointer(tmp_path, keep_last=1) as checkpoints:
            with pytest.raises(CheckpointError, match=r"00000001.*holds another (model|opt)"):
                await checkpoints.restore(model, optimizer)
            assert (model.params == before).all()
            await checkpoints.save(step(3), model, optimizer)
            await checkpoints.save(step(4), model, optimizer)
        assert names(tmp_path) == [f"checkpoint-{n:08}.safetensors" for n in (0, 1, 3)]

    run(main)


# what a step may hold


class Colour(enum.IntEnum):
    RED = 1


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"position": 5, "seen": [0.1, None, True, "ä\ud800", [[]], {"a": {}}]},
        {"large": 2**70, "infinite": -math.inf, "tiny": 5e-324, "": ""},
        {"colour": Colour.RED, "order": OrderedDict(b=1, a=2), "counts": Counter("aab")},
        {
            "i": np.int64(3),
            "u": np.uint8(255),
            "f": np.float32(0.1),
            "b": np.True_,
            "s": np.str_("a"),
        },
    ],
)
def test_a_state_comes_back_equal_and_of_plain_types(tmp_path, state):
    async def main():
        model, optimizer = make()
        async with Checkpointer(tmp_path) as checkpoints:
            await checkpoints.save(step(np.int64(4), state), model, optimizer)
            found = await checkpoints.restore(model, optimizer)
        assert found == step(4, state)
        assert type(found.index) is int
        plain = (int, float, str, bool, type(None), list, dict)
        assert all(type(value) in plain for value in found.pipeline_state.values())

    run(main)


def test_nan_comes_back_too(tmp_path):
    async def main():
        model, optimizer = make()
        async with Checkpointer(tmp_path) as checkpoints:
            await checkpoints.save(step(0, {"mean": np.float64("nan")}), model, optimizer)
            found = await checkpoints.restore(model, optimizer)
        assert math.isnan(found.pipeline_state["mean"])

    run(main)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({0: 5}, "keys of `step.pipeline_state` must be str for a checkpoint, got 0"),
        ({"a": [{None: 1}]}, r"keys of `step.pipeline_state\['a'\]\[0\]` must be str.*got None"),
        ({"at": (1, 2)}, r"`step.pipeline_state\['at'\]` must be .* got tuple: make it a list"),
        ({"at": [1, {"x": (1,)}]}, r"`step.pipeline_state\['at'\]\[1\]\['x'\]`.* got tuple"),
        ({"a": np.arange(3)}, r"got ndarray: take its .tolist\(\)"),
        ({"a": b"x"}, r"got bytes: its .hex\(\)"),
        ({"a": {1, 2}}, "got set$"),
        ({"a": object()}, "got object$"),
        ({"a": 1j}, "got complex$"),
        ({"a": np.datetime64("2020-01-01")}, "got date$"),
        ((1, 2), "`step.pipeline_state` must be .*got tuple"),
    ],
)
def test_what_json_would_not_give_back_is_refused_before_anything_is_written(
    tmp_path, state, message
):
    async def main():
        model, optimizer = make()
        async with Checkpointer(tmp_path) as checkpoints:
            await checkpoints.save(step(1), model, optimizer)
            with pytest.raises(TypeError, match=message):
                await checkpoints.save(step(2, state), model, optimizer)
            assert (await checkpoints.restore(model, optimizer)).index == 1
        assert names(tmp_path) == ["checkpoint-00000000.safetensors"]

    run(main)


def test_a_loss_of_numpys_is_saved_and_one_that_is_no_number_refused(tmp_path):
    async def main():
        model, optimizer = make()
        async with Checkpointer(tmp_path) as checkpoints:
            await checkpoints.save(
                dataclasses.replace(step(), loss=np.float32(0.5)), model, optimizer
            )
            assert await checkpoints.restore(model, optimizer) == step()
            wrong = dataclasses.replace(step(), loss=np.zeros(2))
            with pytest.raises(TypeError, match=r"`step\.loss` must be .*got ndarray"):
                await checkpoints.save(wrong, model, optimizer)

    run(main)


# failures of the disk


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CheckpointError, match="cannot use the folder"):
        run(lambda: save(tmp_path / "file" / "checkpoints"))


def test_a_write_that_fails_is_told_at_the_next_save(tmp_path):
    async def main():
        model, optimizer = make()
        folder = tmp_path / "checkpoints"
        async with Checkpointer(folder) as checkpoints:
            folder.rmdir()
            await checkpoints.save(step(1), model, optimizer)  # taken; the write will fail
            with pytest.raises(CheckpointError, match="Earlier checkpoints are untouched"):
                await checkpoints.save(step(2), model, optimizer)
            folder.mkdir()
            await checkpoints.save(step(3), model, optimizer)
        assert (await restored(folder))[0].index == 3

    run(main)


async def fails_at_last(folder, error=None):
    model, optimizer = make()
    async with Checkpointer(folder) as checkpoints:
        folder.rmdir()
        await checkpoints.save(step(1), model, optimizer)
        if error:
            raise error


def test_or_at_the_end_of_the_block(tmp_path):
    with pytest.raises(CheckpointError, match=r"could not be written to .*save again"):
        run(lambda: fails_at_last(tmp_path / "checkpoints"))


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    path: str


def test_an_error_in_the_block_goes_before_one_of_the_last_write_also_if_it_takes_no_note(tmp_path):
    error = Frozen("a")
    with pytest.raises(Frozen) as caught:
        run(lambda: fails_at_last(tmp_path / "checkpoints", error))
    assert caught.value is error


def test_an_error_in_the_block_goes_before_one_of_the_last_write(tmp_path):
    with pytest.raises(ZeroDivisionError) as caught:
        run(lambda: fails_at_last(tmp_path / "checkpoints", ZeroDivisionError()))
    assert "could not be written" in caught.value.__notes__[0]


FORBIDDEN = """
import asyncio, os, sys
from asyncml import MLP, Adam, Checkpointer, CheckpointError, Step

model = MLP([4, 8, 3])
optimizer, checkpoints = Adam(model), Checkpointer(".")

async def main():
    async with checkpoints:
        step = await checkpoints.restore(model, optimizer)
        print(step.index, set(model.params.tolist()))
        await checkpoints.save(Step(0, 2, 0.5, 2, 0, 0), model, optimizer)
        await checkpoints.save(Step(0, 3, 0.5, 2, 0, 0), model, optimizer)

os.chmod(".", int(sys.argv[1]))
if not os.getuid():
    os.setuid(65534)  # root may do everything
try:
    asyncio.run(main())
except CheckpointError as error:
    print(type(error.__cause__).__name__, error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="permissions of folders are of Unix")
@pytest.mark.parametrize(
    ("mode", "said"),
    [
        (0o555, r"1 \{1.0\}\nPermissionError a check.* not be written .*Earlier .* untouched"),
        (0o333, "PermissionError cannot use the folder"),
        (0o000, "PermissionError cannot use the folder"),
    ],
    ids=["not written to", "not listed", "not at all"],
)
def test_a_folder_without_permission(tmp_path, mode, said):
    run(lambda: save(tmp_path, 1))
    (path,) = tmp_path.iterdir()
    path.chmod(0o444)
    before = path.read_bytes()
    try:
        command = [sys.executable, "-c", FORBIDDEN, str(mode)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    finally:
        tmp_path.chmod(0o755)
    assert re.match(said, done.stdout), done.stdout
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [before]


FULL = """
import asyncio, resource, signal, sys
from asyncml import MLP, Adam, Checkpointer, CheckpointError, Step

async def main(folder):
    model = MLP([4, 8, 3])
    async with Checkpointer(folder) as checkpoints:
        await checkpoints.save(Step(0, 1, 0.5, 2, 0, 0), model, Adam(model))
        await checkpoints.restore(model, Adam(model))  # waits for the write
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
        await checkpoints.save(Step(0, 2, 0.5, 2, 0, 0), model, Adam(model))
        try:
            await checkpoints.save(Step(0, 3, 0.5, 2, 0, 0), model, Adam(model))
        except CheckpointError as error:
            print(type(error.__cause__).__name__)

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
asyncio.run(main(sys.argv[1]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits of file sizes are of Unix")
def test_a_full_disk_leaves_the_earlier_checkpoints(tmp_path):
    command = [sys.executable, "-c", FULL, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "OSError\n"
    assert names(tmp_path) == ["checkpoint-00000000.safetensors"]
    assert run(lambda: restored(tmp_path))[0].index == 1


# the end of the block


def test_the_end_waits_for_the_last_write_even_if_cancelled(tmp_path, monkeypatch):
    async def main():
        release = hold_the_disk(monkeypatch)

        async def work():
            model, optimizer = make()
            async with Checkpointer(tmp_path) as checkpoints:
                await checkpoints.save(step(1), model, optimizer)

        task = asyncio.create_task(work())
        await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.sleep(0.02)
        assert not task.done()
        release.set()
        await asyncio.wait([task])
        assert task.cancelled()
        assert names(tmp_path) == ["checkpoint-00000000.safetensors"]

    run(main)


def test_the_end_waits_for_saves_that_nobody_awaited(tmp_path, monkeypatch):
    async def main():
        release = hold_the_disk(monkeypatch)
        model, optimizer = make()
        async with Checkpointer(tmp_path) as checkpoints:
            saves = [
                asyncio.create_task(checkpoints.save(step(n), model, optimizer)) for n in range(3)
            ]
            await asyncio.sleep(0)
            asyncio.get_running_loop().call_later(0.01, release.set)
        assert all(task.done() for task in saves)
        assert len(names(tmp_path)) == 3

    run(main)


def test_one_that_is_cancelled_on_entering_leaves_no_thread(tmp_path):
    async def main():
        checkpoints = Checkpointer(tmp_path)

        async def enter():
            async with checkpoints:
                pass

        task = asyncio.create_task(enter())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert not [t.name for t in threading.enumerate() if t.name.startswith("checkpoints")]
        await enter()  # and is as new

    run(main)


def test_what_cannot_be_right_is_said_at_once(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="`keep_last` must be >= 1, got 0"):
        Checkpointer(tmp_path, keep_last=0)

    async def main():
        model, optimizer = make()
        checkpoints = Checkpointer(tmp_path)
        with pytest.raises(RuntimeError, match="`async with`"):
            await checkpoints.save(step(), model, optimizer)
        async with checkpoints:
            with pytest.raises(RuntimeError, match="in use already"):
                await checkpoints.__aenter__()
            with pytest.raises(TypeError, match="`step` must be a Step"):
                await checkpoints.save(3, model, optimizer)
            with pytest.raises(ValueError, match="another model"):
                await checkpoints.save(step(), make()[0], optimizer)
            with pytest.raises(TypeError, match="`optimizer` must be an optimiser"):
                await checkpoints.restore(model, None)
            with pytest.raises(TypeError, match="got object"):
                await checkpoints.save(step(0, {"a": object()}), model, optimizer)
        async with checkpoints:  # once it has ended it may begin again
            assert await checkpoints.restore(model, optimizer) is None

    run(main)
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    with pytest.raises(ModuleNotFoundError, match=r"asyncml\[checkpoints\]"):
        Checkpointer(tmp_path)


# killed at any time

KILLED = """
import asyncio, os, random, signal, sys, time
from asyncml import MLP, Adam, Checkpointer, Step

async def work(folder, model, start, tell):
    optimizer = Adam(model)
    async with Checkpointer(folder, keep_last=2) as checkpoints:
        for index in range(start, start + 10**6):
            model.params[:] = index
            await checkpoints.save(Step(0, index, 0.5, 2, 0, 0), model, optimizer)
            os.write(tell, b".")  # the one before this is written

async def look(folder, model):
    async with Checkpointer(folder) as checkpoints:
        return await checkpoints.restore(model, Adam(model))

folder, kills = sys.argv[1], int(sys.argv[2])
chance, model, last = random.Random(0), MLP([64, 64, 3]), -1
for _ in range(kills):
    told, tell = os.pipe()
    child = os.fork()
    if not child:
        asyncio.run(work(folder, model, last + 1, tell))
    saved = sum(len(os.read(told, 1)) for _ in range(chance.randint(0, 3)))
    time.sleep(chance.uniform(0, 0.005))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(told)
    os.close(tell)
    step = asyncio.run(look(folder, model))
    if step is not None:
        assert step.index >= last + max(0, saved - 1), (step.index, last, saved)
        assert set(model.params.tolist()) == {step.index}
        last = step.index
print(last)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork, to kill so often in little time")
def test_killed_at_100_random_moments_a_whole_checkpoint_comes_back(tmp_path):
    command = [sys.executable, "-W", "error", "-c", KILLED, str(tmp_path), "100"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 50  # half of them were killed after one or two had been written
