"""The tokens of the accounts that this terminal is logged in to: one file, readable by its owner only."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Credentials:
    """`expires_at` is when the access token ends, in seconds since 1970."""

    username: str
    access_token: str
    refresh_token: str
    expires_at: float


class CredentialStore:
    """Credentials by server address. A refresh token dies when used, so only the holder of `locked` may use one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / "credentials.json"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other terminals from refreshing at the same time: a token used twice logs all of them out."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self._folder / "credentials.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def find(self, server: str) -> Credentials | None:
        entry = self._read().get(server)
        try:
            return Credentials(**entry) if entry else None
        except TypeError:
            return None

    def save(self, server: str, credentials: Credentials) -> None:
        self._write({**self._read(), server: asdict(credentials)})

    def forget(self, server: str) -> None:
        self._write({known: entry for known, entry in self._read().items() if known != server})

    def _read(self) -> dict[str, Any]:
        try:
            content = json.loads(self._path.read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def _write(self, content: dict[str, Any]) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = self._path.with_suffix(f".{os.getpid()}")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(content, file)
        draft.replace(self._path)
