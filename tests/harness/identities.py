"""Identity's services on a database, as one process of several has them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from frontdesk.adapters.rate_limiter.in_process import InProcessRateLimiter
from frontdesk.database import Database, open_database
from frontdesk.identity.limits import LoginThrottle
from frontdesk.identity.passwords import Passwords
from frontdesk.identity.standings import Standings
from frontdesk.identity.tokens.service import TokenService
from frontdesk.identity.users.models import Registration, User
from frontdesk.identity.users.service import UserService
from frontdesk.kit.clock import Clock, SystemClock
from frontdesk.settings import Settings

SECRET = "a secret for tests that is long enough for each algorithm: 64 bytes!"
PASSWORD = "correct horse"


def quick_hasher() -> PasswordHash:
    return PasswordHash((Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1),))


def settings_for(database_url: str, **changes: object) -> Settings:
    # What a test does not need takes a machine's time.
    off = {"llm_enabled": False, "search_enabled": False, "password_hashing": "owasp"}
    values = {"database_url": database_url, "jwt_secret_key": SECRET, **off, **changes}
    return Settings(_env_file=None, **values)


@dataclass(frozen=True)
class Identity:
    database: Database
    users: UserService
    tokens: TokenService

    async def create_user(self, username: str, **fields: object) -> User:
        return await self.users.create(Registration(username=username, password=PASSWORD, **fields))


@asynccontextmanager
async def open_identity(settings: Settings, clock: Clock | None = None) -> AsyncIterator[Identity]:
    clock = clock or SystemClock()
    database = open_database(settings.database_url, pool_size=5, timeout=5)
    passwords, standings = Passwords(quick_hasher()), Standings(database, clock)
    throttle = LoginThrottle(
        InProcessRateLimiter(clock),
        per_user=settings.login_attempts_per_user,
        per_address=settings.login_attempts_per_address,
        seconds=settings.login_window_seconds,
    )
    users = UserService(database, clock, passwords=passwords, throttle=throttle, standings=standings)
    try:
        yield Identity(database, users, TokenService(database, clock, settings=settings, standings=standings))
    finally:
        passwords.close()
        await database.aclose()


def with_files(folder: Path) -> dict[str, str]:
    """The settings of a server that keeps files in the folder, and reads what is in them."""
    return {
        "embedder": "packaged",
        "blob_store": f"file://{folder}/blobs",
        "scratch_directory": str(folder / "scratch"),
    }
