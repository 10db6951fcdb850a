"""The server: what its routes answer, and what is wrong with an app or a model."""

import asyncio
import json
import logging

import numpy as np
import pytest

from asyncml.serving import MicroBatcher, create_app
from tests.serving.server import EXAMPLE, INFER, body, httpx, serving, twice


def test_the_answer_is_the_models():
    async def main():
        async with serving(MicroBatcher(twice)) as client:
            rows = [[1, 2, 3], [4, 5, 6.5]]
            answer = await client.post(INFER, json=body(*rows) | {"id": "a"})
            return answer.status_code, answer.json()

    status, answer = asyncio.run(main())
    assert status == 200
    output = {"name": "output", "datatype": "FP32", "shape": [2, 3], "data": [2, 4, 6, 8, 10, 13]}
    assert answer == {"model_name": "model", "id": "a", "outputs": [output]}


def test_what_it_says_about_itself():
    async def main():
        async with serving(MicroBatcher(lambda x: x.sum(1) > 0), name="m") as client:
            paths = ["/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/m/ready"]
            for path in [*paths, "/metrics", "/openapi.json"]:
                assert (await client.get(path)).status_code == 200
            for path in ("/", "/v2/models/other", "/v2/models/m/versions/1"):
                answer = await client.get(path)
                assert answer.status_code == 404
                assert answer.json()["error"] == f"GET {path}: Not Found"
            wrong = await client.get("/v2/models/m/infer")
            assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
            return (await client.get("/v2/models/m")).json()

    answer = asyncio.run(main())
    assert answer["inputs"] == [{"name": "input", "datatype": "FP32", "shape": [-1, 3]}]
    assert answer["outputs"] == [{"name": "output", "datatype": "BOOL", "shape": [-1]}]


def test_metrics_for_prometheus():
    parser = pytest.importorskip("prometheus_client.parser")

    async def main():
        async with serving(MicroBatcher(twice, max_batch_size=4), name="m") as client:
            await client.post("/v2/models/m/infer", json=body(*[[0, 0, 0]] * 6))
            answer = await client.get("/metrics")
            assert answer.headers["content-type"].startswith("text/plain")
            return answer.text

    families = {f.name: f for f in parser.text_string_to_metric_families(asyncio.run(main()))}
    samples = {
        (s.name, s.labels.get("reason", s.labels.get("le"))): s.value
        for family in families.values()
        for s in family.samples
    }
    assert samples["asyncml_requests_total", None] == 7  # with the example at the start
    assert samples["asyncml_batches_total", "full"] == 1
    assert samples["asyncml_batch_rows_bucket", "2.0"] == 2
    assert samples["asyncml_batch_rows_bucket", "+Inf"] == 3
    assert samples["asyncml_batch_rows_sum", None] == 7
    assert samples["asyncml_queued", None] == 0


def test_bad_requests_are_told_what_is_wrong():
    async def main():
        async with serving(MicroBatcher(twice, max_pending=4)) as client:
            for sent, message in [
                (b"{", "the body is not JSON"),
                (json.dumps(body([1, 2])).encode(), "`data` must have 3 numbers"),
                (json.dumps(body(*[[1, 2, 3]] * 5)).encode(), "may have 4 rows, got 5"),
            ]:
                answer = await client.post(INFER, content=sent)
                assert answer.status_code == 400
                assert message in answer.json()["error"]
            packed = {"Content-Encoding": "gzip"}
            assert (await client.post(INFER, content=b"", headers=packed)).status_code == 415
            good = await client.post(INFER, json=body([1, 2, 3]))
            assert good.status_code == 200

    asyncio.run(main())


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"name": "a/b"}, ValueError, "`name` must be of letters"),
        ({"name": ""}, ValueError, "`name` must be of letters"),
        ({"name": 3}, ValueError, "`name` must be of letters"),
        ({"example": np.zeros(3, complex)}, ValueError, "no datatype for complex128"),
        ({"example": ["a"]}, ValueError, "no datatype for"),
        ({"max_body_bytes": 0}, ValueError, "`max_body_bytes` must be >= 1"),
        ({"name": "é"}, ValueError, "`name` must be of letters"),
        ({"name": ".."}, ValueError, "`name` must be of letters"),
        ({"body_timeout_s": 0}, ValueError, "`body_timeout_s` must be > 0 and finite, got 0"),
        ({"body_timeout_s": -1}, ValueError, "`body_timeout_s` must be > 0 and finite"),
        ({"body_timeout_s": float("nan")}, ValueError, "`body_timeout_s` must be > 0"),
        ({"body_timeout_s": float("inf")}, ValueError, "`body_timeout_s` must be > 0"),
        ({"body_timeout_s": "3"}, TypeError, "`body_timeout_s` must be a number"),
    ],
)
def test_bad_arguments_are_refused(options, error, message):
    with pytest.raises(error, match=message):
        create_app(MicroBatcher(twice), **{"example": EXAMPLE, **options})
    with pytest.raises(TypeError, match="`batcher` must be a MicroBatcher"):
        create_app(twice, example=EXAMPLE)


