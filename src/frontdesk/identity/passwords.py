"""Passwords as argon2id hashes (RFC 9106), away from the event loop: few at once, and a bound on those that wait."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from secrets import token_urlsafe
from typing import Literal, TypeVar

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from frontdesk.errors import UnavailableError

T = TypeVar("T")
AT_ONCE = 2
WAITING = 64
# Of random bytes, which are nobody's password, at either cost: to verify costs the same, and no start pays for a hash.
NOBODYS = "$argon2id$v=19$m=65536,t=3,p=4$O554PeED/wjgLHWChBqpsA$mbcj6zC+ZfwcDLSPVAxHYHsmHm0elhI0umFwRmeg6UM"
NOBODYS_AT_LEAST = "$argon2id$v=19$m=19456,t=2,p=1$n5nSQpTj2Phmaj+JRKPVKQ$b2owzDPR2ldqfSprgUAzFw3kAL3yImAkiV0Bqf312UU"


class Passwords:
    """One hash takes its memory and tens of milliseconds. Beyond `WAITING` the next one is `UnavailableError`."""

    def __init__(self, hasher: PasswordHash | None = None, *, nobodys: str | None = None) -> None:
        """`nobodys` is a hash by the hasher that no password is known for."""
        self._hasher = hasher or PasswordHash.recommended()
        self._nobodys = nobodys or (NOBODYS if hasher is None else hasher.hash(token_urlsafe()))
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


def passwords_at(cost: Literal["rfc9106", "owasp"]) -> Passwords:
    """At the cost of RFC 9106's second recommended option (64 MiB, three passes, four lanes), or at the least that
    OWASP recommends (19 MiB, two passes, one lane), a seventh of the processor. Hashes of the other cost stay good:
    each says its own.
    """
    if cost == "rfc9106":
        return Passwords()
    least = Argon2Hasher(time_cost=2, memory_cost=19_456, parallelism=1)
    return Passwords(PasswordHash((least,)), nobodys=NOBODYS_AT_LEAST)


def _bytes(password: str) -> bytes:
    return password.encode("utf-8", "surrogatepass")
