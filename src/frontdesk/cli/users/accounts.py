"""The account service without a gateway around it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from frontdesk.adapters.rate_limiter.in_process import InProcessRateLimiter
from frontdesk.cli.failures import CommandError
from frontdesk.database import open_database
from frontdesk.database.schema import require_usable
from frontdesk.errors import ConfigurationError, FrontdeskError, InvalidRequestError
from frontdesk.identity.limits import LoginThrottle
from frontdesk.identity.passwords import passwords_at
from frontdesk.identity.standings import Standings
from frontdesk.identity.users.service import UserService
from frontdesk.kit.clock import SystemClock
from frontdesk.settings import Settings

Result = TypeVar("Result")


def with_users(settings: Settings, work: Callable[[UserService], Awaitable[Result]]) -> Result:
    """Runs `work` on a loop of its own. Raises CommandError with what the service refused."""

    async def run() -> Result:
        async with _users(settings) as users:
            return await work(users)

    try:
        return asyncio.run(run())
    except ConfigurationError as error:
        hint = "\nFor the accounts of `frontdesk up`: frontdesk users --data-folder .frontdesk ..."
        raise CommandError(error.detail + hint) from error
    except InvalidRequestError as error:
        raise CommandError("; ".join(fault["msg"] for fault in error.extra["errors"])) from error
    except FrontdeskError as error:
        raise CommandError(error.detail) from error


@asynccontextmanager
async def _users(settings: Settings) -> AsyncIterator[UserService]:
    clock = SystemClock()
    database = open_database(settings.database_url, pool_size=1, timeout=settings.database_timeout_seconds)
    passwords = passwords_at(settings.password_hashing)
    try:
        await database.read(require_usable)
        throttle = LoginThrottle(
            InProcessRateLimiter(clock),
            per_user=settings.login_attempts_per_user,
            per_address=settings.login_attempts_per_address,
            seconds=settings.login_window_seconds,
        )
        standings = Standings(database, clock)
        yield UserService(database, clock, passwords=passwords, throttle=throttle, standings=standings)
    finally:
        passwords.close()
        await database.aclose()
