"""The Open Inference Protocol, version 2: from the bytes of a request to an array, and back.

Tensors travel as JSON, or as raw bytes after the JSON (the binary tensor extension, whose header
gives the length of the JSON). Anything wrong with a request raises a `BadRequest` that names it.

Source: KServe, Open Inference Protocol (V2), "HTTP/REST"; Triton Inference Server, "Binary Tensor
Data Extension".
"""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from asyncml.failures import shorten

Array = npt.NDArray[Any]

LENGTH_HEADER = "inference-header-content-length"
INPUT, OUTPUT = "input", "output"
DATATYPES = {"BOOL": "?"} | {
    f"{name}{8 * size}": f"{code}{size}"
    for name, code, sizes in (
        ("UINT", "u", (1, 2, 4, 8)),
        ("INT", "i", (1, 2, 4, 8)),
        ("FP", "f", (2, 4, 8)),
    )
    for size in sizes
}
_NAMES = {np.dtype(code): name for name, code in DATATYPES.items()}
# how many numbers are written, and how many bytes read, before other threads have their turn
_PIECE, _LARGE = 4096, 65_536
# how many commas a request may have that are not between its numbers
_COMMAS = 1000
_KINDS = {"b": "b", "i": "iu", "u": "iu", "f": "fiu"}  # of a tensor -> of the numbers it takes


class BadRequest(ValueError):
    """A request cannot be answered; the message tells the client why."""


