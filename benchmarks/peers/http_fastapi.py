"""FastAPI without batching: a plain function, which runs in its thread pool, as documented."""

import numpy as np
from fastapi import FastAPI
from pydantic import BaseModel

import asyncml as aml
from benchmarks.over_http import LAYERS

network = aml.MLP(LAYERS)
app = FastAPI()


class Tensor(BaseModel):
    name: str
    shape: list[int]
    datatype: str
    data: list[float]


class Question(BaseModel):
    inputs: list[Tensor]


@app.post("/v2/models/model/infer")
def infer(question: Question) -> dict[str, list[float]]:
    x = np.array(question.inputs[0].data, np.float32)
    return {"data": network.forward(x[None])[0].tolist()}


@app.get("/v2/health/ready")
def ready() -> dict[str, bool]:
    return {"ready": True}
