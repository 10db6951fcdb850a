import asyncio
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from asyncml.network import layers
from benchmarks import __main__ as command
from benchmarks import (
    accuracy,
    batching,
    distributed,
    epochs,
    figure,
    handover,
    inference,
    loading,
    million,
    over_http,
    overlap,
    parts,
    threads,
    training,
)
from benchmarks.measuring import THREADS, in_child, interleaved
from benchmarks.network import images, in_batches
from benchmarks.peers import (
    BATCHERS,
    PEERS,
    TRAINERS,
    US,
    Peer,
    Unable,
    gemms,
    installed,
    trains_ours,
)
from benchmarks.results import TITLE, Row, digits, limit_text, limits_table, write_section
from benchmarks.workloads import WORKLOADS, Job, Limit, Step, Workload, nothing, same

HAND, POOL = (peer for peer in PEERS if peer.key in ("hand", "pool"))
EPOCH = next(workload for workload in WORKLOADS if workload.name == "an epoch of 64 items")
ROW = Row("loading", "s", {"us": 2.0, "hand": 1.5, "torch": 40.0}, (Limit(3.0), Limit(1.1, "hand")))


class TestAdapters:
    @pytest.mark.parametrize("peer", [US, HAND, POOL], ids=lambda peer: peer.key)
    @pytest.mark.parametrize("how", sorted({workload.how for workload in WORKLOADS}))
    def test_each_item_arrives_once_and_in_order(self, peer, how):
        if not hasattr(adapter := peer.adapter(), how):
            assert peer == POOL
            assert how in ("beside_thread", "far_ahead", "one_by_one")
            return
        batches = []
        job = Job(range(100), nothing, same, 4, batch=32, step=batches.append, chunk=7)
        getattr(adapter, how)(job)
        assert [len(batch) for batch in batches] == [32, 32, 32, 4]
        assert [item for batch in batches for item in batch] == [*range(100)]

    def test_each_can_do_something(self):
        for peer, adapter in installed((US, HAND, POOL))[0].items():
            assert any(hasattr(adapter, workload.how) for workload in WORKLOADS), peer

    def test_by_hand_an_error_ends_it_and_leaves_no_task(self):
        def fail(item):
            raise ValueError(f"item {item}")

        with pytest.raises(ValueError, match="item 0"):
            HAND.adapter().in_threads(Job(range(9), nothing, fail, 2, batch=4, step=len))

    def test_one_that_loses_items_is_noticed(self):
        class Loses:
            def on_loop(self, job):
                job.step([1, 2])

        with pytest.raises(RuntimeError, match="2 of 64 items arrived"):
            EPOCH.run(Loses())


class TestMissing:
    @pytest.fixture
    def aiostream(self, monkeypatch) -> Peer:
        monkeypatch.delitem(sys.modules, "benchmarks.peers.aiostream", raising=False)
        monkeypatch.setitem(sys.modules, "aiostream", None)
        return next(peer for peer in PEERS if peer.key == "aiostream")

    def test_it_is_named_on_the_page_and_its_limit_is_still_there(self, aiostream):
        adapters, missing = installed((US, HAND, aiostream))
        assert ([*adapters], missing) == ([US, HAND], [aiostream])
        row = Row("a", "s", {"us": 2.0, "hand": 1.5}, (Limit(1 / 20, "aiostream"),))
        page = loading.page([row], [*adapters], missing, "a machine")
        assert "aiostream is missing: pip install -r benchmarks/requirements.txt" in page
        assert "| a | 2.00 s | at most 1/20 of aiostream | not measured |" in page

    def test_an_adapter_that_is_missing_is_no_peer_that_is(self):
        with pytest.raises(ModuleNotFoundError, match="nobody"):
            installed((Peer("nobody", "nobody", "nobody"),))


