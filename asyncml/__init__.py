"""asyncml: asynchronous machine learning that can be seen, predicted and measured."""

__version__ = "0.1.0"
