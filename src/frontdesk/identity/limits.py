"""Refusals of those who ask too often: sign-ins that fail, and sessions that strangers open."""

from ipaddress import IPv6Address, ip_address, ip_network
from math import ceil

from frontdesk.errors import TooManyRequestsError
from frontdesk.ports.rate_limiter import Allowance, Limit, RateLimiter, Reservation

_DAY = 86_400
_IPV6_SITE = 64  # bits: what one subscriber holds, so that its addresses count as one


def refusal(limit: Limit, allowance: Allowance) -> TooManyRequestsError:
    """With `Retry-After` and the fields of draft-ietf-httpapi-ratelimit-headers."""
    seconds = max(1, ceil(allowance.retry_after))
    return TooManyRequestsError(retry_after=seconds, headers=_fields(limit, allowance, seconds))


def limit_fields(limit: Limit, allowance: Allowance) -> dict[str, str]:
    """The same fields for what was allowed: what is left, and when there is more."""
    return _fields(limit, allowance, max(1, ceil(allowance.reset_after)))


def _fields(limit: Limit, allowance: Allowance, seconds: int) -> dict[str, str]:
    return {
        "RateLimit-Policy": f'"{limit.name}";q={limit.amount};w={limit.seconds}',
        "RateLimit": f'"{limit.name}";r={allowance.remaining};t={seconds}',
    }


def over_budget(reservation: Reservation) -> tuple[int, dict[str, str]]:
    """When to come again, in seconds, and the same fields for a day's budget that does not hold what was asked of it.

    OpenAI's clients would try twice more at once: `x-should-retry` tells them not to.
    """
    budget, seconds = reservation.budget, max(1, ceil(reservation.retry_after))
    headers = {
        "RateLimit-Policy": f'"{budget.name}";q={budget.amount};w={_DAY}',
        "RateLimit": f'"{budget.name}";r={reservation.remaining};t={seconds}',
        "x-should-retry": "false",
    }
    return seconds, headers


class LoginThrottle:
    """Counts failed sign-ins for each name and each address.

    An attempt is counted before it is tried and given back when it succeeds, so any number at once stay in the limit.
    """

    def __init__(self, limiter: RateLimiter, *, per_user: int, per_address: int, seconds: int) -> None:
        self._limiter = limiter
        self._per_user = Limit("login-user", per_user, seconds)
        self._per_address = Limit("login-address", per_address, seconds)

    async def reserve(self, username_key: str, address: str) -> None:
        """Raises `TooManyRequestsError`; a refused attempt is not counted."""
        site = address_site(address)
        await self._hit(self._per_address, site)
        try:
            await self._hit(self._per_user, username_key)
        except TooManyRequestsError:
            await self._limiter.give_back(self._per_address, site)
            raise

    async def give_back(self, username_key: str, address: str) -> None:
        await self._limiter.give_back(self._per_user, username_key)
        await self._limiter.give_back(self._per_address, address_site(address))

    async def _hit(self, limit: Limit, key: str) -> None:
        allowance = await self._limiter.hit(limit, key)
        if not allowance.allowed:
            raise refusal(limit, allowance)


class SessionThrottle:
    """Counts the sessions that are opened without an account, for each address."""

    def __init__(self, limiter: RateLimiter, *, per_minute: int) -> None:
        self._limiter = limiter
        self._limit = Limit("sessions-address", per_minute, 60)

    async def take(self, address: str) -> None:
        """Raises `TooManyRequestsError`."""
        allowance = await self._limiter.hit(self._limit, address_site(address))
        if not allowance.allowed:
            raise refusal(self._limit, allowance)


def address_site(address: str) -> str:
    """What a limit counts as one place: an IPv4 address, or the /64 around an IPv6 one; other text stays as it is."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ip_network((parsed, _IPV6_SITE), strict=False))