class TestTables:
    def test_a_small_run_of_us_and_by_hand(self):
        adapters, _ = installed((US, HAND))
        row = loading.measured_row(EPOCH, adapters, rounds=1)
        assert set(row.figures) == {"us", "hand"}
        (line,) = limits_table([row])[1:]
        assert line[:1] + line[2:3] == ["an epoch of 64 items", "at most 5 ms"]
        assert line[3] in ("yes", "NO")

    def test_each_limit_stands_beside_our_figure(self):
        assert limits_table([ROW])[1:] == [
            ["loading", "2.00 s", "at most 3 s", "yes"],
            ["", "", "at most 1.1x by hand (1.65)", "NO"],
        ]

    def test_a_row_without_a_limit_says_so(self):
        assert limits_table([Row("a", "s", {"us": 0.5})])[1] == ["a", "0.50 s", "none", ""]

    def test_the_page_has_ratios_and_figures(self):
        torch = next(peer for peer in PEERS if peer.key == "torch")
        page = loading.page([ROW], [US, HAND, POOL], [torch], "a machine")
        assert "| workload | asyncml = 1 | by hand | Executor.map |" in page
        assert "| loading | 2.00 s | 0.75x | - |" in page
        assert "| loading | s | 2.00 | 1.50 | - |" in page
        assert "a machine." in page

    def test_no_ratio_to_nothing(self):
        assert Row("a", "ms", {"us": 5.0, "hand": -0.1}).ratio(HAND) is None

    @pytest.mark.parametrize(
        ("value", "text"),
        [(-1, "0"), (0.004, "0"), (0.95, "0.95"), (9.94, "9.94"), (9.96, "10"), (1234.5, "1,234")],
    )
    def test_digits(self, value, text):
        assert digits(value) == text

    def test_a_section_replaces_its_own_and_no_other(self, tmp_path):
        page = tmp_path / "RESULTS.md"
        for title, text in [("A", "one"), ("B", "two\\1"), ("A", "three"), ("B", "four\\1")]:
            write_section(page, title, text)
        assert page.read_text("utf-8") == f"{TITLE}\n## A\n\nthree\n\n## B\n\nfour\\1\n"
        committed = Path(loading.__file__).parent / "RESULTS.md"
        assert committed.read_text("utf-8").startswith(f"{TITLE}\n## ")

    def test_the_page_that_is_committed_has_every_workload_limit_and_peer(self):
        page = (Path(loading.__file__).parent / "RESULTS.md").read_text(encoding="utf-8")
        for workload in WORKLOADS:
            assert f"| {workload.name} |" in page
            row = Row(workload.name, workload.unit, {"us": 1.0})
            assert [limit for limit in workload.limits if limit_text(limit, row) not in page] == []
        assert [peer for peer in PEERS if peer.name not in page] == []

    def test_the_figure_is_drawn(self, tmp_path):
        figure.draw([ROW, Row("a", "ms", {"us": 5.0})], [US, HAND], tmp_path / "a.png")
        assert (tmp_path / "a.png").stat().st_size > 5_000


class TestTrainers:
    def test_fit_and_the_loop_by_hand_do_the_same(self):
        batches = in_batches(*images(300))
        by_hand, by_fit = trains_ours.Adapter(), trains_ours.Adapter(fit=True)
        for adapter in (by_hand, by_fit):
            adapter.epoch(batches)
        assert [len(x) for x, _ in batches] == [128, 128, 44]
        assert np.array_equal(by_hand.model.params, by_fit.model.params)

    def test_the_products_are_those_of_a_step(self):
        alone, (x, y) = gemms.Adapter(), images(40)
        alone.epoch(in_batches(x, y))
        outputs, deltas = ([a[:40] for a in each] for each in (alone.outputs, alone.deltas))
        assert np.allclose(outputs[1], outputs[0] @ alone.weights[1], atol=1e-4)
        assert np.allclose(deltas[0], deltas[1] @ alone.weights[1].T, atol=1e-4)
        assert np.allclose(alone.weight_grads[0], x.T @ deltas[0], atol=1e-4)

    def test_one_that_has_learnt_nothing_is_noticed(self):
        with pytest.raises(RuntimeError, match="us recognises only"):
            epochs.check("us", trains_ours.Adapter(), *images(256))

    def test_who_is_missing_and_who_cannot_are_named_and_the_others_measured(self, monkeypatch):
        def refuse():
            raise Unable("there is no compiler")

        cannot = Peer("torch-compiled", "torch, compiled", "cannot")
        sklearn = next(peer for peer in TRAINERS if peer.key == "sklearn")
        monkeypatch.setitem(sys.modules, "benchmarks.peers.cannot", SimpleNamespace(Adapter=refuse))
        monkeypatch.delitem(sys.modules, "benchmarks.peers.trains_sklearn", raising=False)
        monkeypatch.setitem(sys.modules, "sklearn.neural_network", None)
        monkeypatch.setitem(sys.modules, "sklearn", None)
        monkeypatch.setattr(epochs, "TRAINERS", (US_TRAINS, cannot, sklearn))
        monkeypatch.setattr(epochs, "REST_S", 0.0)
        run = epochs.run(1, 512, ["us", "torch-compiled", "sklearn"])
        assert [*run.seconds] == ["us"]
        assert training.absences(run) == [
            "MLPClassifier is missing: pip install -r benchmarks/requirements.txt",
            "torch, compiled cannot do it here: there is no compiler",
        ]


