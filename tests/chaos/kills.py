"""`kill -9` of the server at random moments while answers stream and messages are sent (R1, R3, R6, R7).

Every writer talks in a thread of its own and reads each answer to its end, resuming after each kill. A third of the
messages have no Idempotency-Key and are given up when their acknowledgement does not come; a third have one and are
repeated until acknowledged; a third are sent on the streaming route, with a key.
"""

import asyncio
import random
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count
from typing import TypeVar

from chaos.findings import Findings, percentile
from chaos.footing import UNFINISHED, Footing
from harness.history import History, Sent
from harness.model_stub import ModelStub
from harness.server import Server
from harness.threads_client import LOST, Reply, ThreadsClient
from harness.transcript import POLL_SECONDS, Transcript, follow, numbered, read

T = TypeVar("T")
RECOVERY_SECONDS = 30.0
ANSWER_SECONDS = 300.0
MESSAGES_IN_THREAD = 4
SETTINGS = {"execution_lease_seconds": 2, "engine_tick_seconds": 0.5, "engine_max_attempts": 10_000}


@dataclass
class _Load:
    server: Server
    stub: ModelStub
    client: ThreadsClient
    findings: Findings
    tokens: int
    pause_ms: int
    history: History = field(default_factory=History)
    run: str = field(default_factory=lambda: secrets.token_hex(4))
    stopping: bool = False
    numbers: "count[int]" = field(default_factory=count)
    restarts: list[tuple[float, float]] = field(default_factory=list)
    recoveries: list[float] = field(default_factory=list)
    calls: dict[str, int] = field(default_factory=dict)
    voided: int = 0
    unacknowledged: int = 0

    async def converse(self) -> None:
        while not self.stopping:
            thread_id = await self._persist(self.client.new_thread)
            for _ in range(MESSAGES_IN_THREAD):
                if not self.stopping:
                    await self._exchange(thread_id)

    async def _exchange(self, thread_id: str) -> None:
        number = next(self.numbers)
        sent = self.history.sending(thread_id, f"message {number}")
        model = f"scripted?tokens={self.tokens}&pause_ms={self.pause_ms}&key={self.run}-{number}"
        transcript = Transcript()
        begun = asyncio.get_running_loop().time()
        way = (self._give_up, self._repeat, self._stream)[number % 3]
        await way(sent, model, transcript)
        if sent.execution_id is None:
            self.unacknowledged += 1
            return
        await follow(self.client, thread_id, sent.execution_id, transcript, seconds=ANSWER_SECONDS)
        self._judge(sent, transcript, begun)
        self.calls[sent.execution_id] = len(await self.stub.calls(f"{self.run}-{number}"))

    async def _give_up(self, sent: Sent, model: str, _transcript: Transcript) -> None:
        try:
            reply = await self.client.send(sent.thread_id, sent.text, model=model, if_active="queue")
        except LOST:
            return
        self._acknowledge(sent, reply)

    async def _repeat(self, sent: Sent, model: str, _transcript: Transcript) -> None:
        async def send() -> Reply:
            return await self.client.send(sent.thread_id, sent.text, key=sent.text, model=model, if_active="queue")

        self._acknowledge(sent, await self._persist(send))

    async def _stream(self, sent: Sent, model: str, transcript: Transcript) -> None:
        """The stream's head acknowledges. Who was cut off looks for the message's execution to join."""

        async def send() -> None:
            async with self.client.stream(
                sent.thread_id, sent.text, key=sent.text, model=model, if_active="queue"
            ) as stream:
                assert stream.status == 200, stream.status
                try:
                    await read(stream, transcript)
                except LOST:
                    return

        await self._persist(send)
        await self._persist(lambda: self._look_up(sent))

    async def _look_up(self, sent: Sent) -> None:
        async for message in self.client.messages(sent.thread_id):
            if message["role"] == "user" and message["text"] == sent.text:
                sent.message_id, sent.execution_id = message["id"], message["execution_id"]
                return
        self.findings.faults.append(f"lost: {sent.text} was acknowledged by its stream and is not stored")

    def _acknowledge(self, sent: Sent, reply: Reply) -> None:
        if reply.status == 201:
            sent.message_id, sent.execution_id = reply.body["id"], reply.body["execution_id"]
        else:
            self.findings.expect(f"{reply.status} for {sent.text}: {reply.body}", when=reply.status == 503)

    async def _persist(self, request: Callable[[], Awaitable[T]]) -> T:
        """Again and again until an answer comes."""
        deadline = asyncio.get_running_loop().time() + ANSWER_SECONDS
        while True:
            try:
                return await request()
            except LOST:
                assert asyncio.get_running_loop().time() < deadline, "no answer"
                await asyncio.sleep(POLL_SECONDS)

    def _judge(self, sent: Sent, transcript: Transcript, begun: float) -> None:
        now = asyncio.get_running_loop().time()
        sent.answer = transcript.text
        self.findings.faults += [f"{sent.text}: {fault}" for fault in transcript.faults]
        ended = f"{sent.text} ended {transcript.state}, {transcript.error}"
        self.findings.expect(ended, when=transcript.state == "completed")
        self.findings.expect(
            f"{sent.text} was not shown whole and in order: {transcript.text[-60:]!r}",
            when=transcript.text == numbered(self.tokens),
        )
        if hits := [ready for killed, ready in self.restarts if begun < killed < now]:
            self.recoveries.append(now - hits[-1])
            self.voided += transcript.restarts > 0


