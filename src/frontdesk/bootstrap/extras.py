"""The optional parts of the package."""

from collections.abc import Iterator
from contextlib import contextmanager

from frontdesk.errors import ConfigurationError


@contextmanager
def extra(name: str, setting: str) -> Iterator[None]:
    """Around what needs an extra of the package. Raises `ConfigurationError` when it is not installed."""
    try:
        yield
    except ImportError as error:
        raise ConfigurationError(f"{setting} needs the extra: pip install 'frontdesk[{name}]'") from error