class TestInference:
    @pytest.mark.parametrize("key", ["us", "hand", "alone"])
    def test_each_answers_every_request(self, key):
        kind = next(peer for peer in BATCHERS if peer.key == key).kind()

        async def main():
            async with kind(lambda rows: [2 * row for row in rows]) as batcher:
                return await asyncio.gather(*map(batcher.ask, range(200)))

        assert asyncio.run(main()) == [*range(0, 400, 2)]

    def test_a_small_run_writes_nothing_and_a_complete_one_its_section(
        self, capsys, monkeypatch, tmp_path
    ):
        monkeypatch.setattr(inference, "BATCHERS", BATCHERS[:2])
        inference.main(1, ["hand"], tmp_path, requests=2000)
        assert "at most 1.25x the ceiling (" in capsys.readouterr().out
        assert [*tmp_path.iterdir()] == []
        inference.main(1, (), tmp_path, requests=2000)
        page = (tmp_path / "RESULTS.md").read_text(encoding="utf-8")
        assert "## Inference" in page
        assert "| rows of one `many` | µs |" in page
        assert [part for part in batching.PARTS if f"| {part} |" not in page] == []

    def test_the_parts_of_a_request_add_up(self):
        found = batching.microseconds(1, 2000)
        for name in ("no-op", "small", "large"):
            parts = {part: found[name][part] for part in batching.PARTS}
            assert found[name][batching.BESIDE] > 0
            assert min(parts[part] for part in batching.ALONE) > 0
            assert parts.pop(batching.WHOLE) == pytest.approx(sum(parts.values()))
        assert [*found["many"]] == [*batching.MANY_WAYS]
        steps = batching.tables({"many": dict.fromkeys(batching.MANY_WAYS, 3.0)})[1]
        assert [line[2] for line in steps[1:]] == ["3.00", "0", "0", "0", "0"]

    def test_the_page_that_is_committed_has_every_part(self):
        results = (Path(inference.__file__).parent / "RESULTS.md").read_text(encoding="utf-8")
        page = results.partition("\n## Inference\n")[2].partition("\n## ")[0]
        for part in (*batching.PARTS, *batching.MANY_WAYS):
            assert f"| {part} |" in page
        assert inference.NOTES.strip() in page

    def test_what_h2load_notes_is_counted_while_all_connections_ask(self):
        start_us = np.arange(0, 1e6, 1e4)  # a hundred a second, one in ten refused
        log = np.stack([start_us, np.where(np.arange(100) % 10, 200, 503), start_us * 0 + 5e3], 1)
        found = over_http.answers(log, 0.1, 0.8, 0.5)
        assert (found.asked, found.cores) == (pytest.approx(100, rel=0.03), 0.5)
        assert found.answered == pytest.approx(90, rel=0.03)
        assert (found.p50_ms, found.p99_ms) == (5.0, 5.0)


US_TRAINS = TRAINERS[0]
EPOCH_PARTS = dict.fromkeys(parts.PARTS, 0.01) | {parts.ALONE: 0.02, parts.WHOLE: 0.06}


