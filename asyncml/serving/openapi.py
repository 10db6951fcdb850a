"""The routes of a server as an OpenAPI document, for programs that write or test clients."""

from typing import Any

from asyncml.serving.protocol import INPUT, LENGTH_HEADER, OUTPUT, Tensor

_Schema = dict[str, Any]


def document(model: str, tensor: Tensor) -> dict[str, Any]:
    """Return the OpenAPI document for a server of that model."""
    path = f"/v2/models/{model}"
    gets = {"/v2": [], "/v2/health/live": [], "/v2/health/ready": [503], path: [503],
            f"{path}/ready": [503], "/openapi.json": []}  # fmt: skip
    paths: dict[str, Any] = {
        place: {"get": {"responses": _responses({"type": "object"}, errors)}}
        for place, errors in gets.items()
    }
    paths["/metrics"] = {
        "get": {"responses": {"200": _content("Metrics.", {"type": "string"}, "text/plain")}}
    }
    length = {"type": "integer", "minimum": 0}
    paths[f"{path}/infer"] = {
        "post": {
            "summary": "The model's output for n rows; all of them or none.",
            "parameters": [{"name": LENGTH_HEADER, "in": "header", "schema": length}],
            "requestBody": {"required": True, **_content("", _request(tensor))},
            "responses": _responses(_response(), [400, 408, 413, 415, 500, 503]),
        }
    }
    info = {"title": f"{model}: the Open Inference Protocol", "version": "2"}
    return {"openapi": "3.1.0", "info": info, "paths": paths}


def _content(description: str, schema: _Schema, kind: str = "application/json") -> dict[str, Any]:
    return {"description": description, "content": {kind: {"schema": schema}}}


def _responses(schema: _Schema, errors: list[int]) -> dict[str, Any]:
    wrong = _content("What is wrong.", _object(["error"], error={"type": "string"}))
    return {"200": _content("Right.", schema), **{str(status): wrong for status in errors}}


def _object(required: list[str], is_closed: bool = False, **properties: _Schema) -> _Schema:
    closed = {"additionalProperties": False} if is_closed else {}
    return {"type": "object", "required": required, "properties": properties, **closed}


def _list(items: _Schema, **bounds: int) -> _Schema:
    return {"type": "array", "items": items, **bounds}


def _request(tensor: Tensor) -> _Schema:
    sizes = [{"type": "integer", "minimum": 1}, *({"const": length} for length in tensor.shape)]
    bounds = {"minItems": len(sizes), "maxItems": len(sizes)}
    given = _object(
        ["name", "shape", "datatype", "data"],
        is_closed=True,
        name={"const": INPUT},
        shape={"type": "array", "prefixItems": sizes, **bounds},
        datatype={"const": tensor.datatype},
        data={"type": "array"},
    )
    timeout = {"type": "integer", "minimum": 1, "description": "Microseconds."}
    return _object(
        ["inputs"],
        is_closed=True,
        id={"type": "string"},
        parameters=_object([], timeout=timeout, binary_data_output={"type": "boolean"}),
        inputs=_list(given, minItems=1, maxItems=1),
        outputs=_list(_object(["name"], name={"const": OUTPUT}), maxItems=1),
    )


def _response() -> _Schema:
    output = _object(
        ["name", "shape", "datatype", "data"], name={"const": OUTPUT}, data={"type": "array"}
    )
    return _object(["model_name", "outputs"], model_name={"type": "string"}, outputs=_list(output))
