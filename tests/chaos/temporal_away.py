"""Temporal stands still and dies while users send: what was accepted is answered, and what runs goes on (R15)."""

import asyncio
import random
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from chaos.findings import Findings, percentile
from chaos.footing import UNFINISHED
from chaos.load import MESSAGES_IN_THREAD, Load, judge_end
from chaos.roaming import Asked
from chaos.topology import Topology
from deploy.parts.temporal import TemporalServer
from harness.model_stub import ModelStub
from harness.threads_client import LOST
from harness.transcript import POLL_SECONDS, TimedTranscript, numbered, read

ANSWERED_SECONDS = 5.0
DRAINED_SECONDS = 30.0
GIVE_UP_SECONDS = 4 * DRAINED_SECONDS
GAP_SECONDS = 1.0
CALM_SECONDS = 2.0
ANSWER_SECONDS = 300.0
BETWEEN_TOKENS_MILLISECONDS = 100


@dataclass
class _Outage:
    """`begun` and `over` are the loop's times between which Temporal was away, the others seconds since `over`."""

    kind: str
    begun: float
    over: float = 0.0
    drained: float = 0.0
    ready: float = 0.0

    def has(self, moment: float) -> bool:
        return self.begun < moment < self.over


@dataclass
class _Users:
    """They send at a steady pace, whether they were answered or not, and read each answer over one connection.

    `accepted` is when each execution was, in the loop's time; `heads` are the seconds until streams began.
    """

    load: Load
    findings: Findings
    topology: Topology
    accepted: dict[str, float] = field(default_factory=dict)
    heads: list[float] = field(default_factory=list)

    async def talk(self, *, interval: float) -> None:
        async with asyncio.TaskGroup() as group:
            while not self.load.stopping:
                thread_id = await self.load.client.new_thread()
                for _ in range(MESSAGES_IN_THREAD):
                    group.create_task(self._exchange(thread_id))
                    await asyncio.sleep(interval * random.uniform(0.5, 1.5))

    async def _exchange(self, thread_id: str) -> None:
        load, number, loop = self.load, next(self.load.numbers), asyncio.get_running_loop()
        begun, sent = loop.time(), self.load.history.sending(thread_id, f"message {number}")
        model = f"scripted?tokens={load.tokens}&pause_ms={load.pause_ms}&key={load.run}-{number}"
        reply = await load.client.send(thread_id, sent.text, key=sent.text, model=model, if_active="queue")
        load.acknowledge(sent, reply)
        if sent.execution_id is not None:
            self.accepted[sent.execution_id] = loop.time()
            seen = await self.watch(thread_id, sent.execution_id)
            load.judge(sent, seen, begun)
            load.calls[sent.execution_id] = len(await load.stub.calls(f"{load.run}-{number}"))

    async def watch(self, thread_id: str, execution_id: str) -> TimedTranscript:
        """No stream ends before its answer does, for no process ends here but Temporal."""
        seen, loop = TimedTranscript(), asyncio.get_running_loop()
        begun = loop.time()
        try:
            async with asyncio.timeout(ANSWER_SECONDS), self.load.client.join(thread_id, execution_id) as stream:
                self.heads.append(loop.time() - begun)
                self.findings.expect(f"a stream was {stream.status}", when=stream.status == 200)
                await read(stream, seen)
        except LOST as error:
            self.findings.faults.append(f"a stream broke off: {error!r}, {seen.states[-3:]}")
        return seen

    async def begin(self, tokens: int, *, key: str) -> tuple[str, str]:
        """The thread's and the execution's id of a long answer."""
        client = self.load.client
        sent = self.load.history.sending(await client.new_thread(), f"long {key}")
        model = f"scripted?tokens={tokens}&pause_ms={BETWEEN_TOKENS_MILLISECONDS}&key={key}"
        self.load.acknowledge(sent, await client.send(sent.thread_id, sent.text, model=model))
        return sent.thread_id, sent.execution_id or ""


class _Running:
    """Long answers that are under way when Temporal goes, and end some time after it is back."""

    def __init__(self, users: _Users, *, tokens: int) -> None:
        self.users = users
        self.tokens = tokens
        self.gaps: list[float] = []
        self._reading: list[asyncio.Task[TimedTranscript]] = []

    async def begin(self, count: int) -> None:
        """Returns when all of them run."""
        keys = [secrets.token_hex(4) for _ in range(count)]
        for key in keys:
            answer = await self.users.begin(self.tokens, key=key)
            self._reading.append(asyncio.create_task(self.users.watch(*answer)))
        for key in keys:
            await self.users.load.stub.call(key, lambda _: True, seconds=GIVE_UP_SECONDS)

    async def judge(self, findings: Findings, outage: _Outage) -> None:
        for reading in self._reading:
            seen = await reading
            findings.faults += [f"a running answer: {fault}" for fault in seen.faults]
            whole = seen.state == "completed" and seen.text == numbered(self.tokens)
            findings.expect(f"a running answer ended {seen.state}: {seen.text[-40:]!r}", when=whole)
            findings.expect(f"a running answer was begun again: {seen.states}", when=seen.restarts == 0)
            pairs = zip(seen.times, seen.times[1:], strict=False)
            self.gaps += [now - last for last, now in pairs if outage.has(last) and outage.has(now)]