@dataclass(frozen=True)
class Tensor:
    """The name and the form of one of a model's tensors.

    Args:
        name: its name in requests and responses.
        dtype: of its numbers.
        shape: of one row.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def datatype(self) -> str:
        """Its dtype as the protocol writes it; ValueError if the protocol has none for it."""
        try:
            return _NAMES[self.dtype]
        except KeyError:
            raise ValueError(
                f"the protocol has no datatype for {self.dtype}: use one of "
                f"{', '.join(map(str, _NAMES))}"
            ) from None

    def metadata(self) -> dict[str, Any]:
        """Return its description; -1 stands for any number of rows."""
        return {"name": self.name, "datatype": self.datatype, "shape": [-1, *self.shape]}


@dataclass(frozen=True)
class Request:
    """A valid inference request.

    Args:
        rows: (n, ...) of the model's dtype.
        id: what the response must repeat, if anything.
        binary: whether the output is wanted as bytes.
        timeout_s: the client's deadline, in seconds; None if it has none.
    """

    rows: Array
    id: str | None
    binary: bool
    timeout_s: float | None


def read(
    body: bytes | bytearray, json_length: str | None, tensor: Tensor, most_rows: int
) -> Request:
    """Read the body of an inference request.

    Args:
        body: as received.
        json_length: the header that says how many of its bytes are JSON; None: all.
        tensor: the model's input.
        most_rows: how many rows one request may have.

    Raises:
        BadRequest: the request cannot be answered.
    """
    text, rest = _split(body, json_length)
    most = most_rows * math.prod(tensor.shape)
    if text.count(b",") > most + _COMMAS:  # before it costs memory
        raise BadRequest(f"a request may have {most} numbers, in {most_rows} rows")
    fields = "id", "parameters", "inputs", "outputs"
    message = _object(_parse(text), "the request", fields)
    identity = message.get("id")
    if not isinstance(identity, str | None):
        raise BadRequest(f"`id` must be a string, got {shorten(identity)}")
    parameters = _object(message.get("parameters", {}), "`parameters`")
    inputs = message.get("inputs")
    if not isinstance(inputs, list) or len(inputs) != 1:
        raise BadRequest(f"`inputs` must hold one tensor, {tensor.name!r}")
    rows = _rows(inputs[0], rest, tensor, most_rows)
    return Request(rows, identity, _wants_binary(message, parameters), _timeout_s(parameters))


def write(output: Array, tensor: Tensor, model: str, request: Request) -> tuple[bytes, int | None]:
    """Return the body of the response, and the length of its JSON in bytes if more follows it."""
    answer: dict[str, Any] = {
        "name": tensor.name,
        "datatype": tensor.datatype,
        "shape": list(output.shape),
    }
    message: dict[str, Any] = {"model_name": model}
    if request.id is not None:
        message["id"] = request.id
    message["outputs"] = [answer]  # last, so that its data come last
    if not request.binary:
        text = json.dumps(message)
        return f'{text[:-3]}, "data": [{_listed(output)}]}}]}}'.encode(), None
    raw = np.ascontiguousarray(output, output.dtype.newbyteorder("<")).tobytes()
    answer["parameters"] = {"binary_data_size": len(raw)}
    head = json.dumps(message).encode()
    return head + raw, len(head)


def _listed(output: Array) -> str:
    """Return the numbers, separated by commas, as JSON; null for those that JSON cannot express."""
    flat = output.reshape(-1)
    # in pieces: `json` holds the GIL while it works, and the event loop would wait
    pieces = [flat[start : start + _PIECE] for start in range(0, flat.size, _PIECE)]
    return ", ".join(json.dumps(_finite(piece), allow_nan=False)[1:-1] for piece in pieces)


def _finite(piece: Array) -> list[Any]:
    numbers: list[Any] = piece.tolist()
    if piece.dtype.kind == "f" and not np.isfinite(piece).all():
        return [number if math.isfinite(number) else None for number in numbers]
    return numbers


def _split(
    body: bytes | bytearray, json_length: str | None
) -> tuple[bytes | bytearray, memoryview | None]:
    if json_length is None:
        return body, None
    # not int(), which also takes "+1_0" and digits of other scripts
    if not (json_length.isascii() and json_length.isdigit() and len(json_length) < 20):
        raise BadRequest(f"`{LENGTH_HEADER}` must be a number of bytes, got {shorten(json_length)}")
    length = int(json_length)
    if length > len(body):
        raise BadRequest(f"`{LENGTH_HEADER}` says {length}, but the body has {len(body)} bytes")
    return body[:length], memoryview(body)[length:]


def _parse(text: bytes | bytearray) -> Any:
    # `json` holds the GIL while it reads a text, unless it calls Python functions
    hooks: dict[str, Any] = {"parse_float": _float, "parse_int": _int} if len(text) > _LARGE else {}
    try:
        return json.loads(text, parse_constant=_refuse_constant, **hooks)
    except BadRequest:
        raise
    except RecursionError:
        raise BadRequest("the JSON is nested too deeply") from None
    except ValueError as error:  # of its syntax, of its encoding, or a number with too many digits
        raise BadRequest(f"the body is not JSON: {shorten(str(error))}") from None


def _float(text: str) -> float:
    return float(text)


def _int(text: str) -> int:
    return int(text)


def _refuse_constant(word: str) -> NoReturn:
    raise BadRequest(f"JSON has no {word}: numbers must be finite")


def _object(value: Any, what: str, fields: Iterable[str] | None = None) -> dict[str, Any]:
    """Return a JSON object that has no fields but these; None allows any."""
    if not isinstance(value, dict):
        raise BadRequest(f"{what} must be a JSON object, got {shorten(value)}")
    for key in () if fields is None else value.keys() - {*fields}:
        raise BadRequest(f"{what} has no field {shorten(key)}")
    return value


def _rows(given: Any, rest: memoryview | None, tensor: Tensor, most_rows: int) -> Array:
    fields = "name", "shape", "datatype", "parameters", "data"
    given = _object(given, "a tensor of `inputs`", fields)
    if given.get("name") != tensor.name:
        raise BadRequest(f"the input is called {tensor.name!r}, got {shorten(given.get('name'))}")
    if given.get("datatype") != tensor.datatype:
        got = shorten(given.get("datatype"))
        raise BadRequest(f"`datatype` of {tensor.name!r} must be {tensor.datatype}, got {got}")
    count = _count(given.get("shape"), tensor, most_rows)
    parameters = _object(given.get("parameters", {}), "`parameters` of a tensor")
    size = parameters.get("binary_data_size")
    if (size is None) == ("data" not in given):
        raise BadRequest("a tensor needs either `data`, or `binary_data_size` in its `parameters`")
    shape = count, *tensor.shape
    rows = _of_json(given["data"], tensor, shape) if size is None else None
    if rows is None:
        rows = _of_bytes(size, rest, tensor, shape)
    elif rest:
        raise BadRequest(f"{len(rest)} bytes follow the JSON, and no tensor is said to have them")
    if rows.dtype.kind == "f" and not np.isfinite(rows).all():
        raise BadRequest(f"{tensor.name!r} must hold finite numbers of {tensor.datatype}")
    return rows


def _count(shape: Any, tensor: Tensor, most_rows: int) -> int:
    right = isinstance(shape, list) and all(type(size) is int for size in shape) and shape
    if not right or tuple(shape[1:]) != tensor.shape or shape[0] < 1:
        wanted = ", ".join(["n", *map(str, tensor.shape)])
        raise BadRequest(f"`shape` must be [{wanted}] with n >= 1, got {shorten(shape)}")
    if shape[0] > most_rows:
        raise BadRequest(f"a request may have {most_rows} rows, got {shape[0]}")
    return int(shape[0])


def _of_json(data: Any, tensor: Tensor, shape: tuple[int, ...]) -> Array:
    if not isinstance(data, list):
        raise BadRequest(f"`data` must be a list of numbers, got {shorten(data)}")
    try:
        array = np.asarray(data)
    except (ValueError, OverflowError, RecursionError):
        array = np.empty(0, object)
    size = math.prod(shape)
    if array.dtype.kind == "O":
        raise BadRequest("`data` must be numbers, flat or nested with rows of one length")
    if array.shape not in (shape, (size,)):
        raise BadRequest(f"`data` must have {size} numbers, flat or as {list(shape)}, got "
                         f"{list(array.shape)}")  # fmt: skip
    if array.dtype.kind == "f" and tensor.dtype.kind in "iu":
        array = _whole(data, array)
    if array.dtype.kind not in _KINDS[tensor.dtype.kind]:
        raise BadRequest(f"`data` must be of {tensor.datatype}, got {array.dtype}")
    if tensor.dtype.kind in "iu":
        limits = np.iinfo(tensor.dtype)
        if int(array.min()) < limits.min or int(array.max()) > limits.max:
            raise BadRequest(f"`data` of {tensor.datatype} must be {limits.min} to {limits.max}")
    with np.errstate(over="ignore"):  # the result is checked
        return array.astype(tensor.dtype).reshape(shape)


def _whole(data: list[Any], array: Array) -> Array:
    """Return a mix of ints below and above 2**63 exactly: NumPy would make floats of them."""
    exact = np.array(data, object)
    if not all(type(number) is int for number in exact.flat) or exact.min() < 0:
        return array
    return exact.astype(np.uint64)


def _of_bytes(size: Any, rest: memoryview | None, tensor: Tensor, shape: tuple[int, ...]) -> Array:
    if rest is None:
        raise BadRequest(f"binary data needs the header `{LENGTH_HEADER}`")
    wanted = math.prod(shape) * tensor.dtype.itemsize
    if size != wanted or type(size) is not int:
        raise BadRequest(
            f"`binary_data_size` of {list(shape)} must be {wanted}, got {shorten(size)}"
        )
    if len(rest) != wanted:
        raise BadRequest(f"{wanted} bytes must follow the JSON, got {len(rest)}")
    little = np.frombuffer(rest, tensor.dtype.newbyteorder("<")).reshape(shape)
    if tensor.dtype.kind == "b" and little.view(np.uint8).max() > 1:
        raise BadRequest("a byte of BOOL must be 0 or 1")
    return little.astype(tensor.dtype)  # in the machine's byte order, and writable


def _wants_binary(message: dict[str, Any], parameters: dict[str, Any]) -> bool:
    binary = parameters.get("binary_data_output", False)
    outputs = message.get("outputs", [])
    if not isinstance(outputs, list) or len(outputs) > 1:
        raise BadRequest(f"`outputs` must be a list of one output, {OUTPUT!r}")
    for output in outputs:
        wanted = _object(output, "an output of `outputs`")
        if wanted.get("name") != OUTPUT:
            raise BadRequest(f"the output is called {OUTPUT!r}, got {shorten(wanted.get('name'))}")
        own = _object(wanted.get("parameters", {}), "`parameters` of an output")
        if "classification" in own:
            raise BadRequest("`classification` is not supported: take the largest output yourself")
        binary = own.get("binary_data", binary)
    if not isinstance(binary, bool):
        raise BadRequest(f"whether data is binary must be true or false, got {shorten(binary)}")
    return binary


def _timeout_s(parameters: dict[str, Any]) -> float | None:
    timeout = parameters.get("timeout")  # microseconds, as Triton's clients send it
    if timeout is None:
        return None
    if type(timeout) is not int or timeout <= 0:
        raise BadRequest(f"`timeout` must be microseconds > 0, got {shorten(timeout)}")
    return float(min(timeout, 10**15)) / 1e6
