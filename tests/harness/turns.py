"""Several files of tests run at a time, but beside one that is marked `alone` runs nothing: what that proves is about
what a whole machine brings. Such tests of one file have one turn: the others are waited for once.
"""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

_FLOOR, _DOOR = 0, 1  # bytes of the file that are locked


class Turns:
    """Shared by the processes of one run. Who waits to be alone is waited for, so that its turn comes."""

    def __init__(self, run: str) -> None:
        self._path = Path(tempfile.gettempdir()) / f"frontdesk-tests-{run}"
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._is_alone = False

    def take(self, *, alone: bool) -> None:
        """Nothing to do where one to be alone is had."""
        if self._is_alone:
            return
        lock = fcntl.LOCK_EX if alone else fcntl.LOCK_SH
        fcntl.lockf(self._file, fcntl.LOCK_EX, 1, _DOOR)
        fcntl.lockf(self._file, lock, 1, _FLOOR)
        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, _DOOR)
        self._is_alone = alone

    def leave(self) -> None:
        self._is_alone = False
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
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    turns = item.config.stash.get(_TURNS, None)
    if turns is None:
        return (yield)
    turns.take(alone=_is_alone(item))
    try:
        return (yield)
    finally:
        if not (_is_alone(item) and nextitem is not None and _is_alone(nextitem)):
            turns.leave()


def _is_alone(item: pytest.Item) -> bool:
    return item.get_closest_marker("alone") is not None
