"""A local folder that stands for a drive. Nothing is read or written outside of it, whatever a folder's name is.

Each part of a path is opened by itself and no symbolic link is followed, so not even one that is made meanwhile leads
out. Files appear whole or not at all.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from document_api.problems import DriveFolderRefusedError

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Drive:
    def __init__(self, root: Path) -> None:
        self._root = root
        root.mkdir(parents=True, exist_ok=True)

    def link(self, folder: str) -> None:
        """Make the folder. Raises `DriveFolderRefusedError`."""
        with self._open(folder):
            pass

    def write(self, folder: str, name: str, content: bytes) -> str:
        """Put a file there, in place of an earlier one. Its digest (SHA-256). Raises `DriveFolderRefusedError`."""
        with self._open(folder) as descriptor:
            temporary = f".{uuid4().hex}"
            try:
                _write_new(temporary, content, descriptor)
                os.replace(temporary, name, src_dir_fd=descriptor, dst_dir_fd=descriptor)
            except IsADirectoryError as error:
                raise DriveFolderRefusedError(f"{name} is a folder") from error
            finally:
                with suppress(FileNotFoundError):
                    os.unlink(temporary, dir_fd=descriptor)
            os.fsync(descriptor)
        return hashlib.sha256(content).hexdigest()

    @contextmanager
    def _open(self, folder: str) -> Iterator[int]:
        descriptor = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for part in folder.split("/"):
                if part in {"", ".", ".."}:
                    raise DriveFolderRefusedError
                parent, descriptor = descriptor, _enter(part, descriptor)
                os.close(parent)
            yield descriptor
        finally:
            os.close(descriptor)


def _enter(part: str, parent: int) -> int:
    try:
        with suppress(FileExistsError):
            os.mkdir(part, dir_fd=parent)
        return os.open(part, _FOLDER, dir_fd=parent)
    except (NotADirectoryError, OSError, ValueError) as error:
        raise DriveFolderRefusedError from error


def _write_new(name: str, content: bytes, parent: int) -> None:
    with os.fdopen(os.open(name, _NEW_FILE, 0o644, dir_fd=parent), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
