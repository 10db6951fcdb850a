"""The peers: one adapter per file, which uses its library as the documentation shows.

An adapter has a method for each kind of work that its library can do: `on_loop` (asynchronous
functions), `in_order` (the same, order kept), `in_threads` (plain functions), `beside_steps`
(loading while the body of `for` blocks) and `beside_thread` (while a step runs in a thread, under
`async for`). It has no method for work that its library cannot do. A trainer has `epoch`, which
trains on batches, and `predict`. A batcher is created with a model and entered with `async with`;
its `ask` returns the answer to a row.
"""

from dataclasses import dataclass, field
from importlib import import_module, metadata
from typing import Any


@dataclass(frozen=True)
class Peer:
    """A library to compare with.

    Args:
        key: its name for `--only`.
        name: its name in the tables.
        file: the adapter's module in this folder.
        package: the distribution, for its version; empty for the standard library.
        imports: the modules that a user imports, to be timed; empty for the standard library.
        options: the adapter's options.
    """

    key: str
    name: str
    file: str
    package: str = ""
    imports: str = ""
    options: dict[str, Any] = field(default_factory=dict, hash=False)

    def kind(self) -> Any:
        """Return the adapter's class; raise ModuleNotFoundError if its library is missing."""
        return import_module(f"benchmarks.peers.{self.file}").Adapter

    def adapter(self) -> Any:
        """Return the adapter; raise ModuleNotFoundError if its library is missing."""
        return self.kind()(**self.options)

    def version(self) -> str:
        return f"{self.package} {metadata.version(self.package)}" if self.package else ""


# names the pipeline because `import asyncml` alone loads nothing
US = Peer("us", "asyncml", "ours", "asyncml", "asyncml.pipeline.pipeline")
PEERS = (
    US,
    Peer("hand", "by hand", "by_hand"),
    Peer("streamable", "streamable", "streamable", "streamable", "streamable"),
    Peer("aiostream", "aiostream", "aiostream", "aiostream", "aiostream"),
    Peer("spdl", "SPDL", "spdl", "spdl-core", "spdl.pipeline"),
    Peer("spdl-ordered", "SPDL in order", "spdl", "spdl-core", options={"ordered": True}),
    Peer("pool", "Executor.map", "pool"),
    Peer("torch", "DataLoader", "torch", "torch", "torch.utils.data"),
)

TRAINERS = (
    Peer("us", "asyncml", "trains_ours", "asyncml"),
    Peer("fit", "asyncml's fit", "trains_ours", options={"fit": True}),
    Peer("torch-eager", "torch", "trains_torch", "torch"),
    Peer("torch-fused", "torch, Adam fused", "trains_torch", options={"fused": True}),
    Peer(
        "torch-compiled",
        "torch, compiled",
        "trains_torch",
        options={"fused": True, "compiled": True},
    ),
    Peer("sklearn", "MLPClassifier", "trains_sklearn", "scikit-learn"),
    Peer("gemms", "matrix products alone", "gemms"),
)

BATCHERS = (
    Peer("us", "asyncml", "serves_ours", "asyncml"),
    Peer("hand", "by hand", "serves_by_hand"),
    Peer("batchlet", "batchlet", "serves_batchlet", "batchlet"),
    Peer("batched", "batched", "serves_batched", "batched"),
    Peer("async-batcher", "async-batcher", "serves_async_batcher", "async-batcher"),
    Peer("bentoml", "BentoML", "serves_bentoml", "bentoml"),
    Peer("ray", "Ray Serve", "serves_ray", "ray"),
    Peer("alone", "no batching", "serves_alone"),
)


class Unable(Exception):
    """A library is installed but cannot run on this machine; the message says why."""


def installed(peers: tuple[Peer, ...], what: str = "adapter") -> tuple[dict[Peer, Any], list[Peer]]:
    """Return the adapters (or their classes) of installed peers, and the missing peers."""
    adapters, missing = {}, []
    for peer in peers:
        try:
            adapters[peer] = peer.adapter() if what == "adapter" else peer.kind()
        except ModuleNotFoundError as error:
            if (error.name or "").startswith("benchmarks"):
                raise
            missing.append(peer)
    return adapters, missing
