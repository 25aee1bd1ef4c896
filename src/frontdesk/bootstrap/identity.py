"""Who is who, put together: accounts, their tokens, the secrets of embedded clients, and what is counted of callers."""

from contextlib import AsyncExitStack
from dataclasses import dataclass

from frontdesk.bootstrap.extras import extra
from frontdesk.bootstrap.parts import Parts
from frontdesk.identity.client_secrets.service import ClientSecrets
from frontdesk.identity.external.service import ExternalIdentities
from frontdesk.identity.limits import LoginThrottle, SessionThrottle
from frontdesk.identity.passwords import passwords_at
from frontdesk.identity.standings import Standings
from frontdesk.identity.tickets import Tickets
from frontdesk.identity.tokens.service import TokenService
from frontdesk.identity.usage.ledger import UsageLedger
from frontdesk.identity.usage.reports import UsageReports
from frontdesk.identity.usage.service import UsageService
from frontdesk.identity.users.administration import UserAdministration
from frontdesk.identity.users.service import UserService
from frontdesk.kit.clock import Clock
from frontdesk.ports.identity_provider import IdentityProvider
from frontdesk.ports.rate_limiter import RateLimiter
from frontdesk.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Identity:
    standings: Standings
    users: UserService
    administration: UserAdministration
    tokens: TokenService
    secrets: ClientSecrets
    external: ExternalIdentities
    tickets: Tickets
    usage: UsageService
    usage_reports: UsageReports
    session_throttle: SessionThrottle


async def open_identity(stack: AsyncExitStack, parts: Parts) -> Identity:
    database, clock, settings = parts.database, parts.clock, parts.settings
    standings = Standings(database, clock)
    passwords = passwords_at(settings.password_hashing)
    stack.callback(passwords.close)
    throttle = _throttle(settings, parts.limiter)
    provider = _identity_provider(stack, settings, clock)
    return Identity(
        standings=standings,
        users=UserService(database, clock, passwords=passwords, throttle=throttle, standings=standings),
        administration=UserAdministration(database, clock, passwords=passwords, standings=standings),
        tokens=TokenService(database, clock, settings=settings, standings=standings),
        secrets=ClientSecrets(database, clock, settings=settings, standings=standings),
        external=ExternalIdentities(database, clock, provider=provider, standings=standings),
        tickets=Tickets(database, clock, secret=settings.jwt_secret_key.get_secret_value(), standings=standings),
        usage=await _usage(stack, parts),
        usage_reports=UsageReports(database, clock),
        session_throttle=SessionThrottle(parts.limiter, per_minute=settings.sessions_per_address),
    )


def _identity_provider(stack: AsyncExitStack, settings: Settings, clock: Clock) -> IdentityProvider | None:
    if settings.chatkit_jwks_url is None:
        return None
    with extra("chatkit", "CHAT_CHATKIT_JWKS_URL"):
        from frontdesk.adapters.identity_provider.jwks import JwksIdentityProvider  # noqa: PLC0415  an extra
    provider = JwksIdentityProvider(
        settings.chatkit_jwks_url, issuer=settings.chatkit_issuer, audience=settings.chatkit_audience, clock=clock
    )
    stack.push_async_callback(provider.aclose)
    return provider


async def _usage(stack: AsyncExitStack, parts: Parts) -> UsageService:
    ledger = UsageLedger(parts.database)
    await ledger.open()
    stack.push_async_callback(ledger.aclose)
    return UsageService(
        ledger,
        parts.limiter,
        parts.clock,
        measurements=parts.measurements,
        requests_per_minute=parts.settings.llm_proxy_requests_per_minute,
        tokens_per_day=parts.settings.llm_proxy_tokens_per_day,
    )


def _throttle(settings: Settings, limiter: RateLimiter) -> LoginThrottle:
    return LoginThrottle(
        limiter,
        per_user=settings.login_attempts_per_user,
        per_address=settings.login_attempts_per_address,
        seconds=settings.login_window_seconds,
    )
