"""Where bytes live: in memory, far away, or in the stores of a cloud.

    memory   what a store is, and the ones for lessons and tests
    objects  S3, GCS, Azure, HTTP and folders

Lesson 07 loads from them.
"""

from asyncml.stores.memory import MemoryStore, ObjectNotFound, RequestFailed, SlowStore, Store
from asyncml.stores.objects import ObjectStore

__all__ = [
    "MemoryStore",
    "ObjectNotFound",
    "ObjectStore",
    "RequestFailed",
    "SlowStore",
    "Store",
]
