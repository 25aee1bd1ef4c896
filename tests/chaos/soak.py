"""Everything at once, at a steady rate, for hours: nothing grows, and in the end all is as it was (R22)."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import sqrt
from pathlib import Path
from statistics import mean, median

from chaos.aborts import IN_USE, POOLED_DESCRIPTORS, settled_descriptors
from chaos.findings import Findings, percentile
from chaos.footing import Footing
from chaos.load import orphaned
from chaos.mix import SETTINGS as MIX_SETTINGS
from chaos.mix import Mix, sign_up
from frontdesk.database.engine import parse_url
from harness.model_stub import ModelStub
from harness.server import Server

BUSY = 0.3  # of one core
SETTINGS = MIX_SETTINGS | {"log_retention_seconds": 20, "llm_timeout_seconds": 60}
SAMPLE_SECONDS = 2.0
WARM_UP_SECONDS = 600.0
WARM_UP_SHARE = 0.3
MOST_ACTS = 60
FIRST_RATE, FASTEST_RATE, FIRST_ACTS = 5.0, 100.0, 10
LATE_SECONDS = 1.0
CLEAR_SECONDS = 40.0
SLOPE_MINUTES, GROWTH_MINUTES = 30.0, 4.0
SLOPE_MB_AN_HOUR = 1.0
GROWTH_MB = 10.0
FLOORS = 40
MB = 1e6


@dataclass(frozen=True)
class Sample:
    """`at` is in seconds since the beginning; sizes are bytes, `database` also of what is not yet in the main file."""

    at: float
    resident: int
    descriptors: int
    tasks: int
    streams: int
    log: int
    log_file: int
    database: int
    cpu_seconds: float


@dataclass
class _Soak:
    server: Server
    database: Footing
    mix: Mix
    seconds: float
    rate: float = FIRST_RATE
    skipped: int = 0
    samples: list[Sample] = field(default_factory=list)
    begun: float = field(default_factory=lambda: asyncio.get_running_loop().time())

    @property
    def warm_up(self) -> float:
        return min(WARM_UP_SECONDS, self.seconds * WARM_UP_SHARE)

    @property
    def warm(self) -> list[Sample]:
        return [sample for sample in self.samples if sample.at >= self.warm_up]

    async def keep_pace(self) -> None:
        """Begins an act whenever one is due, whether or not those before have ended, and returns when all have.

        What this process was too late for, or finds too many under way for, is left out.
        """
        loop = asyncio.get_running_loop()
        due, acting = loop.time(), set[asyncio.Task[None]]()
        while loop.time() < self.begun + self.seconds:
            due = max(due + 1 / self.rate, loop.time() - LATE_SECONDS)
            await asyncio.sleep(due - loop.time())
            acting = {task for task in acting if not task.done()}
            if len(acting) < MOST_ACTS:
                acting.add(asyncio.create_task(self.mix.act()))
            else:
                self.skipped += 1
        await asyncio.gather(*acting)

    async def keep_looking(self) -> None:
        while True:
            self.samples.append(await self._look())
            self._find_rate()
            await asyncio.sleep(min(SAMPLE_SECONDS, self.seconds / 50))

    def _find_rate(self) -> None:
        """While it warms up, the rate becomes the one that would keep the server as busy as it shall be, if it were
        given the time: what an act costs it is the same on a machine that is busy with something else.
        """
        first, last, acts = self.samples[0], self.samples[-1], self.mix.done.total()
        if last.at <= self.warm_up and acts >= FIRST_ACTS:
            self.rate = min(FASTEST_RATE, BUSY * acts / (last.cpu_seconds - first.cpu_seconds))

    async def _look(self) -> Sample:
        server = self.server
        figures = await server.metrics()
        return Sample(
            at=asyncio.get_running_loop().time() - self.begun,
            resident=server.resident_bytes,
            descriptors=server.descriptors,
            tasks=int(figures["frontdesk_tasks"]),
            streams=int(figures["frontdesk_streams_open"]),
            log=int(figures["frontdesk_log_bytes"]),
            log_file=server.log.stat().st_size,
            database=_size(self.database),
            cpu_seconds=server.cpu_seconds,
        )


def _size(database: Footing) -> int:
    if database.is_postgres:
        return 0
    path = Path(str(parse_url(database.url).database))
    return sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*"))


async def prove_soak(
    server: Server, stub: ModelStub, database: Footing, *, minutes: float, users: int = 8, idle: float = 20.0
) -> Findings:
    findings = Findings("soak")
    mix = Mix(server, await sign_up(server, users), findings, idle=idle)
    soak = _Soak(server, database, mix, minutes * 60)
    tasks, descriptors = await server.metric("frontdesk_tasks"), server.descriptors
    looking = asyncio.create_task(soak.keep_looking())
    await soak.keep_pace()
    looking.cancel()
    await asyncio.gather(looking, return_exceptions=True)
    await _judge_clear(findings, server, stub, database, descriptors)
    left = await server.settled("frontdesk_tasks", tasks, seconds=CLEAR_SECONDS)
    findings.expect(f"{left} tasks are left of {tasks} at the beginning", when=left <= tasks)
    refused = await server.total("frontdesk_requests_total", 'status="5')
    findings.expect(f"{refused} requests were answered with a 5xx", when=refused == 0)
    _judge_growth(findings, soak.warm, minutes)
    _count(findings, soak, minutes)
    return findings


async def _judge_clear(
    findings: Findings, server: Server, stub: ModelStub, database: Footing, descriptors: int
) -> None:
    unfinished = await orphaned(database)
    findings.expect(f"unfinished: {unfinished}", when=not unfinished)
    for name in ("frontdesk_streams_open", "frontdesk_executions_running", IN_USE, "frontdesk_log_bytes"):
        left = await server.settled(name, 0, seconds=CLEAR_SECONDS)
        findings.expect(f"{name} is {left}, when nothing happens any more", when=left == 0)
    findings.expect("calls are still open at the provider", when=await stub.open() == 0)
    most = descriptors + POOLED_DESCRIPTORS
    left = await settled_descriptors(server, most)
    findings.expect(f"{left} descriptors are left of {descriptors} at the beginning", when=left <= most)


def _judge_growth(findings: Findings, samples: Sequence[Sample], minutes: float) -> None:
    """Hours are judged by their slope. In minutes it is lost in the noise, so those are judged by what was added.
    In less there is nothing to judge.
    """
    floors = _floors(samples)
    slope, error = line(floors[len(floors) // 2 :])
    quarter = max(1, len(floors) // 4)
    first, last = (median(resident for _, resident in some) for some in (floors[:quarter], floors[-quarter:]))
    if minutes >= SLOPE_MINUTES:
        findings.at_most(f"memory grows by {slope:.2f} MB/h (error {error:.2f})", slope, SLOPE_MB_AN_HOUR)
    if minutes >= GROWTH_MINUTES:
        findings.at_most(f"memory grew by {last - first:.1f} MB after the warm-up", last - first, GROWTH_MB)
    findings.counts |= {
        "resident MB after the warm-up": first,
        "resident MB at the end": last,
        "resident MB at most": max(sample.resident for sample in samples) / MB,
        "slope over the second half, MB/h": slope,
        "its standard error": error,
    }


def _floors(samples: Sequence[Sample]) -> list[tuple[float, float]]:
    """The least that was resident in each of some equal times: hours and MB. A sign-in takes 64 MiB for a moment."""
    size = max(1, len(samples) // FLOORS)
    spans = (samples[start : start + size] for start in range(0, len(samples) - size + 1, size))
    return [(mean(one.at for one in span) / 3600, min(one.resident for one in span) / MB) for span in spans]


def _count(findings: Findings, soak: _Soak, minutes: float) -> None:
    warm = soak.warm
    acts = sum(soak.mix.done.values())
    findings.counts |= {
        "minutes": float(minutes),
        "acts": acts,
        "acts a second": soak.rate,
        "acts left out, since too many were under way": soak.skipped,
        "share of a core": (warm[-1].cpu_seconds - warm[0].cpu_seconds) / max(1e-9, warm[-1].at - warm[0].at),
        "streams open, mean": mean(sample.streams for sample in warm),
        "descriptors p99": percentile([sample.descriptors for sample in warm], 99),
        "tasks p99": percentile([sample.tasks for sample in warm], 99),
        "MB of the log in memory p99": percentile([sample.log for sample in warm], 99) / MB,
        "bytes written to the log file an act": soak.samples[-1].log_file / max(1, acts),
        "MB of SQLite's files": warm[-1].database / MB,
    }


def line(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """The slope by least squares and its standard error, as if the points' own errors were independent."""
    if len(points) < 3:
        return 0.0, 0.0
    x_mean, y_mean = mean(x for x, _ in points), mean(y for _, y in points)
    spread = sum((x - x_mean) ** 2 for x, _ in points)
    slope = sum((x - x_mean) * (y - y_mean) for x, y in points) / spread
    left = sum((y - y_mean - slope * (x - x_mean)) ** 2 for x, y in points)
    return slope, sqrt(left / (len(points) - 2) / spread)
