"""Several files of tests run at a time, but beside one that is marked `alone` runs nothing: what that proves is about
what a whole machine brings.
"""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_FLOOR, _DOOR = 0, 1  # bytes of the file that are locked


class Turns:
    """Shared by the processes of one run. Who waits to be alone is waited for, so that its turn comes."""

    def __init__(self, run: str) -> None:
        self._path = Path(tempfile.gettempdir()) / f"frontdesk-tests-{run}"
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    @contextmanager
    def taken(self, *, alone: bool) -> Iterator[None]:
        lock = fcntl.LOCK_EX if alone else fcntl.LOCK_SH
        fcntl.lockf(self._file, fcntl.LOCK_EX, 1, _DOOR)
        fcntl.lockf(self._file, lock, 1, _FLOOR)
        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, _DOOR)
        try:
            yield
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, _FLOOR)

    def close(self) -> None:
        self._path.unlink(missing_ok=True)  # the others have it open
        os.close(self._file)


_TURNS = pytest.StashKey[Turns]()


def pytest_configure(config: pytest.Config) -> None:
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID")
    if run is not None:
        config.stash[_TURNS] = Turns(run)


def pytest_unconfigure(config: pytest.Config) -> None:
    turns = config.stash.get(_TURNS, None)
    if turns is not None:
        turns.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    turns = item.config.stash.get(_TURNS, None)
    if turns is None:
        return (yield)
    with turns.taken(alone=item.get_closest_marker("alone") is not None):
        return (yield)
