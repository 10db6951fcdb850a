"""Real images: Fashion-MNIST, as arrays and as objects of a store.

    datasets   read them, and write them to a store

Lessons 07 and 08 use them.
"""

from asyncml.images.datasets import (
    CLASS_NAMES,
    Dataset,
    DatasetError,
    decode_png,
    encode_png,
    fashion_mnist,
    label_of,
    write_objects,
)

__all__ = [
    "CLASS_NAMES",
    "Dataset",
    "DatasetError",
    "decode_png",
    "encode_png",
    "fashion_mnist",
    "label_of",
    "write_objects",
]