class TestTraining:
    def test_the_parts_are_the_whole_and_the_stopwatches_are_put_away(self):
        forward = layers.ReLU.forward
        found = parts.seconds(1, in_batches(*images(256)))
        assert sum(found[part] for part in parts.PARTS) <= found[parts.WHOLE]
        assert min(found.values()) > 0
        assert layers.ReLU.forward is forward

    def test_training_while_loading(self, monkeypatch):
        monkeypatch.setattr(overlap, "WAIT_S", 0.001)
        eight, even = overlap.measure(1, 256)
        assert eight.at_once == overlap.AT_ONCE
        assert min(eight.load_s, eight.compute_s, eight.both_s, even.at_once) > 0
        assert overlap.Overlap(8, 2.0, 1.0, 3.0, 0.0).ratio == 1.5

    def test_each_way_to_take_a_step_is_measured(self):
        found = handover.seconds(1, in_batches(*images(256)))
        assert [*found] == [*handover.WAYS]
        assert min(found.values()) > 0

    def test_the_best_torch_is_the_one_to_beat(self):
        seconds = {"us": 0.085, "gemms": 0.1, "torch-eager": 0.3, "torch-fused": 0.1}
        row, late = training.epoch_rows({1: epochs.Run(seconds, seconds)})
        assert late.name == "an epoch, 1 thread (late)"
        assert limits_table([row])[1:] == [
            ["an epoch, 1 thread", "85 ms", "at most 0.85x the best torch (85)", "yes"],
            ["", "", "at most 0.9x the best torch (90)", "yes"],
            ["", "", "at most 1.35x matrix products alone (135)", "yes"],
        ]

    def test_a_small_run_of_us_and_the_products_writes_nothing(self, capsys, monkeypatch, tmp_path):
        monkeypatch.setattr(training, "THREADS", (1,))
        training.main(1, ["gemms"], tmp_path, size=256)
        said = capsys.readouterr().out
        assert "at most 1.35x matrix products alone (" in said
        assert "at most 0.85x the best torch" in said  # not measured
        assert "Adam" in said
        assert [*tmp_path.iterdir()] == []

    def test_the_page_says_the_rest_of_the_gap_and_who_is_missing(self):
        seconds, late = {"us": 0.06, "gemms": 0.02}, EPOCH_PARTS | {parts.ADAM: 0.04}
        run = epochs.Run(seconds, seconds, ["sklearn"])
        rows = training.epoch_rows({1: run})
        found = {"1 thread": EPOCH_PARTS, "1 thread, late": late}
        handed = dict.fromkeys(handover.WAYS, 0.003) | {handover.BARE: 0.002}
        page = training.page(rows, found, handed, [US_TRAINS], training.absences(run), "a machine")
        assert "MLPClassifier is missing: pip install" in page
        assert "3.00 times as long as the products alone" in page.replace("\n", " ")
        assert "Adam is 25%" in page.replace("\n", " ")
        assert (
            "| an epoch, 1 thread | 60 ms | at most 0.85x the best torch | not measured |" in page
        )
        assert "| workload | asyncml = 1 |\n" in page  # no second column of ours
        assert "Adam takes 4.0 times as long" in page.replace("\n", " ")
        assert "| Adam | 10 | 40 |" in page
        assert f"| {handover.PIPELINE} | 3.00 | 1.50x |" in page

    def test_the_page_that_is_committed_has_every_limit_and_peer(self):
        results = (Path(training.__file__).parent / "RESULTS.md").read_text(encoding="utf-8")
        page = results.partition("\n## Training\n")[2]
        row = Row("", "ms", {"us": 1.0})
        for limit in (*training.LIMITS[1], *training.LIMITS[2], Limit(5.0)):
            assert limit_text(limit, row) in page
        assert [peer for peer in TRAINERS if peer.name not in page] == []
        assert [way for way in handover.WAYS if f"| {way} | " not in page] == []


class TestThreads:
    def test_each_network_is_measured_alone_and_in_company(self, monkeypatch):
        monkeypatch.setattr(threads, "SIZES", ([4, 3], [4, 5, 3]))
        rows = threads.measure(1)
        assert [len(row) for row in rows] == [4, 4]
        assert min(map(min, rows)) > 0

    def test_the_table_says_how_many_times_as_long_all_take(self, monkeypatch):
        monkeypatch.setattr(threads, "SIZES", ([4, 3],))
        assert threads.threads_table([[2.0, 1.0, 3.0, 60.0]])[1:] == [
            ["4-3", "15", "2.00", "1.00", "0.50x", "3.00", "60", "20x"]
        ]

    def test_the_page_that_is_committed_has_every_network(self):
        results = (Path(threads.__file__).parent / "RESULTS.md").read_text(encoding="utf-8")
        page = results.partition("\n## BLAS threads\n")[2].partition("\n## ")[0]
        assert threads.NOTES.strip() in page
        for sizes in threads.SIZES:
            assert f"| {'-'.join(map(str, sizes))} |" in page

    def test_a_child_without_a_number_is_told_none(self, tmp_path, monkeypatch):
        source = "import json, os\nprint(json.dumps(dict(os.environ)))\n"
        (tmp_path / "says.py").write_text(source, encoding="utf-8")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        monkeypatch.setenv(THREADS[0], "1")
        assert not {*in_child("says")} & {*THREADS}