async def prove_temporal_faults(
    topology: Topology,
    stub: ModelStub,
    *,
    pause: float,
    rounds: int = 1,
    users: int = 10,
    running: int = 10,
    interval: float = 2.0,
) -> Findings:
    """`pause` is how long Temporal is away each time, and `interval` the time between a user's messages, in seconds."""
    findings, temporal = Findings("Temporal away"), topology.temporal
    assert temporal is not None
    load = Load(stub, await topology.user(f"temporal-{secrets.token_hex(4)}"), findings, tokens=10, pause_ms=10)
    crowd, outages, gaps = _Users(load, findings, topology), [], []
    async with asyncio.TaskGroup() as group:
        for _ in range(users):
            group.create_task(crowd.talk(interval=interval))
        for _ in range(rounds):
            for kind, (leave, come_back) in _ways(temporal).items():
                await asyncio.sleep(CALM_SECONDS)
                under_way = _Running(crowd, tokens=int(pause * 1000 / BETWEEN_TOKENS_MILLISECONDS) + 50)
                await under_way.begin(running)
                outage = _Outage(kind, begun=asyncio.get_running_loop().time())
                await asyncio.to_thread(leave)
                await asyncio.gather(asyncio.sleep(pause), _stops(crowd), _not_ready(topology, findings))
                await asyncio.to_thread(come_back)
                outage.over = asyncio.get_running_loop().time()
                await _recover(crowd, outage)
                await under_way.judge(findings, outage)
                gaps += under_way.gaps
                outages.append(outage)
        load.stopping = True
    await judge_end(load, topology.footing)
    await _judge(crowd, outages, gaps, topology.asked)
    return findings


def _ways(temporal: TemporalServer) -> dict[str, tuple[Callable[[], object], Callable[[], object]]]:
    return {"paused": (temporal.pause, temporal.resume), "killed": (temporal.stop, temporal.start)}


async def _stops(users: _Users) -> None:
    """While Temporal is away a stop ends an answer that was never begun, and its provider never hears of it."""
    key = secrets.token_hex(4)
    thread_id, execution_id = await users.begin(10, key=key)
    reply = await users.load.client.cancel(thread_id, execution_id)
    stopped = reply.status == 202 and reply.body["state"] == "interrupted"
    users.findings.expect(f"a stop of what waits was {reply}", when=stopped)
    seen = await users.watch(thread_id, execution_id)
    users.findings.expect(f"what was stopped ended {seen.state}", when=seen.state == "interrupted")
    users.findings.expect("the provider was called for what was stopped", when=not await users.load.stub.calls(key))


async def _not_ready(topology: Topology, findings: Findings) -> None:
    """Every replica says so, in time, and that it is alive."""
    loop = asyncio.get_running_loop()
    for server in topology.servers:
        for path, expected in (("/health/ready", 503), ("/health", 200)):
            begun = loop.time()
            async with server.session.get(f"{server.url}{path}") as response:
                took = loop.time() - begun
            findings.expect(f"{path} was {response.status} without Temporal", when=response.status == expected)
            findings.at_most(f"{path} took {took:.1f} s without Temporal", took, ANSWERED_SECONDS)


async def _recover(users: _Users, outage: _Outage) -> None:
    loop, footing = asyncio.get_running_loop(), users.topology.footing
    ready = asyncio.create_task(users.topology.ready(seconds=GIVE_UP_SECONDS))
    waiting = {id_ for id_, at in users.accepted.items() if at < outage.over}
    while waiting and loop.time() - outage.over < GIVE_UP_SECONDS:
        waiting &= {row[0] for row in await footing.rows(UNFINISHED)}
        if waiting:
            await asyncio.sleep(POLL_SECONDS)
    outage.drained = loop.time() - outage.over
    outage.ready = await ready


def _slowest(outages: list[_Outage]) -> dict[str, float]:
    """Until drained, by kind."""
    kinds = {outage.kind for outage in outages}
    return {kind: max(outage.drained for outage in outages if outage.kind == kind) for kind in sorted(kinds)}


async def _judge(users: _Users, outages: list[_Outage], gaps: list[float], asked: list[Asked]) -> None:
    findings = users.findings
    for one in asked:
        findings.expect(f"{one.method} was {one.status} after {one.seconds:.1f} s", when=0 < one.status < 300)
    slow, head = max(one.seconds for one in asked), max(users.heads)
    findings.at_most(f"a request was answered after {slow:.1f} s", slow, ANSWERED_SECONDS)
    findings.at_most(f"a stream began after {head:.1f} s", head, ANSWERED_SECONDS)
    meanwhile = [sum(map(outage.has, users.accepted.values())) for outage in outages]
    findings.expect(f"accepted while Temporal was away: {meanwhile}", when=all(meanwhile))
    drained = max(outage.drained for outage in outages)
    findings.at_most(f"drained {drained:.1f} s after Temporal was back", drained, DRAINED_SECONDS)
    ready = max(outage.ready for outage in outages)
    findings.at_most(f"ready {ready:.1f} s after Temporal was back", ready, DRAINED_SECONDS)
    findings.expect("no answer ran meanwhile", when=bool(gaps))
    gap = percentile(gaps, 99)
    findings.at_most(f"{gap:.2f} s between tokens meanwhile (p99)", gap, GAP_SECONDS)
    begun_again = {row[0] for row in await users.topology.footing.rows("SELECT id FROM executions WHERE attempt > 1")}
    again = len(begun_again & users.accepted.keys())
    findings.expect(f"{again} answers were begun again", when=again == 0)
    findings.counts |= {
        "outages": len(outages),
        "seconds of an outage max": max(outage.over - outage.begun for outage in outages),
        "requests": len(asked),
        "seconds of a request max": slow,
        "seconds until a stream began max": head,
        "answers accepted meanwhile": sum(meanwhile),
        **{f"{kind}: seconds until drained max": seconds for kind, seconds in _slowest(outages).items()},
        "seconds until ready max": ready,
        "tokens streamed meanwhile": len(gaps),
        "ms between tokens meanwhile p99": gap * 1000,
        "ms between tokens meanwhile max": max(gaps, default=0.0) * 1000,
        "answers begun again": again,
    }
