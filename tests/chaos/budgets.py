"""Budgets of a day, spent by several processes, past midnight and past the end of those processes (R24).

What a process had reserved and not settled when it was killed stays taken until midnight, in full, since nobody knows
what of it was used; the next day has its whole budget.
"""

import asyncio
import json
import random
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from chaos.findings import Findings
from frontdesk.adapters.rate_limiter.redis import RedisRateLimiter
from frontdesk.kit.clock import HeldClock, seconds_to_midnight
from frontdesk.ports.rate_limiter import Budget
from harness.budget_spender import KEY, NAME, SPENDERS
from harness.fake_time import WallClock
from harness.processes import SOURCE, Process

PROCESSES = 4
# The day is UTC's wherever a process stands.
ZONES = ("UTC", "Pacific/Kiritimati", "America/Los_Angeles", "Asia/Kolkata")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MIDNIGHT = datetime(2026, 3, 2, tzinfo=UTC)
DAY = timedelta(days=1)
SCARCE, AMPLE = 2_000, 1_000_000
PATIENT_SECONDS = 60.0
POLL_SECONDS = 0.02


@dataclass
class _Spent:
    """What the processes told that they did: settlements by the id of the reservation, with what was used."""

    reserved: list[dict[str, Any]]
    settling: dict[str, int]
    settled: dict[str, dict[str, Any]]

    @property
    def allowed(self) -> dict[str, dict[str, Any]]:
        return {one["id"]: one for one in self.reserved if one["allowed"]}


class _Spenders:
    """Processes that spend one budget on `redis_url`, all by `clock`; their logs are in `folder`."""

    def __init__(self, redis_url: str, folder: Path, now: datetime) -> None:
        self.clock = WallClock(folder / f"clock-{now:%d}", now)
        self._redis_url = redis_url
        self._folder = folder
        self._numbers = count()
        self._logs: list[Path] = []

    def start(self, *, budget: int) -> Process:
        number = next(self._numbers)
        self._logs.append(self._folder / f"spender-{secrets.token_hex(4)}.log")
        path = f"{SOURCE}:{SOURCE.parent / 'tests'}:{SOURCE.parent}"
        environment = {**self.clock.environment, "TZ": ZONES[number % len(ZONES)], "PYTHONPATH": path}
        arguments = ("harness.budget_spender", self._redis_url, str(budget))
        return Process(*arguments, log=self._logs[-1], environment=environment).start()

    def read(self) -> _Spent:
        spent = _Spent([], {}, {})
        for log in self._logs:
            for line in log.read_text().splitlines(keepends=True):
                if line.endswith("\n"):
                    _take(spent, json.loads(line))
        return spent

    async def held(self, day: str) -> tuple[int, dict[str, int], int]:
        """What Redis has for the day: the sum, the open reservations, and the seconds that it will keep it."""
        key = f"chat-budget:{NAME}:{day}:{KEY}"
        async with Redis.from_url(self._redis_url, decode_responses=True) as redis:
            found = {name: int(value) for name, value in (await redis.hgetall(key)).items()}
            return found.pop("sum", 0), found, await redis.ttl(key)


def _take(spent: _Spent, told: dict[str, Any]) -> None:
    if told["did"] == "reserved":
        spent.reserved.append(told)
    elif told["did"] == "settling":
        spent.settling[told["id"]] = told["used"]
    else:
        spent.settled[told["id"]] = told


async def prove_midnight(redis_url: str, folder: Path, *, midnights: int) -> Findings:
    """Each time the day's budget is spent, and then it is midnight for all of them."""
    findings = Findings("budgets at midnight")
    findings.counts |= {"midnights": midnights, "processes": PROCESSES}
    for number in range(midnights):
        midnight = MIDNIGHT + 3 * number * DAY
        spenders = _Spenders(redis_url, folder, midnight - DAY / 2)
        processes = [spenders.start(budget=SCARCE) for _ in range(PROCESSES)]
        await asyncio.gather(*(_told(process, '"allowed": false') for process in processes))
        spenders.clock.set(midnight - timedelta(seconds=1))
        codes = await asyncio.gather(*(asyncio.to_thread(one.wait, seconds=PATIENT_SECONDS) for one in processes))
        findings.expect(f"processes ended with {codes}", when=codes == [0] * PROCESSES)
        await _judge_midnight(findings, spenders, midnight)
    return findings


async def _told(process: Process, what: str) -> None:
    """Returns once it has written that."""
    async with asyncio.timeout(PATIENT_SECONDS):
        while what not in process.output():
            process.check()
            await asyncio.sleep(POLL_SECONDS)


