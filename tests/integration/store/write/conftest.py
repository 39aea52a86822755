"""The books a test writes and seals."""

from tests.support.store.fixtures import books

__all__ = ["books"]
