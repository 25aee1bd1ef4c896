"""A directory for what is on disk only while it is worked on, gone with its process: at its end, or, if it was killed,
when the next one begins.
"""

import fcntl
import os
import shutil
import tempfile
from pathlib import Path

_PREFIX = "frontdesk-work-"


class Scratch:
    """`parent` may be shared by processes, of this user."""

    def __init__(self, parent: Path) -> None:
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._sweep(parent)
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        self._held = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(self._held, fcntl.LOCK_EX)

    def close(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)  # what is left, the next process removes
        os.close(self._held)

    @staticmethod
    def _sweep(parent: Path) -> None:
        for path in parent.glob(f"{_PREFIX}*"):
            try:
                left = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            except OSError:  # somebody else's, or just gone
                continue
            try:
                fcntl.flock(left, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            except BlockingIOError:
                continue
            finally:
                os.close(left)
