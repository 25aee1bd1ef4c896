"""How many messages a user may send in a minute, and how many tokens their answers may cost in a day.

A message is admitted before it is stored: it counts, and what its answer may cost is reserved. When the answer has
ended, however it did, what it really cost takes the reservation's place. The counts are the rate limiter's, so they
hold over all processes that share it.
"""

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

import msgspec

from frontdesk.errors import ConfigurationError, TooManyRequestsError
from frontdesk.identity.principal import Principal, PrincipalKind
from frontdesk.ports.rate_limiter import Allowance, Budget, Limit, RateLimiter, Reservation

_MINUTE, _DAY = 60, 86_400
_FEWEST_TOKENS = 64  # an answer that may have no more is not worth beginning
_TOKEN_BYTES = 4
_BATCHED_BYTES = 12
_MESSAGE_TOKENS = 4  # what a message costs beside its text


class Tier(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """None is no limit. Tokens are counted from midnight to midnight UTC, those of the question with the answer's."""

    messages_per_minute: int | None = None
    tokens_per_day: int | None = None


class Reserved(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer may cost, as its execution keeps it: `answer_tokens` is how many of them it may say itself."""

    tokens: Reservation | None = None
    answer_tokens: int | None = None


class LimitReachedError(TooManyRequestsError):
    """`remaining` is what is left of the limit that was met; the detail is fit for the user."""

    code, title = "limit_reached", "You have reached your limit"

    def __init__(self, detail: str, *, remaining: int, retry_after: int, headers: Mapping[str, str]) -> None:
        super().__init__(detail, retry_after=retry_after, headers=headers)
        self.remaining = remaining


class MessageLimits:
    """`answer_tokens` is what is reserved for an answer at most, beside its question: it gets no more."""

    def __init__(
        self, limiter: RateLimiter, tiers: Mapping[str, Tier], *, default_tier: str, answer_tokens: int
    ) -> None:
        if default_tier not in tiers:
            raise ConfigurationError(f"CHAT_DEFAULT_TIER: there is no tier {default_tier!r} in CHAT_TIERS")
        self._limiter = limiter
        self._tiers = tiers
        self._default = tiers[default_tier]
        self._answer_tokens = answer_tokens

    async def admit(self, principal: Principal, *, asked: int) -> Reserved:
        """Count a message whose question has about `asked` tokens. Raises `LimitReachedError`, with nothing counted."""
        tier = self._tier(principal)
        limit = _message_limit(tier)
        if limit is not None:
            allowance = await self._limiter.hit(limit, _key(principal))
            if not allowance.allowed:
                raise _too_many(limit, allowance)
        if tier.tokens_per_day is None:
            return Reserved()
        reservation = await self._reserve(Budget("tokens", tier.tokens_per_day), _key(principal), asked)
        if not reservation.allowed:
            if limit is not None:
                await self._limiter.give_back(limit, _key(principal))
            raise _used_up(reservation)
        return Reserved(tokens=reservation, answer_tokens=reservation.amount - asked)

    async def give_back(self, principal: Principal, reserved: Reserved) -> None:
        """The message was not stored after all."""
        limit = _message_limit(self._tier(principal))
        if limit is not None:
            await self._limiter.give_back(limit, _key(principal))
        await self.settle(reserved, 0)

    async def settle(self, reserved: Reserved | None, spent: int) -> None:
        """The answer has ended and cost so much. Safe to repeat."""
        if reserved is not None and reserved.tokens is not None:
            await self._limiter.settle(reserved.tokens, spent)

    def _tier(self, principal: Principal) -> Tier:
        if principal.kind is PrincipalKind.service:
            return Tier()
        return self._tiers.get(principal.tier or "", self._default)

    async def _reserve(self, budget: Budget, key: str, asked: int) -> Reservation:
        """All that an answer may cost, or else what is left, if that is worth it."""
        wanted = await self._limiter.reserve(budget, key, asked + self._answer_tokens)
        if wanted.allowed or wanted.remaining < asked + _FEWEST_TOKENS:
            return wanted
        return await self._limiter.reserve(budget, key, wanted.remaining)


def parse_tiers(text: str) -> dict[str, Tier]:
    """CHAT_TIERS: a JSON object of tiers by name. Raises `ConfigurationError`."""
    try:
        return msgspec.json.decode(text, type=dict[str, Tier])
    except msgspec.MsgspecError as error:
        raise ConfigurationError(f"CHAT_TIERS: {error}") from error


def estimated_tokens(text: str, *, pieces: int = 0) -> int:
    """What a text costs where the provider does not say: as many tokens as it came in pieces, if these are as short as
    tokens are, and one for every four bytes of UTF-8 otherwise.
    """
    size = len(text.encode())
    return pieces if size <= pieces * _BATCHED_BYTES else ceil(size / _TOKEN_BYTES)


def prompt_tokens(messages: Sequence[Mapping[str, Any]]) -> int:
    """What a question in OpenAI's form costs, as an estimate."""
    return sum(_MESSAGE_TOKENS + estimated_tokens(_text(message)) for message in messages)


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    return content if isinstance(content, str) else ""


def _key(principal: Principal) -> str:
    return f"{principal.kind}:{principal.id}"


def _message_limit(tier: Tier) -> Limit | None:
    return None if tier.messages_per_minute is None else Limit("messages", tier.messages_per_minute, _MINUTE)


def _too_many(limit: Limit, allowance: Allowance) -> LimitReachedError:
    seconds = max(1, ceil(allowance.retry_after))
    return LimitReachedError(
        f"You have sent {limit.amount} messages within a minute. You can go on in {seconds} s.",
        remaining=allowance.remaining,
        retry_after=seconds,
        headers={
            "RateLimit-Policy": f'"{limit.name}";q={limit.amount};w={limit.seconds}',
            "RateLimit": f'"{limit.name}";r={allowance.remaining};t={seconds}',
        },
    )


def _used_up(reservation: Reservation) -> LimitReachedError:
    budget, seconds = reservation.budget, max(1, ceil(reservation.retry_after))
    return LimitReachedError(
        f"This may cost more than the {reservation.remaining} tokens that are left of today's {budget.amount}. "
        "The next day begins at midnight UTC.",
        remaining=reservation.remaining,
        retry_after=seconds,
        headers={
            "RateLimit-Policy": f'"{budget.name}";q={budget.amount};w={_DAY}',
            "RateLimit": f'"{budget.name}";r={reservation.remaining};t={seconds}',
        },
    )
