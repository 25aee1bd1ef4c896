"""Ten times as many messages as the server can answer: it goes on answering what it can, and tells the others at once
to come again (R25).

Meanwhile an answer that was under way streams on, others are joined and stopped, and health is told.
"""

import asyncio
import json
from collections.abc import Awaitable, Coroutine, Iterator
from dataclasses import dataclass, field
from itertools import cycle
from statistics import mean
from time import perf_counter

from chaos.findings import Findings, percentile
from harness.open_loop import Load, Tally
from harness.server import Server
from harness.threads_client import LOST, ThreadsClient
from harness.transcript import Transcript, numbered

SETTINGS = {"llm_context_messages": 1}  # a message costs the same however long its thread has become
THREADS = 200
WORKERS = 48
TIMES = 10
GOODPUT = 0.9
AWAY_SECONDS = 0.05
NORMAL_SECONDS = 5.0
IN_A_ROW = 10
GAP_SECONDS = 0.25
PAUSE_MS = 50
MODEL = "scripted?tokens=20"
UNAVAILABLE = 503


@dataclass
class _Meanwhile:
    """Seconds of what is asked beside the load, and what became of it."""

    findings: Findings
    healths: list[float] = field(default_factory=list)
    joins: list[float] = field(default_factory=list)
    stops: list[float] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)

    async def ask_health(self, server: Server) -> None:
        while True:
            begun = perf_counter()
            async with server.session.get(f"{server.url}/health") as response:
                self.findings.expect(f"health was {response.status}", when=response.status == 200)
            self.healths.append(perf_counter() - begun)
            await asyncio.sleep(0.05)

    async def join(self, client: ThreadsClient, thread_id: str, execution_id: str) -> None:
        """One who comes back to an answer, again and again."""
        while True:
            begun = perf_counter()
            async with client.join(thread_id, execution_id) as stream:
                self.findings.expect(f"a resume was {stream.status}", when=stream.status == 200)
            self.joins.append(perf_counter() - begun)
            await asyncio.sleep(0.1)

    async def stop(self, client: ThreadsClient, running: list[tuple[str, str]]) -> None:
        for thread_id, execution_id in running:
            await asyncio.sleep(0.2)
            begun = perf_counter()
            stopped = await client.cancel(thread_id, execution_id)
            self.findings.expect(f"a stop was {stopped.status}", when=stopped.status in {202, UNAVAILABLE})
            if stopped.status == UNAVAILABLE:  # let in, and then the database was not to be had in time
                self.findings.missed.append(f"a stop was 503 after {perf_counter() - begun:.1f} s")
            self.stops.append(perf_counter() - begun)

    async def read(self, client: ThreadsClient, thread_id: str, execution_id: str, tokens: int) -> None:
        seen, last = Transcript(), 0.0
        async with client.join(thread_id, execution_id) as stream:
            async for event in stream:
                seen.take(event)
                self.gaps += [perf_counter() - last] if last else []
                last = perf_counter()
        self.findings.expect(f"the open stream ended {seen.state}", when=seen.text == numbered(tokens))


