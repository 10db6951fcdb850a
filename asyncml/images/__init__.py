"""Real images: Fashion-MNIST, as arrays and as objects in a store.

    png       encode a greyscale image as PNG, and decode it
    datasets  read the images, and write them to a store

Lessons 07 and 08 use them.
"""

from asyncml.images.datasets import (
    CLASS_NAMES,
    Dataset,
    DatasetError,
    fashion_mnist,
    label_of,
    write_objects,
)
from asyncml.images.png import decode_png, encode_png

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
