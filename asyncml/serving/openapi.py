"""The routes of a server in the form of OpenAPI, for programs that write or test clients."""

from typing import Any

from asyncml.serving.protocol import INPUT, LENGTH_HEADER, OUTPUT, Tensor

_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string"}},
}
_ANY = {"type": "object"}


def document(model: str, tensor: Tensor) -> dict[str, Any]:
    """Return the OpenAPI document of a server of that model."""
    path = f"/v2/models/{model}"
    wrong = [400, 408, 413, 415, 500, 503]
    infer = {
        "summary": "The model's output for n rows; all of them or none.",
        "parameters": [
            {"name": LENGTH_HEADER, "in": "header", "schema": {"type": "integer", "minimum": 0}}
        ],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": _request(tensor)}},
        },
        "responses": _responses(_response(), wrong),
    }
    gets = {"/v2": [], "/v2/health/live": [], "/v2/health/ready": [503], path: [503],
            f"{path}/ready": [503], "/openapi.json": []}  # fmt: skip
    paths: dict[str, Any] = {
        place: {"get": {"responses": _responses(_ANY, errors)}} for place, errors in gets.items()
    }
    text = {"text/plain": {"schema": {"type": "string"}}}
    paths["/metrics"] = {
        "get": {"responses": {"200": {"description": "Metrics.", "content": text}}}
    }
    paths[f"{path}/infer"] = {"post": infer}
    return {
        "openapi": "3.1.0",
        "info": {"title": f"{model}: the Open Inference Protocol", "version": "2"},
        "paths": paths,
    }


def _responses(schema: dict[str, Any], errors: list[int]) -> dict[str, Any]:
    right = {"description": "Right.", "content": {"application/json": {"schema": schema}}}
    wrong = {"description": "What is wrong.", "content": {"application/json": {"schema": _ERROR}}}
    return {"200": right, **{str(status): wrong for status in errors}}


def _request(tensor: Tensor) -> dict[str, Any]:
    size = {"type": "integer", "minimum": 1}
    shape = {
        "type": "array",
        "prefixItems": [size, *({"const": length} for length in tensor.shape)],
        "minItems": 1 + len(tensor.shape),
        "maxItems": 1 + len(tensor.shape),
    }
    given = {
        "type": "object",
        "additionalProperties": False,
        "required": ["name", "shape", "datatype", "data"],
        "properties": {
            "name": {"const": INPUT},
            "shape": shape,
            "datatype": {"const": tensor.datatype},
            "data": {"type": "array"},
        },
    }
    parameters = {
        "type": "object",
        "properties": {
            "timeout": {"type": "integer", "minimum": 1, "description": "Microseconds."},
            "binary_data_output": {"type": "boolean"},
        },
    }
    return {
        "type": "object",
        "required": ["inputs"],
        "additionalProperties": False,
        "properties": {
            "id": {"type": "string"},
            "parameters": parameters,
            "inputs": {"type": "array", "items": given, "minItems": 1, "maxItems": 1},
            "outputs": {
                "type": "array",
                "maxItems": 1,
                "items": {
                    "type": "object",
                    "required": ["name"],
                    "properties": {"name": {"const": OUTPUT}},
                },
            },
        },
    }


def _response() -> dict[str, Any]:
    output = {
        "type": "object",
        "required": ["name", "shape", "datatype", "data"],
        "properties": {"name": {"const": OUTPUT}, "data": {"type": "array"}},
    }
    return {
        "type": "object",
        "required": ["model_name", "outputs"],
        "properties": {"outputs": {"type": "array", "items": output}},
    }
