"""The Open Inference Protocol: what is right comes back, and what is wrong is named."""

import json
import re
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from asyncml.serving.protocol import DATATYPES, BadRequest, Request, Tensor, _parse, read, write

FLOATS = Tensor("input", np.dtype("f4"), (2,))


def body(**changes):
    tensor = {"name": "input", "shape": [1, 2], "datatype": "FP32", "data": [1, 2.5]}
    tensor.update(changes.pop("tensor", {}))
    message = {"inputs": [{k: v for k, v in tensor.items() if v is not ...}], **changes}
    return json.dumps(message).encode()


def binary(data, size=None, **changes):
    size = len(data) if size is None else size
    tensor = {"data": ..., "parameters": {"binary_data_size": size}, **changes}
    head = body(tensor=tensor)
    return head + data, str(len(head))


@given(
    st.sampled_from([*DATATYPES]),
    st.lists(st.integers(1, 3), max_size=3),
    st.integers(1, 4),
    st.booleans(),
    st.booleans(),
    st.data(),
)
def test_what_is_written_is_read(datatype, shape, rows, as_bytes, nested, data):
    dtype = np.dtype(DATATYPES[datatype])
    options = {"allow_nan": False, "allow_infinity": False} if dtype.kind == "f" else {}
    elements = hnp.from_dtype(dtype, **options)
    array = data.draw(hnp.arrays(dtype, (rows, *shape), elements=elements))
    tensor = Tensor("input", dtype, tuple(shape))
    request = Request(array, "7", as_bytes, None)
    text, length = write(array, tensor, "m", request)
    head = json.loads(text[:length])
    (output,) = head["outputs"]
    assert head["id"] == "7"
    assert output["shape"] == [rows, *shape]
    if nested and not as_bytes:
        output["data"] = array.tolist()
    sent = json.dumps({"id": head["id"], "inputs": [output]}).encode()
    sent, length = (sent + text[length:], str(len(sent))) if as_bytes else (sent, None)
    again = read(sent, length, tensor, 4)
    assert again.rows.dtype == dtype
    np.testing.assert_array_equal(again.rows, array)
    assert again.id == "7"
    again.rows[...] = 0  # is the model's own


def test_whole_numbers_below_and_above_2_to_63_are_read_exactly():
    tensor = Tensor("input", np.dtype("u8"), (2,))
    data = {"datatype": "UINT64", "data": [1, 2**64 - 1]}
    assert read(body(tensor=data), None, tensor, 1).rows.tolist() == [[1, 2**64 - 1]]
    for wrong in ([-1, 2**63], [0.5, 2**63], [1, 2**64]):
        with pytest.raises(BadRequest, match="`data` must be"):
            read(body(tensor=data | {"data": wrong}), None, tensor, 1)


def test_more_numbers_than_can_be_right_are_refused_before_they_are_read():
    for data in ("[]", "{}", "7", '""'):
        text = f'{{"inputs": [{{"data": [{",".join([data] * 5000)}]}}]}}'.encode()
        with pytest.raises(BadRequest, match="may have 8 numbers, in 4 rows"):
            read(text, None, FLOATS, 4)


@pytest.mark.parametrize("dtype", ["f4", "i8", "?"])
def test_many_numbers_are_written_and_read_in_pieces(dtype):
    tensor = Tensor("input", np.dtype(dtype), (3,))
    array = (np.arange(30_000) % 7).astype(dtype).reshape(-1, 3) + np.dtype(dtype).type(0)
    text, _ = write(array, tensor, "m", Request(array, None, False, None))
    (output,) = json.loads(text)["outputs"]
    sent = json.dumps({"inputs": [output]}).encode()
    np.testing.assert_array_equal(read(sent, None, tensor, 10_000).rows, array)


def test_while_a_large_body_is_read_other_threads_go_on():
    numbers = ", ".join(["0.123456"] * 1_000_000)
    head = '{"inputs": [{"name": "input", "shape": [1000, 1000], "datatype": "FP32", "data": ['
    text = f"{head}{numbers}]}}]}}".encode()
    turns, done = 0, threading.Event()

    def count():
        nonlocal turns
        while not done.wait(0.001):
            turns += 1

    other = threading.Thread(target=count)
    other.start()
    try:
        _parse(text)
    finally:
        done.set()
        other.join()
    assert turns >= 5  # it takes some 200 ms, and was none before


