"""Passwords as argon2id hashes (RFC 9106), away from the event loop: few at once, and a bound on those that wait."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from secrets import token_urlsafe
from typing import TypeVar

from pwdlib import PasswordHash

from frontdesk.errors import UnavailableError

T = TypeVar("T")
AT_ONCE = 2
WAITING = 64
# Random bytes, which no password is known for, with the parameters of `PasswordHash.recommended()`: to verify costs the
# same, and no start pays for a hash.
NOBODYS = "$argon2id$v=19$m=65536,t=3,p=4$O554PeED/wjgLHWChBqpsA$mbcj6zC+ZfwcDLSPVAxHYHsmHm0elhI0umFwRmeg6UM"


class Passwords:
    """One hash takes 64 MiB and tens of milliseconds. Beyond `WAITING` the next one is `UnavailableError`."""

    def __init__(self, hasher: PasswordHash | None = None) -> None:
        self._hasher = hasher or PasswordHash.recommended()
        self._nobodys = NOBODYS if hasher is None else hasher.hash(token_urlsafe())
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="passwords")
        self._pending = 0

    async def hash(self, password: str) -> str:
        """Raises `UnavailableError`."""
        return await self._run(lambda: self._hasher.hash(_bytes(password)))

    async def verify(self, password: str, password_hash: str | None) -> bool:
        """Whether they match. Without a hash the answer is no, at the same cost. Raises `UnavailableError`."""
        matches = await self._run(lambda: self._hasher.verify(_bytes(password), password_hash or self._nobodys))
        return matches and password_hash is not None

    def close(self) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)

    async def _run(self, work: Callable[[], T]) -> T:
        if self._pending >= AT_ONCE + WAITING:
            raise UnavailableError("Too many sign-ins at once")
        self._pending += 1
        future = asyncio.get_running_loop().run_in_executor(self._threads, work)
        future.add_done_callback(self._count_down)  # a caller that leaves does not free its thread
        return await asyncio.shield(future)

    def _count_down(self, _future: asyncio.Future[T]) -> None:
        self._pending -= 1


def _bytes(password: str) -> bytes:
    return password.encode("utf-8", "surrogatepass")
