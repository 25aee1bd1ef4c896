"""What the local store does to files: each function here may block, and is called in a thread.

A file is written under a name of its own in `INCOMING`, held by a lock, and moved to its place when it is whole and on
the disk. So who finds one there without a lock has found what a dead process left.
"""

import fcntl
import os
from hashlib import sha256
from pathlib import Path
from threading import Lock

from frontdesk.kit.ids import new_id

INCOMING = ".incoming"  # no key begins with a dot
SUFFIX = "~"  # no key has one: so the key `a` never stands in the way of `a/b`
_TRIES = 10


class FileBeingStored:
    """Its calls come one after the other, except that of `discard`, which may come at any time."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._file: int | None = None
        self._path = root / INCOMING / new_id()
        self._hash = sha256()
        self._lock = Lock()
        self._over = False

    def begin(self) -> None:
        with self._lock:
            make_directory(self._path.parent)
            while not self._over:
                self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                fcntl.flock(self._file, fcntl.LOCK_EX)
                if os.fstat(self._file).st_nlink:
                    return
                os.close(self._file)  # a sweep came between the two calls

    def write(self, piece: bytes) -> None:
        self._hash.update(piece)
        with self._lock:
            left = memoryview(piece)
            while left and self._file is not None:
                left = left[os.write(self._file, left) :]

    def finish(self, place: Path) -> str:
        """Put it in its place, safe from a loss of power. Returns its SHA-256."""
        with self._lock:
            if self._file is not None:
                os.fsync(self._file)
                self._move(place)
                os.close(self._file)
                self._file = None
        return self._hash.hexdigest()

    def discard(self) -> None:
        """All of it, unless it was finished."""
        with self._lock:
            self._over = True
            if self._file is not None:
                self._path.unlink(missing_ok=True)
                os.close(self._file)
                self._file = None

    def _move(self, place: Path) -> None:
        for _ in range(_TRIES):
            make_directory(place.parent)
            try:
                self._path.replace(place)
            except FileNotFoundError:  # the last file beside it was deleted just now, and the directory with it
                continue
            _sync(place.parent)
            return
        self._path.replace(place)


class FileBeingRead:
    """`close` may come at any time."""

    def __init__(self) -> None:
        self._file: int | None = None
        self._lock = Lock()
        self._over = False

    def open(self, path: Path) -> int | None:
        """Its size in bytes; None when it is not there."""
        with self._lock:
            if self._over:
                return None
            try:
                self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            except (FileNotFoundError, NotADirectoryError):
                return None
            return os.fstat(self._file).st_size

    def read(self, at: int, most: int) -> bytes:
        with self._lock:
            return b"" if self._file is None else os.pread(self._file, most, at)

    def close(self) -> None:
        with self._lock:
            self._over = True
            if self._file is not None:
                os.close(self._file)
                self._file = None


def make_directory(path: Path) -> None:
    """With those above it, for this user alone, safe from a loss of power."""
    missing = []
    while not path.is_dir():
        missing.append(path)
        path = path.parent
    for directory in reversed(missing):
        directory.mkdir(mode=0o700, exist_ok=True)
        _sync(directory.parent)


def can_write(path: Path) -> bool:
    """To a directory, or, while it is not there, to the one in which it would be made."""
    while not path.exists():
        path = path.parent
    return path.is_dir() and os.access(path, os.W_OK | os.X_OK)


def remove(path: Path, *, root: Path) -> bool:
    """Whether it was there. Directories that are empty then go too."""
    try:
        path.unlink()
    except (FileNotFoundError, NotADirectoryError):
        return False
    for directory in path.parents:
        if directory == root:
            break
        try:
            directory.rmdir()
        except OSError:  # something else is in it
            break
    return True


def sweep(incoming: Path) -> int:
    """Remove what nobody holds any more. Returns how many there were."""
    return sum(_remove_if_left(path) for path in incoming.iterdir()) if incoming.is_dir() else 0


def _remove_if_left(path: Path) -> bool:
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink(missing_ok=True)
    except BlockingIOError:
        return False
    else:
        return True
    finally:
        os.close(file)


def _sync(directory: Path) -> None:
    file = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
