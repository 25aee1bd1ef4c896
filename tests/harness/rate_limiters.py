"""Every adapter of the rate limiter, made for the tests that all of them must pass."""

from collections.abc import Callable

import pytest

from deploy.parts.redis import RedisServer
from frontdesk.adapters.rate_limiter.in_process import InProcessRateLimiter
from frontdesk.adapters.rate_limiter.redis import RedisRateLimiter
from frontdesk.kit.clock import Clock
from frontdesk.ports.rate_limiter import RateLimiter
from harness.rate_limiter_load import PATIENT

Make = Callable[[Clock], RateLimiter]


@pytest.fixture(params=["in_process", "redis"])
def make_limiter(request: pytest.FixtureRequest) -> Make:
    """Makes limiters that know nothing yet when the test begins; those on Redis count together."""
    if request.param == "in_process":
        return InProcessRateLimiter
    server: RedisServer = request.getfixturevalue("redis_server")
    return lambda clock: RedisRateLimiter(server.url, clock, patience=PATIENT)