class TestAccuracy:
    def test_the_subset_alone_is_printed_and_not_written(self, capsys, monkeypatch, tmp_path):
        monkeypatch.delenv("ASYNCML_DATA", raising=False)
        monkeypatch.setattr(accuracy, "SEEDS", range(1))
        whole = accuracy.accuracy  # tests/training/test_fit.py learns as much in all ten epochs
        one = lambda train, test, epochs, seed: whole(train, test, 1, seed)  # noqa: E731
        monkeypatch.setattr(accuracy, "accuracy", one)
        accuracy.main(tmp_path)
        (row,) = [line for line in capsys.readouterr().out.splitlines() if "subset" in line]
        assert 0.7 < float(row.split()[5]) < 0.88  # 0.10 by chance
        assert [*tmp_path.iterdir()] == []

    def test_the_page_that_is_committed_has_the_full_set_above_its_limit(self):
        results = (Path(accuracy.__file__).parent / "RESULTS.md").read_text(encoding="utf-8")
        page = results.partition("\n## Accuracy\n")[2].partition("\n## ")[0]
        assert accuracy.NOTES.strip() in page
        shares = [line.split("|")[4] for line in page.splitlines() if "| the full set |" in line]
        assert len(shares) == len(accuracy.SEEDS)
        assert min(map(float, shares)) >= 0.89


class TestMeasuring:
    def test_a_child_has_as_many_threads_as_it_is_told(self, tmp_path, monkeypatch):
        (tmp_path / "says.py").write_text(
            "import json, os, sys\nprint(json.dumps([sys.argv[1:], dict(os.environ)]))\n",
            encoding="utf-8",
        )
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        arguments, environment = in_child("says", 3, "a", threads=2)
        assert arguments == ["3", "a"]
        assert {environment[name] for name in THREADS} == {"2"}

    def test_rounds_are_interleaved_and_a_slow_program_is_not_repeated(self):
        ran = []
        interleaved(lambda: ran.append(1), lambda: ran.append(2), rounds=2)
        assert ran == [1, 2, 1, 2]
        interleaved(lambda: ran.append(3), rounds=5, most_s=0.0)
        assert ran[4:] == [3]

    def test_a_million_is_counted_in_a_process_of_its_own(self):
        run = million.measured("hand", size=1_000)
        assert run.items == 1_000
        assert run.seconds > 0
        assert (run.peak_mb is None) == (sys.platform == "win32")

    def test_a_slow_peer_gets_no_more_items(self, monkeypatch):
        monkeypatch.setattr(million, "PATIENCE_S", -1.0)
        assert [*million.Source(1_000)] == []

    def test_a_step_counts(self):
        step = Step()
        step([1, 2, 3])
        step([4])
        assert step.items == 4


class TestCommandLine:
    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["lodaing"], "no such benchmark: lodaing; there are accuracy, distributed, "),
            (["loading", "--only", "us,him"], "no such peer: him; there are us, hand, "),
            (["loading", "--rounds", "0"], "--rounds must be at least 1, got 0"),
        ],
    )
    def test_what_does_not_exist(self, capsys, arguments, said):
        with pytest.raises(SystemExit):
            command.main(arguments)
        assert said in capsys.readouterr().err

    def test_only_some_of_the_peers_write_nothing(self, capsys, monkeypatch, tmp_path):
        tiny = Workload("tiny", "on_loop", nothing, same, 64, 4, "ms", 1e3, limits=(Limit(5.0),))
        monkeypatch.setattr(loading, "WORKLOADS", (tiny,))
        monkeypatch.setattr(million, "SIZE", 1_000)
        loading.main(rounds=1, only=["hand"], folder=tmp_path)
        said = capsys.readouterr().out
        assert "at most 5 ms" in said
        assert "asyncml = 1" in said
        assert "streamable" not in said
        assert [*tmp_path.iterdir()] == []


class TestDistributed:
    PARTS = {  # noqa: RUF012
        "alone": 2.0, "compute": 1.0, "messages": 0.5, "latency": 0.25, "update": 0.5,
        "two": 3.0, "all": 1.25, "there": 1.5, "size": 1000,
    }  # fmt: skip

    def test_a_small_run_has_a_row(self):
        pytest.importorskip("resource")
        got = distributed.scale(4, 20)
        (row,) = distributed.scale_table([(4, 20, got)])[1:]
        assert row[:3] == ["4", "20", "80"]
        assert got["bytes"] < 64

    def test_the_prediction_is_the_sum_of_its_parts(self):
        assert distributed.predictions(self.PARTS) == (1.75, 2.75)
        assert ["two processes, by the formula", "1.75"] in distributed.real_table(self.PARTS)
        text = distributed.where_it_pays(self.PARTS)
        assert "slower here: 3.00 ms against 2.00 ms" in text
        assert "some 192 on" in text.replace("\n", " ")  # 1.5 ms, at 1 / 64 ms an example, by half

    def test_the_page_is_of_this_benchmark(self):
        results = (Path(distributed.__file__).parent / "RESULTS.md").read_text(encoding="utf-8")
        page = results.partition("\n## Distributed\n")[2].partition("\n## ")[0]
        assert distributed.NOTES.strip() in page
