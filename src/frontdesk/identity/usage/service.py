"""Lets callers use the model within their limits, and counts what they used."""

from datetime import date

import msgspec

from frontdesk.errors import QuotaExceededError
from frontdesk.identity.limits import over_budget, refusal
from frontdesk.identity.principal import Principal, PrincipalKind
from frontdesk.identity.usage.ledger import UsageLedger
from frontdesk.identity.usage.models import MODEL_LENGTH, Spent, UsageDay
from frontdesk.kit.clock import Clock
from frontdesk.observability.measurements import Measurements
from frontdesk.ports.rate_limiter import Budget, Limit, RateLimiter, Reservation

_MINUTE = 60


class Ticket(msgspec.Struct, frozen=True):
    """Leave to ask the model once. It must be settled or given back."""

    caller: Principal
    model: str
    day: date
    reservation: Reservation | None


class UsageService:
    """`requests_per_minute` and `tokens_per_day` hold for each user; None is no limit. The gateway's own parts ask on
    behalf of many, so they are counted and not limited.
    """

    def __init__(
        self,
        ledger: UsageLedger,
        limiter: RateLimiter,
        clock: Clock,
        *,
        measurements: Measurements,
        requests_per_minute: int | None,
        tokens_per_day: int | None,
    ) -> None:
        self._ledger = ledger
        self._limiter = limiter
        self._clock = clock
        self._measurements = measurements
        self._rate = Limit("llm-requests", requests_per_minute, _MINUTE) if requests_per_minute else None
        self._budget = Budget("llm-tokens", tokens_per_day) if tokens_per_day else None

    async def admit(self, caller: Principal, model: str, *, tokens: int) -> Ticket:
        """`tokens` is what the answer may cost, as well as that is known. Raises `TooManyRequestsError`, and
        `QuotaExceededError` when the day's budget does not hold as much.
        """
        reservation = None
        if caller.kind is not PrincipalKind.service:
            if self._rate is not None:
                allowance = await self._limiter.hit(self._rate, caller.id)
                if not allowance.allowed:
                    raise refusal(self._rate, allowance)
            reservation = await self._reserve(caller, tokens)
        return Ticket(caller, model[:MODEL_LENGTH], self._clock.now().date(), reservation)

    async def settle(self, ticket: Ticket, spent: Spent) -> None:
        """The answer has begun and ended, well or not; it cost as much."""
        day = UsageDay(ticket.caller.kind, ticket.caller.id, ticket.day, ticket.model)
        self._ledger.add(day, spent)
        self._measurements.proxied(
            ticket.caller.kind, prompt_tokens=spent.prompt_tokens, completion_tokens=spent.completion_tokens
        )
        if ticket.reservation is not None:
            await self._limiter.settle(ticket.reservation, spent.tokens)

    async def give_back(self, ticket: Ticket) -> None:
        """There was no answer."""
        if ticket.reservation is not None:
            await self._limiter.settle(ticket.reservation, 0)

    async def _reserve(self, caller: Principal, tokens: int) -> Reservation | None:
        if self._budget is None:
            return None
        reservation = await self._limiter.reserve(self._budget, caller.id, tokens)
        if not reservation.allowed:
            seconds, headers = over_budget(reservation)
            raise QuotaExceededError(
                f"The request may cost {tokens} tokens, and {reservation.remaining} of the day's {self._budget.amount}"
                " are left",
                retry_after=seconds,
                headers=headers,
            )
        return reservation
