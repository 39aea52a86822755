"""Where these tests find their fixtures."""

from tests.support.providers.fixtures import provider

__all__ = ["provider"]
