"""PostgreSQL restarts at once and hangs under load: nothing is lost, nobody waits long, streams go on (R12, R13)."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from chaos.findings import Findings, percentile
from chaos.load import Load, judge_end
from chaos.roaming import Asked
from chaos.topology import Topology
from harness.model_stub import ModelStub
from harness.server import Server
from harness.threads_client import LOST, ThreadsClient
from harness.transcript import POLL_SECONDS, Transcript, follow, numbered

ANSWERED_SECONDS = 5.0
HEALTHY_SECONDS = 5.0
LAG_SECONDS = 0.1
GAP_SECONDS = 1.0
PROBE_SECONDS = 0.05
KNOCK_SECONDS = 0.2
GIVE_UP_SECONDS = 30.0
ANSWER_SECONDS = 120.0
UNAVAILABLE = 503


@dataclass
class _Outage:
    """`begun` and `over` are the loop's times between which PostgreSQL was away, the others seconds."""

    kind: str
    begun: float = 0.0
    over: float = 0.0
    healthy: float = 0.0


@dataclass
class _Watch:
    """What is asked of each replica all the time: whether its loop is free, and what its other streams do."""

    stopping: bool = False
    pings: list[float] = field(default_factory=list)
    tokens: list[tuple[float, float]] = field(default_factory=list)

    async def ping(self, server: Server) -> None:
        """`/health` needs nothing but the loop."""
        loop = asyncio.get_running_loop()
        while not self.stopping:
            begun = loop.time()
            async with server.session.get(f"{server.url}/health") as response:
                await response.read()
            self.pings.append(loop.time() - begun)
            await asyncio.sleep(PROBE_SECONDS)

    async def read(self, client: ThreadsClient, findings: Findings, *, tokens: int) -> None:
        """One long answer after the other, where they run; the moments at which their tokens came."""
        thread_id = await client.new_thread()
        while not self.stopping:
            model = f"scripted?tokens={tokens}&pause_ms=100&key={secrets.token_hex(4)}"
            sent = await client.send(thread_id, "long", model=model, if_active="queue")
            if sent.status == UNAVAILABLE:
                await asyncio.sleep(POLL_SECONDS)
                continue
            await self._read_one(client, findings, thread_id, sent.body["execution_id"], tokens)

    async def _read_one(
        self, client: ThreadsClient, findings: Findings, thread_id: str, execution_id: str, tokens: int
    ) -> None:
        seen, last = Transcript(), 0.0
        try:
            async with asyncio.timeout(ANSWER_SECONDS), client.join(thread_id, execution_id) as stream:
                if stream.status != UNAVAILABLE:
                    async for event in stream:
                        had = seen.text
                        seen.take(event)
                        now = asyncio.get_running_loop().time()
                        if had and len(seen.text) > len(had):
                            self.tokens.append((now, now - last))
                        last = now
        except LOST:
            pass
        await follow(client, thread_id, execution_id, seen, seconds=ANSWER_SECONDS)
        findings.faults += [f"a long answer: {fault}" for fault in seen.faults]
        findings.expect(f"a long answer ended {seen.state}: {seen.text[-40:]!r}", when=seen.text == numbered(tokens))


async def _knock(load: Load, *, seconds: float) -> None:
    """Messages that are sent and threads that are read at a steady pace, whether the last ones were answered or not."""
    thread_id = await load.client.new_thread()

    async def send() -> None:
        sent = load.history.sending(thread_id, f"knock {next(load.numbers)}")
        body = {"model": "scripted?tokens=1", "if_active": "queue"}
        load.acknowledge(sent, await load.client.send(thread_id, sent.text, key=sent.text, **body))

    async with asyncio.TaskGroup() as group:
        while not load.stopping:
            group.create_task(send())
            group.create_task(load.client.ask("GET", f"/threads/{thread_id}/messages?limit=5"))
            await asyncio.sleep(seconds)