def test_what_json_cannot_say_is_null():
    request = Request(np.zeros(1), None, False, None)
    text, _ = write(np.array([1.0, np.nan, np.inf]), FLOATS, "m", request)
    assert json.loads(text)["outputs"][0]["data"] == [1.0, None, None]


@pytest.mark.parametrize(
    ("parameters", "outputs", "expected"),
    [
        ({}, [], False),
        ({"binary_data_output": True}, [], True),
        ({}, [{"name": "output", "parameters": {"binary_data": True}}], True),
        (
            {"binary_data_output": True},
            [{"name": "output", "parameters": {"binary_data": False}}],
            False,
        ),
    ],
)
def test_the_form_of_the_output_is_chosen(parameters, outputs, expected):
    assert read(body(parameters=parameters, outputs=outputs), None, FLOATS, 1).binary is expected


def test_a_deadline_is_in_microseconds():
    assert read(body(parameters={"timeout": 2_500_000}), None, FLOATS, 1).timeout_s == 2.5


NESTED = b'{"inputs": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
WRONG = [
    (b"", "the body is not JSON"),
    (b"{", "the body is not JSON"),
    (b"\xff\xfe", "the body is not JSON"),
    (b'{"inputs": [' + b"9" * 5000 + b"]}", "the body is not JSON"),
    (NESTED, "nested too deeply"),
    (b"[]", "the request must be a JSON object, got []"),
    (b"{}", "`inputs` must hold one tensor, 'input'"),
    (b'{"inputs": []}', "`inputs` must hold one tensor"),
    (b'{"inputs": [3]}', "a tensor of `inputs` must be a JSON object, got 3"),
    (body(more=1), "the request has no field 'more'"),
    (body(id=3), "`id` must be a string, got 3"),
    (body(parameters=[]), "`parameters` must be a JSON object"),
    (body(parameters={"timeout": -1}), "`timeout` must be microseconds > 0, got -1"),
    (body(parameters={"timeout": 1.5}), "`timeout` must be microseconds"),
    (body(parameters={"binary_data_output": 1}), "must be true or false, got 1"),
    (body(outputs={}), "`outputs` must be a list of one output"),
    (body(outputs=[{"name": "y"}]), "the output is called 'output', got 'y'"),
    (body(outputs=[{}]), "the output is called 'output', got None"),
    (body(outputs=[{"name": "output", "parameters": {"classification": 3}}]), "`classification`"),
    (body(tensor={"name": "x"}), "the input is called 'input', got 'x'"),
    (body(tensor={"datatype": "FP64"}), "`datatype` of 'input' must be FP32, got 'FP64'"),
    (body(tensor={"datatype": ["FP32"]}), "`datatype` of 'input' must be FP32"),
    (body(tensor={"extra": 1}), "a tensor of `inputs` has no field 'extra'"),
    (body(tensor={"shape": [2, 2]}), "`data` must have 4 numbers, flat or as [2, 2], got [2]"),
    (body(tensor={"shape": [1, 3]}), "`shape` must be [n, 2] with n >= 1, got [1, 3]"),
    (body(tensor={"shape": [0, 2], "data": []}), "`shape` must be [n, 2] with n >= 1"),
    (body(tensor={"shape": [-1, 2]}), "`shape` must be [n, 2] with n >= 1"),
    (body(tensor={"shape": [True, 2]}), "`shape` must be [n, 2]"),
    (body(tensor={"shape": [1.0, 2]}), "`shape` must be [n, 2]"),
    (body(tensor={"shape": 2}), "`shape` must be [n, 2]"),
    (body(tensor={"shape": []}), "`shape` must be [n, 2]"),
    (body(tensor={"shape": ...}), "`shape` must be [n, 2]"),
    (body(tensor={"shape": [5, 2], "data": [0] * 10}), "a request may have 4 rows, got 5"),
    (body(tensor={"data": ...}), "a tensor needs either `data`"),
    (body(tensor={"data": 3}), "`data` must be a list of numbers, got 3"),
    (body(tensor={"data": [[1, 2], [3]]}), "`data` must be numbers, flat or nested"),
    (body(tensor={"data": ["1", "2"]}), "`data` must be of FP32, got <U1"),
    (body(tensor={"data": [True, False]}), "`data` must be of FP32, got bool"),
    (body(tensor={"data": [None, 1]}), "`data` must be numbers"),
    (body(tensor={"data": [{}, 1]}), "`data` must be numbers"),
    (body(tensor={"data": [10**400, 1]}), "`data` must be numbers"),
    (body(tensor={"data": [float("nan"), 1]}), "JSON has no NaN"),
    (body(tensor={"data": [float("-inf"), 1]}), "JSON has no -Infinity"),
    (body().replace(b"2.5", b"1e999"), "must hold finite numbers"),
    (body(tensor={"data": [1e300, 1]}), "must hold finite numbers of FP32"),
    (body(tensor={"data": ..., "parameters": {"binary_data_size": 8}}), "needs the header"),
    (body(tensor={"parameters": {"binary_data_size": 8}}), "a tensor needs either"),
]