async def _judge_midnight(findings: Findings, spenders: _Spenders, midnight: datetime) -> None:
    spent = spenders.read()
    for one in spent.reserved:
        _judge_moment(findings, one)
    days = sorted({one["day"] for one in spent.reserved})
    findings.expect(f"days were {days}", when=days == [f"{midnight - DAY:%Y-%m-%d}", f"{midnight:%Y-%m-%d}"])
    for day in days:
        used = sum(spent.settling[id_] for id_, one in spent.allowed.items() if one["day"] == day)
        held, still_open, _ = await spenders.held(day)
        findings.expect(f"{day}: {held} counted of {used} used", when=held == used)
        findings.expect(f"{day}: {used} used of {SCARCE}", when=used <= SCARCE)
        findings.expect(f"{day}: {len(still_open)} are open", when=not still_open)
    refused = [one for one in spent.reserved if not one["allowed"]]
    late = [id_ for id_, one in spent.settled.items() if one["day"] != spent.allowed[id_]["day"]]
    again = [one for one in spent.allowed.values() if one["day"] == days[-1]]
    findings.expect(f"{len(late)} settled on the day after", when=len(late) >= PROCESSES)
    findings.expect("nothing was allowed on the day after", when=len(again) > 0)
    counted = {"reservations": spent.reserved, "refused": refused, "settled on the day after": late}
    for name, ones in {**counted, "allowed on the day after": again}.items():
        findings.counts[name] = findings.counts.get(name, 0) + len(ones)


def _judge_moment(findings: Findings, one: dict[str, Any]) -> None:
    """The day of a reservation, and how long it is to the next one, are those of the moment at which it was made."""
    moments = [datetime.fromisoformat(one[name]) for name in ("before", "after")]
    days = [moment.date().isoformat() for moment in moments]
    findings.expect(f"a reservation of {days} is of {one['day']}", when=one["day"] in days)
    least, most = seconds_to_midnight(moments[1]), seconds_to_midnight(moments[0])
    if not one["allowed"] and days[0] == days[1]:
        told = f"told to wait {one['retry_after']} s, {least} to {most} before midnight"
        findings.expect(told, when=least <= one["retry_after"] <= most)


async def prove_kills_between(redis_url: str, folder: Path, *, kills: int, longest: float = 1.0) -> Findings:
    """`kill -9` of processes that reserve and settle; `longest` is in seconds: how long one spends before."""
    findings = Findings("budgets and kills")
    spenders = _Spenders(redis_url, folder, NOON)
    turns = iter(range(kills))

    async def keep_killing() -> None:
        for _ in turns:
            process = spenders.start(budget=AMPLE)
            await _told(process, "settled")
            await asyncio.sleep(random.uniform(0.0, longest))
            process.kill()

    await asyncio.gather(*(keep_killing() for _ in range(PROCESSES)))
    await _judge_killed(findings, spenders, kills)
    limiter = RedisRateLimiter(redis_url, HeldClock(NOON + DAY), patience=PATIENT_SECONDS)
    whole = await limiter.reserve(Budget(NAME, AMPLE), KEY, AMPLE)
    await limiter.aclose()
    findings.expect(f"the next day had {whole.remaining} of {AMPLE}", when=whole.allowed)
    return findings


async def _judge_killed(findings: Findings, spenders: _Spenders, kills: int) -> None:
    spent = spenders.read()
    total, held, kept = await spenders.held(f"{NOON:%Y-%m-%d}")
    allowed = spent.allowed
    for id_, one in allowed.items():
        if id_ in spent.settled:
            findings.expect(f"{id_} is settled and still taken", when=id_ not in held and spent.settled[id_]["first"])
        elif id_ not in spent.settling:
            findings.expect(f"{id_} was given back by nobody", when=held.get(id_) == one["amount"])
    unheard = held.keys() - allowed.keys()  # Redis heard them, and who asked was killed before the answer
    most = kills * (SPENDERS + 1)
    findings.expect(f"{len(unheard)} reservations that nobody made", when=len(unheard) <= most)
    used = sum(spent.settling.get(id_, 0) for id_ in allowed.keys() - held.keys())
    taken = sum(held.values())
    findings.expect(f"{total} counted of {used} used and {taken} taken", when=total == used + taken)
    left_open = allowed.keys() - spent.settled.keys()
    findings.expect("no kill came between a reservation and its settlement", when=len(left_open) > 0)
    findings.expect(f"it would be kept for {kept} s", when=0 < kept <= 2 * DAY.total_seconds())
    findings.counts |= {
        "kills": kills,
        "reservations": len(allowed),
        "settled": len(spent.settled),
        "cut between reserving and settling": len(left_open),
        "of them heard as settled": len(left_open - held.keys()),
        "reserved, and killed before they were told": len(unheard),
        "taken until midnight": taken,
    }
