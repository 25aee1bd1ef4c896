import asyncio
from threading import Event

import pytest
from argon2 import extract_parameters
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from frontdesk.errors import UnavailableError
from frontdesk.identity.passwords import (
    AT_ONCE,
    NOBODYS,
    NOBODYS_AT_LEAST,
    WAITING,
    Passwords,
    passwords_at,
)
from harness.identities import quick_hasher


class GatedHasher(Argon2Hasher):
    """Verifies only when it is let, and notes what it has verified."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.gate = Event()
        self.verified: list[str | bytes] = []

    def verify(self, password: str | bytes, hash: str | bytes) -> bool:  # noqa: A002  pwdlib's name
        self.verified.append(hash)
        self.gate.wait(10)
        return super().verify(password, hash)


async def test_a_password_matches_its_own_hash_only() -> None:
    passwords = Passwords(quick_hasher())
    held = await passwords.hash("correct horse")
    assert await passwords.verify("correct horse", held)
    assert not await passwords.verify("correct horsf", held)
    passwords.close()


async def test_the_hash_is_argon2id_with_the_recommended_cost() -> None:
    passwords = Passwords()
    held = await passwords.hash("correct horse")
    assert held.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert extract_parameters(held) == extract_parameters(NOBODYS)
    assert not await passwords.verify("correct horse", None)
    passwords.close()


async def test_it_may_cost_the_least_that_is_recommended_and_knows_the_others() -> None:
    dear, cheap = passwords_at("rfc9106"), passwords_at("owasp")
    held = await cheap.hash("correct horse")
    assert held.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert extract_parameters(held) == extract_parameters(NOBODYS_AT_LEAST)
    assert await dear.verify("correct horse", held)
    assert await cheap.verify("correct horse", await dear.hash("correct horse"))
    assert not await cheap.verify("correct horse", None)
    dear.close()
    cheap.close()


async def test_nobody_costs_a_verification_too() -> None:
    hasher = GatedHasher()
    hasher.gate.set()
    passwords = Passwords(PasswordHash((hasher,)))
    assert not await passwords.verify("correct horse", None)
    [dummy] = hasher.verified
    assert str(dummy).startswith("$argon2id$v=19$m=8,t=1,p=1$")
    passwords.close()


async def test_those_that_wait_are_bounded_and_places_come_back() -> None:
    hasher = GatedHasher()
    passwords = Passwords(PasswordHash((hasher,)))
    waiting = [asyncio.create_task(passwords.verify("x", None)) for _ in range(AT_ONCE + WAITING)]
    await asyncio.sleep(0)
    with pytest.raises(UnavailableError):
        await passwords.verify("x", None)
    assert len(hasher.verified) <= AT_ONCE
    hasher.gate.set()
    await asyncio.gather(*waiting)
    assert not await passwords.verify("x", None)
    passwords.close()