@pytest.mark.parametrize(("sent", "message"), WRONG, ids=range(len(WRONG)))
def test_what_is_wrong_with_a_request_is_named(sent, message):
    with pytest.raises(BadRequest, match=re.escape(message)):
        read(sent, None, FLOATS, 4)


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (binary(b"1234567"), "`binary_data_size` of [1, 2] must be 8, got 7"),
        (binary(b"1234567", 8), "8 bytes must follow the JSON, got 7"),
        (binary(b"12345678", "8"), "`binary_data_size` of [1, 2] must be 8, got '8'"),
        (binary(b"12345678", True), "`binary_data_size` of [1, 2] must be 8, got True"),
        (binary(b"123456789", 8), "8 bytes must follow the JSON, got 9"),
        (binary(np.array([np.nan, 1], "f4").tobytes()), "must hold finite numbers"),
        ((body() + b"1234", str(len(body()))), "4 bytes follow the JSON"),
        ((body(), "9999"), "says 9999, but the body has"),
        ((body(), "-1"), "must be a number of bytes, got '-1'"),
        ((body(), "1_0"), "must be a number of bytes"),
        ((body(), "٣"), "must be a number of bytes"),
        ((body(), "9" * 5000), "must be a number of bytes"),
        ((body(), ""), "must be a number of bytes"),
        ((body(), "3"), "the body is not JSON"),
    ],
)
def test_what_is_wrong_with_binary_data_is_named(sent, message):
    with pytest.raises(BadRequest, match=re.escape(message)):
        read(*sent, FLOATS, 4)


@pytest.mark.parametrize(
    ("datatype", "data", "message"),
    [
        ("UINT8", [256], "`data` of UINT8 must be 0 to 255"),
        ("UINT8", [-1], "`data` of UINT8 must be 0 to 255"),
        ("INT64", [2**64], "`data` must be"),
        ("INT32", [1.0], "`data` must be of INT32, got float64"),
        ("BOOL", [1], "`data` must be of BOOL, got int64"),
    ],
)
def test_numbers_of_another_kind_are_refused(datatype, data, message):
    tensor = Tensor("input", np.dtype(DATATYPES[datatype]), ())
    sent = body(tensor={"shape": [1], "datatype": datatype, "data": data})
    with pytest.raises(BadRequest, match=re.escape(message)):
        read(sent, None, tensor, 4)


def test_a_bool_is_a_byte_of_0_or_1():
    tensor = Tensor("input", np.dtype(bool), ())
    sent = binary(b"\x02", shape=[1], datatype="BOOL")
    with pytest.raises(BadRequest, match="a byte of BOOL must be 0 or 1"):
        read(*sent, tensor, 4)


@given(st.binary(max_size=200), st.one_of(st.none(), st.text(max_size=4), st.integers().map(str)))
def test_no_bytes_do_anything_else(data, length):
    with pytest.raises(BadRequest):
        read(data, length, FLOATS, 4)


@given(st.binary(max_size=40), st.integers(-2, 200), st.integers(0, 60))
def test_no_binary_tensor_does_anything_else(data, shift, cut):
    sent, length = binary(data)
    try:
        request = read(sent[: len(sent) - cut], str(max(0, int(length) + shift)), FLOATS, 4)
    except BadRequest:
        return
    assert request.rows.shape == (1, 2)


def test_a_dtype_that_the_protocol_lacks_is_refused():
    with pytest.raises(ValueError, match="no datatype for complex64: use one of bool, uint8"):
        _ = Tensor("x", np.dtype("c8"), ()).datatype
