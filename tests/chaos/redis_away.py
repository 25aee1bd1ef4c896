"""Redis is killed, paused and emptied while many talk: answers go on, at the pace they had (R14)."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count

from chaos.findings import Findings, percentile
from chaos.topology import Topology
from harness.threads_client import ThreadsClient
from harness.transcript import Transcript, follow, numbered

TOKENS = 24
SCRIPT = f"scripted?tokens={TOKENS}&pause_ms=100"
ANSWER_SECONDS = 60.0
FIRST_TOKEN_SECONDS = 0.7
MEMORY_FACTOR = 1.2
CPU_FACTOR = 1.5
LOG_BYTES_A_REQUEST = 1_000
SAMPLE_SECONDS = 0.25


@dataclass
class _Stretch:
    """A time of the run, and what was seen of the answers that began in it. Times are in seconds."""

    name: str
    cpu: float
    first_tokens: list[float] = field(default_factory=list)
    answers: int = 0
    restarted_here: int = 0
    restarted_elsewhere: int = 0
    seconds_elsewhere: list[float] = field(default_factory=list)
    resident: int = 0
    seconds: float = 0.0


@dataclass
class _Users:
    """Each message is read at the replica that it was sent to, which runs its answer unless a worker does, and at
    another one.
    """

    topology: Topology
    at: list[ThreadsClient]
    findings: Findings
    stretch: _Stretch
    numbers: "count[int]" = field(default_factory=count)
    stopping: bool = False
    far: "set[asyncio.Task[None]]" = field(default_factory=set)

    async def talk(self) -> None:
        home = next(self.numbers) % len(self.at)
        here, elsewhere = self.at[home], self.at[(home + 1) % len(self.at)]
        thread_id = await here.new_thread()
        await asyncio.sleep(next(self.numbers) % 20 / 10)  # they do not speak in chorus
        while not self.stopping:
            await self._exchange(here, elsewhere, thread_id)

    async def _exchange(self, here: ThreadsClient, elsewhere: ThreadsClient, thread_id: str) -> None:
        stretch, loop, name = self.stretch, asyncio.get_running_loop(), secrets.token_hex(4)
        begun = loop.time()
        sent = await here.send(thread_id, name, model=f"{SCRIPT}&key={name}")
        self.findings.expect(f"{stretch.name}: a send was {sent}", when=sent.status == 201)
        if sent.status != 201:
            await asyncio.sleep(SAMPLE_SECONDS)
            return
        execution_id = sent.body["execution_id"]
        far = asyncio.create_task(self._read_elsewhere(stretch, elsewhere, thread_id, execution_id))
        self.far.add(far)
        if self.topology.workers:
            await self._read_elsewhere(stretch, here, thread_id, execution_id)
        else:
            await self._read_here(stretch, here, (thread_id, execution_id), begun=begun)
        stretch.answers += 1

    async def _read_here(
        self, stretch: _Stretch, here: ThreadsClient, answer: tuple[str, str], *, begun: float
    ) -> None:
        near, loop = Transcript(), asyncio.get_running_loop()
        async with asyncio.timeout(ANSWER_SECONDS), here.join(*answer) as stream:
            self.findings.expect(f"{stretch.name}: a stream was {stream.status}", when=stream.status == 200)
            async for event in stream:
                had = near.text
                near.take(event)
                if near.text and not had:
                    stretch.first_tokens.append(loop.time() - begun)
        stretch.restarted_here += near.restarts
        self._judge(f"{stretch.name}, where it runs", near)
        self.findings.expect(f"{stretch.name}: restarted where it runs", when=near.restarts == 0)

    async def _read_elsewhere(
        self, stretch: _Stretch, elsewhere: ThreadsClient, thread_id: str, execution_id: str
    ) -> None:
        seen, loop = Transcript(), asyncio.get_running_loop()
        begun = loop.time()
        await follow(elsewhere, thread_id, execution_id, seen, seconds=ANSWER_SECONDS)
        stretch.seconds_elsewhere.append(loop.time() - begun)
        stretch.restarted_elsewhere += seen.restarts
        self._judge(f"{stretch.name}, elsewhere", seen)

    def _judge(self, where: str, seen: Transcript) -> None:
        self.findings.faults += [f"{where}: {fault}" for fault in seen.faults]
        ended = f"{where}: ended {seen.state}, {seen.error}: {seen.text[-40:]!r}, {seen.states}"
        self.findings.expect(ended, when=seen.state == "completed" and seen.text == numbered(TOKENS))


async def prove_redis_faults(
    topology: Topology, *, users: int = 50, pause: float = 5.0, calm: float = 8.0, flushes: int = 5
) -> Findings:
    """`pause` is how long Redis is away each time and `calm` how long it is there before, both in seconds."""
    findings = Findings("redis away")
    client = await topology.user("redis")
    load = _Users(topology, topology.straight(client), findings, _Stretch("warm-up", topology.cpu_seconds))
    log, requests = topology.log_bytes, await topology.requests()
    stretches: list[_Stretch] = []

    async def keep(name: str, seconds: float, fault: Callable[[], Awaitable[None]] | None = None) -> None:
        stretch = load.stretch = _Stretch(name, topology.cpu_seconds)
        begun = asyncio.get_running_loop().time()
        if fault is not None:
            await fault()
        while (gone := asyncio.get_running_loop().time() - begun) < seconds:
            stretch.resident = max(stretch.resident, topology.resident_bytes)
            await asyncio.sleep(SAMPLE_SECONDS)
        stretch.seconds = gone
        stretch.cpu = topology.cpu_seconds - stretch.cpu
        stretches.append(stretch)

    async with asyncio.TaskGroup() as group:
        for _ in range(users):
            group.create_task(load.talk())
        await keep("warm-up", calm / 2)
        await keep("calm", calm)
        await keep("killed", pause, lambda: asyncio.to_thread(topology.redis.kill))
        await keep("started again", calm / 2, lambda: asyncio.to_thread(topology.redis.start))
        await keep("paused", pause, lambda: asyncio.to_thread(topology.redis.pause))
        await keep("resumed", calm / 2, lambda: asyncio.to_thread(topology.redis.resume))
        for _ in range(flushes):
            await keep("flushed", 1.0, lambda: asyncio.to_thread(topology.redis.flush))
        await keep("after all", calm / 2)
        load.stopping = True
    await asyncio.gather(*load.far)
    requests = await topology.requests() - requests
    _judge(findings, stretches, log_bytes=(topology.log_bytes - log) / requests)
    if not topology.workers:
        _judge_here(findings, stretches)
    findings.counts["requests"] = requests
    return findings


def _judge(findings: Findings, stretches: list[_Stretch], *, log_bytes: float) -> None:
    calm, beset = _sorted(stretches)
    memory = max(stretch.resident for stretch in beset) / calm.resident
    cpu = sum(stretch.cpu for stretch in beset) / sum(stretch.seconds for stretch in beset) * calm.seconds / calm.cpu
    findings.at_most(f"memory grew to {memory:.2f} times", memory, MEMORY_FACTOR)
    findings.at_most(f"processor time grew to {cpu:.2f} times", cpu, CPU_FACTOR)
    findings.at_most(f"{log_bytes:.0f} bytes of log a request", log_bytes, LOG_BYTES_A_REQUEST)
    findings.counts |= {
        "answers": sum(stretch.answers for stretch in stretches),
        "of them begun while Redis was away or just back": sum(stretch.answers for stretch in beset),
        "restarted elsewhere": sum(stretch.restarted_elsewhere for stretch in stretches),
        "calm: seconds of an answer elsewhere max": max(calm.seconds_elsewhere),
        "seconds of an answer elsewhere max": max(max(stretch.seconds_elsewhere, default=0) for stretch in beset),
        "memory, times": memory,
        "processor time, times": cpu,
        "log bytes a request": log_bytes,
    }


def _judge_here(findings: Findings, stretches: list[_Stretch]) -> None:
    """Where an answer runs, a reader sees nothing of it all."""
    calm, beset = _sorted(stretches)
    first = percentile([seconds for stretch in beset for seconds in stretch.first_tokens], 99)
    findings.at_most(f"a first token took {first:.2f} s (p99)", first, FIRST_TOKEN_SECONDS)
    findings.counts |= {
        "restarted where they run": sum(stretch.restarted_here for stretch in stretches),
        "calm: ms to first token p99": percentile(calm.first_tokens, 99) * 1000,
        "ms to first token p99": first * 1000,
    }
    for stretch in beset:
        findings.counts[f"{stretch.name}: ms to first token p99"] = percentile(stretch.first_tokens, 99) * 1000


def _sorted(stretches: list[_Stretch]) -> tuple[_Stretch, list[_Stretch]]:
    """The calm one, and those in which something was wrong."""
    calm = next(stretch for stretch in stretches if stretch.name == "calm")
    return calm, [stretch for stretch in stretches if stretch.name not in {"warm-up", "calm"}]
