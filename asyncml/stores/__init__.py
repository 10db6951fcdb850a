"""Where bytes live: in memory, far away, or in cloud object stores.

    memory   what a store is, and the simplest one: a dict
    slow     a far-away bucket, for lessons and tests
    limited  limits how fast requests leave
    hedged   makes late requests a second time
    objects  S3, GCS, Azure, HTTP and folders

Lesson 07 loads from them.
"""

from asyncml.stores.hedged import Hedged
from asyncml.stores.limited import RateLimited
from asyncml.stores.memory import MemoryStore, ObjectNotFound, RequestFailed, Store
from asyncml.stores.objects import ObjectStore
from asyncml.stores.slow import SlowStore

__all__ = [
    "Hedged",
    "MemoryStore",
    "ObjectNotFound",
    "ObjectStore",
    "RateLimited",
    "RequestFailed",
    "SlowStore",
    "Store",
]