def _sends(client: ThreadsClient, threads: list[str]) -> Iterator[bytes]:
    body = json.dumps({"text": "Go on", "model": MODEL, "if_active": "queue"})
    fields = {"Host": "chaos", "Content-Type": "application/json", "Content-Length": str(len(body)), **client.headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return cycle([f"POST /api/threads/{at}/messages/stream HTTP/1.1\r\n{lines}\r\n{body}".encode() for at in threads])


@dataclass
class _Phase:
    """What a load came to: answers a second, and for a second of the server's processor."""

    tally: Tally
    seconds: float
    cpu_seconds: float

    @property
    def share(self) -> float:
        """Of a processor."""
        return self.cpu_seconds / self.seconds

    @property
    def rate(self) -> float:
        return self.tally.statuses[200] / self.seconds

    @property
    def efficiency(self) -> float:
        return self.tally.statuses[200] / self.cpu_seconds


async def _measured(server: Server, loading: Awaitable[Tally]) -> _Phase:
    begun, busy = perf_counter(), server.cpu_seconds
    tally = await loading
    return _Phase(tally, perf_counter() - begun, server.cpu_seconds - busy)


async def prove_overload(server: Server, *, seconds: float) -> Findings:
    """`seconds` of the overload; the peak is measured before and after, for a quarter of that, 10 s at most."""
    findings = Findings("overload")
    client = await server.user("overload")
    load = Load(server.port, _sends(client, [await client.new_thread() for _ in range(THREADS)]))
    measured = min(10.0, max(2.0, seconds / 4))
    await load.closed(workers=WORKERS, seconds=measured / 2)
    before, meanwhile = _Meanwhile(findings), _Meanwhile(findings)
    pinging = asyncio.create_task(before.ask_health(server))
    peak = await _measured(server, load.closed(workers=WORKERS, seconds=measured))
    pinging.cancel()
    await asyncio.wait([pinging])
    usual = await _usual(client)
    async with asyncio.TaskGroup() as group:
        beside = [group.create_task(each) for each in await _beside(server, client, meanwhile, seconds)]
        over = await _measured(server, load.open(rate=peak.rate * TIMES, seconds=seconds))
        normal = await _back_to_normal(client, usual)
        for task in beside[:2]:
            task.cancel()
    again = await _measured(server, load.closed(workers=WORKERS, seconds=measured))
    await load.aclose()
    _judge(findings, (peak, again), over, lag=percentile(before.healths, 99))
    _judge_meanwhile(findings, meanwhile, normal=normal, lag=percentile(before.healths, 99))
    return findings


async def _beside(
    server: Server, client: ThreadsClient, meanwhile: _Meanwhile, seconds: float
) -> list[Coroutine[None, None, None]]:
    tokens = int(seconds * 1000 / PAUSE_MS)
    slow = f"scripted?tokens={tokens}&pause_ms={PAUSE_MS}"
    thread_id = await client.new_thread()
    execution_id = await client.begin(thread_id, slow)
    running = []
    for _ in range(int(seconds * 2)):
        at = await client.new_thread()
        running.append((at, await client.begin(at, "scripted?tokens=100000&pause_ms=1000")))
    return [
        meanwhile.ask_health(server),
        meanwhile.join(client, thread_id, execution_id),
        meanwhile.stop(client, running),
        meanwhile.read(client, thread_id, execution_id, tokens),
    ]


async def _usual(client: ThreadsClient) -> float:
    taken = []
    for _ in range(IN_A_ROW):
        begun = perf_counter()
        await client.new_thread()
        taken.append(perf_counter() - begun)
    return max(taken)


async def _back_to_normal(client: ThreadsClient, usual: float) -> float:
    """Seconds until so many requests in a row are answered about as fast as before."""
    begun, row, since = perf_counter(), 0, perf_counter()
    while row < IN_A_ROW and perf_counter() - begun < 2 * NORMAL_SECONDS:
        asked = perf_counter()
        try:
            await client.new_thread()
            good = perf_counter() - asked < max(0.1, 3 * usual)
        except LOST:
            good = False
        row, since = (row + 1, since) if good else (0, perf_counter())
    return since - begun


def _judge(findings: Findings, peaks: tuple[_Phase, _Phase], over: _Phase, *, lag: float) -> None:
    """`lag` is what health took at the peak (p99): so long does the machine keep anybody waiting who shares it.

    The load takes its share of the processor too, so what one second of the server's own brings is what is judged. The
    peak is the mean of before and after, since a machine's speed and a database's size change in minutes.
    """
    peak, efficient = mean(each.rate for each in peaks), mean(each.efficiency for each in peaks)
    tally = over.tally
    away, good = tally.seconds.get(UNAVAILABLE, []), tally.seconds.get(200, [])
    odd = {status: count for status, count in tally.statuses.items() if status not in {200, UNAVAILABLE}}
    findings.expect(f"answers were {odd}", when=not odd)
    findings.expect(f"{tally.without_retry_after} had no Retry-After", when=not tally.without_retry_after)
    findings.expect("nobody was turned away", when=bool(away))
    share, efficiency = over.rate / peak, over.efficiency / efficient
    if share < GOODPUT:
        findings.missed.append(f"{share:.0%} of the peak were answered")
    of_peak = f"a second of the processor brought {efficiency:.0%} of the answers that it does at the peak"
    findings.at_most(of_peak, GOODPUT / max(efficiency, 0.001), 1.0)
    told, usually_told = percentile(away, 99), percentile(away, 50)
    if told > AWAY_SECONDS:
        findings.missed.append(f"it took {told * 1000:.0f} ms to turn away (p99)")
    usual = max(AWAY_SECONDS, lag)
    findings.at_most(f"it took {usually_told * 1000:.0f} ms to turn away (p50)", usually_told, usual)
    findings.counts |= {
        "answers a second at the peak, before": peaks[0].rate,
        "and after": peaks[1].rate,
        "messages a second sent": tally.sent / over.seconds,
        "and not sent for want of connections": tally.unsent / over.seconds,
        "answers a second under overload": over.rate,
        "% of the peak": share * 100,
        "% of the peak, by the server's processor": efficiency * 100,
        "server's share of a processor at the peak": peaks[0].share,
        "and under overload": over.share,
        "turned away": len(away),
        "ms to turn away p50": usually_told * 1000,
        "ms to turn away p99": told * 1000,
        "ms of health at the peak p99": lag * 1000,
        "ms to a whole answer p50": percentile(good, 50) * 1000,
        "ms to a whole answer p99": percentile(good, 99) * 1000,
    }


def _judge_meanwhile(findings: Findings, meanwhile: _Meanwhile, *, normal: float, lag: float) -> None:
    findings.at_most(f"back to normal after {normal:.1f} s", normal, NORMAL_SECONDS)
    gap = percentile(meanwhile.gaps, 99)
    findings.at_most(f"{gap * 1000:.0f} ms between tokens of an open stream (p99)", gap, max(GAP_SECONDS, 2 * lag))
    findings.counts |= {
        "seconds to normal": normal,
        "ms between tokens of an open stream p99": gap * 1000,
        "ms of health p99": percentile(meanwhile.healths, 99) * 1000,
        "resumes": len(meanwhile.joins),
        "ms to a resume p99": percentile(meanwhile.joins, 99) * 1000,
        "stops": len(meanwhile.stops),
        "ms to a stop p99": percentile(meanwhile.stops, 99) * 1000,
    }