async def prove_kills(
    server: Server,
    stub: ModelStub,
    database: Footing,
    *,
    kills: int,
    writers: int = 12,
    tokens: int = 40,
    pause_ms: int = 15,
    longest_pause: float = 2.0,
) -> Findings:
    """`longest_pause` is in seconds: the longest time between a server's readiness and its end."""
    findings = Findings("kills")
    client = await server.user("kills")
    load = _Load(server, stub, client, findings, tokens, pause_ms)
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as group:
        for _ in range(writers):
            group.create_task(load.converse())
        for _ in range(kills):
            await asyncio.sleep(random.uniform(0.0, longest_pause))
            killed = loop.time()
            await server.kill_and_restart()
            load.restarts.append((killed, loop.time()))
        load.stopping = True
    await _judge_end(load, database)
    findings.counts |= {
        "kills": kills,
        "answers cut by a kill": len(load.recoveries),
        "of them shown as restarted": load.voided,
        "seconds down p50": percentile([ready - killed for killed, ready in load.restarts], 50),
        "seconds to recover p50": percentile(load.recoveries, 50),
        "seconds to recover max": max(load.recoveries, default=0.0),
    }
    findings.expect(
        "an answer took more than 30 s to recover", when=max(load.recoveries, default=0) <= RECOVERY_SECONDS
    )
    return findings


async def _judge_end(load: _Load, database: Footing) -> None:
    findings = load.findings
    stored = {
        thread_id: [message async for message in load.client.messages(thread_id)] for thread_id in load.history.threads
    }
    verdict = load.history.judge(stored)
    findings.faults += verdict.faults
    attempts = {row[0]: row[1] for row in await database.rows("SELECT id, attempt FROM executions")}
    calls_too_many = [id_ for id_, made in load.calls.items() if not 1 <= made <= attempts[id_]]
    findings.faults += [f"{load.calls[id_]} model calls in {attempts[id_]} attempts: {id_}" for id_ in calls_too_many]
    unfinished = await database.rows(UNFINISHED)
    findings.faults += [f"still {state}: {id_}" for id_, state in unfinished]
    findings.counts |= {
        "messages acknowledged": verdict.acknowledged,
        "messages given up": load.unacknowledged,
        "messages stored": verdict.stored,
        "lost": len(verdict.lost),
        "doubled": len(verdict.doubled),
        "phantom": len(verdict.phantom),
        "out of order": len(verdict.disordered),
        "unfinished": len(unfinished),
        "model calls": sum(load.calls.values()),
        "attempts": sum(attempts.values()),
    }
