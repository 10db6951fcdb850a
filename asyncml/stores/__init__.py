"""Where bytes live: in memory, far away, or in the stores of a cloud.

    memory   what a store is, and the simplest: a dict
    slow     a bucket that is far away, for lessons and tests
    limited  requests that leave no faster than a store allows
    hedged   stragglers, asked a second time
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
