"""Writers that talk and readers that come back, whatever happens meanwhile, and whether the history holds (R1, R3, R7).

Every writer talks in a thread of its own and reads each answer to its end, resuming after each loss. A third of the
messages have no Idempotency-Key and are given up when their acknowledgement does not come; a third have one and are
repeated until acknowledged; a third are sent on the streaming route, with a key.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count
from typing import TypeVar

from chaos.findings import Findings
from chaos.footing import UNFINISHED, Footing
from harness.history import History, Sent
from harness.model_stub import ModelStub
from harness.threads_client import LOST, Reply, ThreadsClient, TurnedAwayError
from harness.transcript import POLL_SECONDS, Transcript, follow, numbered, read

T = TypeVar("T")
ANSWER_SECONDS = 300.0
ORPHAN_SECONDS = 60.0
MESSAGES_IN_THREAD = 4
PROVIDER_RETRIES = 2  # of a call that brought nothing yet


@dataclass
class Load:
    """`may_fail` where the provider itself is beset: then an answer may end as failed, with what came before.

    `restarts` are the moments of each kill and of the readiness after it, and `recoveries` the seconds from the latter
    to the ends of the answers that were under way; `takeovers` those from the former, of answers that were begun again.
    """

    stub: ModelStub
    client: ThreadsClient
    findings: Findings
    tokens: int
    pause_ms: int
    may_fail: bool = False
    history: History = field(default_factory=History)
    run: str = field(default_factory=lambda: secrets.token_hex(4))
    stopping: bool = False
    numbers: "count[int]" = field(default_factory=count)
    restarts: list[tuple[float, float]] = field(default_factory=list)
    recoveries: list[float] = field(default_factory=list)
    takeovers: list[float] = field(default_factory=list)
    calls: dict[str, int] = field(default_factory=dict)
    answers: int = 0
    failed: int = 0
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
        self.judge(sent, transcript, begun)
        if transcript.state == "failed" and not transcript.text:
            return  # the provider may not have heard of it
        self.calls[sent.execution_id] = len(await self.stub.calls(f"{self.run}-{number}"))

    async def _give_up(self, sent: Sent, model: str, _transcript: Transcript) -> None:
        try:
            reply = await self.client.send(sent.thread_id, sent.text, model=model, if_active="queue")
        except LOST:
            return
        self.acknowledge(sent, reply)

    async def _repeat(self, sent: Sent, model: str, _transcript: Transcript) -> None:
        async def send() -> Reply:
            return await self.client.send(sent.thread_id, sent.text, key=sent.text, model=model, if_active="queue")

        self.acknowledge(sent, await self._persist(send))

    async def _stream(self, sent: Sent, model: str, transcript: Transcript) -> None:
        """The stream's head acknowledges. Who was cut off looks for the message's execution to join."""

        async def send() -> None:
            async with self.client.stream(
                sent.thread_id, sent.text, key=sent.text, model=model, if_active="queue"
            ) as stream:
                if stream.status == 503:
                    raise TurnedAwayError
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

    def acknowledge(self, sent: Sent, reply: Reply) -> None:
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

    def judge(self, sent: Sent, transcript: Transcript, begun: float) -> None:
        now = asyncio.get_running_loop().time()
        sent.answer = transcript.text
        self.findings.faults += [f"{sent.text}: {fault}" for fault in transcript.faults]
        failed = self.may_fail and transcript.state == "failed"
        self.answers += 1
        self.failed += failed
        ended = f"{sent.text} ended {transcript.state}, {transcript.error}"
        self.findings.expect(ended, when=failed or transcript.state == "completed")
        whole = numbered(self.tokens)
        self.findings.expect(
            f"{sent.text} was not shown whole and in order: {transcript.text[-60:]!r}",
            when=whole.startswith(transcript.text) if failed else whole == transcript.text,
        )
        if hits := [ready for killed, ready in self.restarts if begun < killed < now]:
            self.recoveries.append(now - hits[-1])
        if transcript.restarts:
            self.voided += 1
            self.takeovers += [now - killed for killed, _ in self.restarts if begun < killed < now][-1:]


async def judge_end(load: Load, database: Footing) -> None:
    """Nothing waits or runs any more, soon after the last writer left, and what is stored is what was said."""
    findings = load.findings
    orphans = await orphaned(database)
    stored = {
        thread_id: [message async for message in load.client.messages(thread_id)] for thread_id in load.history.threads
    }
    verdict = load.history.judge(stored)
    findings.faults += verdict.faults
    attempts = {row[0]: row[1] for row in await database.rows("SELECT id, attempt FROM executions")}
    tries = 1 + load.may_fail * PROVIDER_RETRIES
    calls_too_many = [id_ for id_, made in load.calls.items() if not 1 <= made <= attempts[id_] * tries]
    findings.faults += [f"{load.calls[id_]} model calls in {attempts[id_]} attempts: {id_}" for id_ in calls_too_many]
    findings.faults += [f"still {state}: {id_}" for id_, state in orphans]
    findings.counts |= {
        "messages acknowledged": verdict.acknowledged,
        "messages given up": load.unacknowledged,
        "messages stored": verdict.stored,
        "lost": len(verdict.lost),
        "doubled": len(verdict.doubled),
        "phantom": len(verdict.phantom),
        "out of order": len(verdict.disordered),
        "unfinished": len(orphans),
        "model calls": sum(load.calls.values()),
        "attempts": sum(attempts.values()),
    }


async def orphaned(database: Footing) -> list[tuple[str, str]]:
    """Executions that have not ended when the time for orphans is over: none, once there are none."""
    deadline = asyncio.get_running_loop().time() + ORPHAN_SECONDS
    while True:
        unfinished = await database.rows(UNFINISHED)
        if not unfinished or asyncio.get_running_loop().time() > deadline:
            return unfinished
        await asyncio.sleep(POLL_SECONDS)