async def prove_postgres_faults(
    topology: Topology, stub: ModelStub, *, restarts: int, pause: float, pauses: int = 1, writers: int = 8
) -> Findings:
    """`pause` is in seconds."""
    findings = Findings("PostgreSQL away")
    client = await topology.user("postgres")
    load = Load(stub, client, findings, tokens=30, pause_ms=20)
    watch, outages, loop = _Watch(), [], asyncio.get_running_loop()

    async def suffer(kind: str, fault: Callable[[], Awaitable[None]], end: Callable[[], Awaitable[None]]) -> None:
        await asyncio.sleep(2.0)
        outage = _Outage(kind, begun=loop.time())
        await fault()
        await end()
        outage.over = loop.time()
        outage.healthy = max(await asyncio.gather(*(_heal(at) for at in topology.straight(client))))
        outages.append(outage)

    async def hang() -> None:
        await asyncio.to_thread(topology.postgres.pause)
        await asyncio.sleep(pause)

    async with asyncio.TaskGroup() as group:
        for server, at in zip(topology.servers, topology.straight(client), strict=True):
            group.create_task(watch.ping(server))
            for _ in range(3):
                group.create_task(watch.read(at, findings, tokens=int(pause * 10) + 40))
        for _ in range(writers):
            group.create_task(load.converse())
        group.create_task(_knock(load, seconds=KNOCK_SECONDS))
        stop, start, resume = topology.postgres.stop_at_once, topology.postgres.start, topology.postgres.resume
        for _ in range(restarts):
            await suffer("restart", lambda: asyncio.to_thread(stop), lambda: asyncio.to_thread(start))
        for _ in range(pauses):
            await suffer("pause", hang, lambda: asyncio.to_thread(resume))
        watch.stopping = load.stopping = True
    await judge_end(load, topology.footing)
    _judge(findings, watch, outages, topology.asked)
    return findings


async def _heal(client: ThreadsClient) -> float:
    """Seconds until a replica stores something again."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    while loop.time() - begun < GIVE_UP_SECONDS:
        try:
            await client.new_thread()
        except LOST:
            await asyncio.sleep(POLL_SECONDS)
        else:
            break
    return loop.time() - begun


def _judge(findings: Findings, watch: _Watch, outages: list[_Outage], asked: list[Asked]) -> None:
    for one in asked:
        came = f"{one.method} was {one.status} after {one.seconds:.1f} s, Retry-After {one.retry_after}"
        findings.expect(came, when=0 < one.status < 500 or (one.status == 503 and bool(one.retry_after)))
    slow = max(one.seconds for one in asked)
    findings.at_most(f"a request was answered after {slow:.1f} s", slow, ANSWERED_SECONDS)
    healthy = max(outage.healthy for outage in outages)
    findings.at_most(f"healthy {healthy:.1f} s after PostgreSQL was back", healthy, HEALTHY_SECONDS)
    lag = percentile(watch.pings, 99)
    findings.at_most(f"the loops were busy for {lag * 1000:.0f} ms (p99)", lag, LAG_SECONDS)
    gaps = [gap for at, gap in watch.tokens if any(o.begun < at < o.over for o in outages)]
    findings.expect("no stream was open meanwhile", when=bool(gaps))
    gap = percentile(gaps, 99)
    findings.at_most(f"{gap:.2f} s between tokens meanwhile (p99)", gap, GAP_SECONDS)
    findings.counts |= {
        "restarts": sum(outage.kind == "restart" for outage in outages),
        "pauses": sum(outage.kind == "pause" for outage in outages),
        "requests": len(asked),
        "of them turned away with 503": sum(one.status == UNAVAILABLE for one in asked),
        "seconds of a request max": slow,
        "seconds to healthy max": healthy,
        "ms of the loops' lag p99": lag * 1000,
        "ms of the loops' lag max": max(watch.pings) * 1000,
        "tokens streamed meanwhile": len(gaps),
        "ms between tokens meanwhile p99": gap * 1000,
    }
