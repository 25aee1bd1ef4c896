"""Whether what the configuration needs is there, each part with its state and how long it took to tell."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import msgspec

from frontdesk.errors import FrontdeskError
from frontdesk.kit.clock import Clock

Check = Callable[[], Awaitable[object]]
_TIMEOUT_SECONDS = 2.0
_UNNEEDED_SECONDS = 0.8  # probes give up after a second, as a rule, and must not for what is not needed


class PartHealth(msgspec.Struct, frozen=True):
    """`latency_ms` is in milliseconds; `needed` parts decide readiness."""

    status: str
    latency_ms: float
    needed: bool
    detail: str | None = None


class Health:
    """`checks` maps a part's name to its check and whether readiness needs it. A check fails with a
    `FrontdeskError`.
    """

    def __init__(self, checks: Mapping[str, tuple[Check, bool]], *, clock: Clock) -> None:
        self._checks = checks
        self._clock = clock

    async def report(self) -> tuple[bool, dict[str, PartHealth]]:
        """Whether the program is ready, and each part."""
        parts = await asyncio.gather(*(self._try(check, needed=needed) for check, needed in self._checks.values()))
        report = dict(zip(self._checks, parts, strict=True))
        return all(part.status == "ok" for part in parts if part.needed), report

    async def _try(self, check: Check, *, needed: bool) -> PartHealth:
        begun = self._clock.monotonic()
        status, detail = "ok", None
        patience = _TIMEOUT_SECONDS if needed else _UNNEEDED_SECONDS
        try:
            async with asyncio.timeout(patience):
                await check()
        except FrontdeskError as error:
            status, detail = "down", error.detail
        except TimeoutError:
            status, detail = "down", f"no answer within {patience:g} s"
        return PartHealth(status, round((self._clock.monotonic() - begun) * 1000, 2), needed, detail)