def test_not_ready_before_it_has_started_and_after_its_end():
    async def main():
        app = create_app(MicroBatcher(twice), example=EXAMPLE)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            assert (await client.get("/v2/health/live")).status_code == 200
            for _ in range(2):
                for path in ("/v2/health/ready", "/v2/models/model", "/v2/models/model/ready"):
                    assert (await client.get(path)).status_code == 503
                answer = await client.post(INFER, json=body([1, 2, 3]))
                assert answer.status_code == 503
                async with app.router.lifespan_context(app):
                    assert (await client.get("/v2/health/ready")).status_code == 200

    asyncio.run(main())


def test_a_model_that_returns_no_numbers_does_not_start():
    async def main():
        app = create_app(MicroBatcher(lambda x: [None] * len(x)), example=EXAMPLE)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            with pytest.raises(ValueError, match="no datatype for object"):
                async with app.router.lifespan_context(app):
                    pass
            assert (await client.get("/v2/health/ready")).status_code == 503

    asyncio.run(main())


@pytest.mark.parametrize("error", [KeyError, ValueError, RuntimeError, StopIteration])
@pytest.mark.parametrize("whose", ["predict_fn", "weigh"])
def test_what_fails_inside_shows_nothing_of_itself(whose, error, caplog):
    def fails(x):
        if x.any():
            raise error("the password is 1234")
        return 1 if whose == "weigh" else x

    async def main():
        async with serving(MicroBatcher(**{"predict_fn": twice, whose: fails})) as client:
            with caplog.at_level(logging.ERROR, "asyncml.serving"):
                return await client.post(INFER, json=body([1, 1, 1]))

    answer = asyncio.run(main())
    assert answer.status_code == 500
    assert answer.json() == {"error": "the model failed on this request"}
    assert "the password is 1234" in caplog.text
    assert ("`weigh` was given array([1., 1., 1.]" in caplog.text) is (whose == "weigh")


@pytest.mark.parametrize(
    ("output", "status"),
    [
        (lambda x: x.astype("f8"), 200),  # is what it says it is: FP32
        (lambda x: x.astype("i2"), 200),
        (lambda x: x.astype(complex), 500),
        (lambda x: x.astype(str), 500),
        (lambda x: x[:, :2], 500),
        (lambda x: x[:, 0], 500),
        (lambda x: [[1, 2, 3], [4, 5]], 500),
        (lambda x: [None, None], 500),
        (lambda x: x[:1], 500),
        (lambda x: None, 500),
    ],
)
def test_an_output_unlike_the_examples_is_cast_or_is_the_models_failure(output, status, caplog):
    async def main():
        model = MicroBatcher(lambda x: output(x) if x.any() else x)
        async with serving(model) as client:
            sent = body([1, 2, 3], [4, 5, 6]) | {"parameters": {"binary_data_output": True}}
            with caplog.at_level(logging.CRITICAL, "asyncml.serving"):
                answer = await client.post(INFER, json=sent)
            assert answer.status_code == status
            if status == 200:
                start = int(answer.headers["inference-header-content-length"])
                assert np.frombuffer(answer.content[start:], "<f4").tolist() == [1, 2, 3, 4, 5, 6]
            else:
                assert answer.json() == {"error": "the model failed on this request"}

    asyncio.run(main())
