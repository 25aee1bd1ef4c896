"""Stop stops, and leaving does not (R9b): the provider is let go, the text kept, and nothing follows the end."""

import asyncio
import random
import secrets
from time import time

from chaos.findings import Findings, percentile
from harness.model_stub import ModelStub
from harness.server import Server
from harness.threads_client import ThreadsClient
from harness.transcript import Transcript, numbered, read, whole

LET_GO_SECONDS = 1.0
TOKENS = 2_000
ANSWER_SECONDS = 30.0


async def prove_stops(server: Server, stub: ModelStub, *, stops: int, parallel: int = 10) -> Findings:
    findings = Findings("stops")
    client = await server.user("stops")
    left: list[float] = []
    numbers = iter(range(stops))

    async def keep_stopping() -> None:
        for number in numbers:
            seconds = await _stop(findings, client, stub, f"stop{number}-{secrets.token_hex(4)}")
            left.append(seconds)

    async with asyncio.TaskGroup() as group:
        for _ in range(parallel):
            group.create_task(keep_stopping())
    still_open = await server.settled("frontdesk_executions_running", 0, seconds=5)
    findings.expect(f"{still_open} executions still run", when=still_open == 0)
    slow = percentile(left, 99)
    findings.at_most(f"the provider was let go after {slow:.2f} s (p99)", slow, LET_GO_SECONDS)
    findings.counts |= {"stops": stops, "seconds to let go p99": slow, "seconds to let go max": max(left)}
    return findings


async def _stop(findings: Findings, client: ThreadsClient, stub: ModelStub, key: str) -> float:
    """Seconds from asking for the stop to the provider's connection being closed."""
    thread_id = await client.new_thread()
    execution_id = await client.begin(thread_id, f"scripted?tokens={TOKENS}&pause_ms=10&key={key}")
    reading = asyncio.create_task(whole(client, thread_id, execution_id, seconds=ANSWER_SECONDS))
    await asyncio.sleep(random.uniform(0.0, 0.6))
    asked = time()
    reply = await client.cancel(thread_id, execution_id)
    stored = await client.find_message(thread_id, execution_id, role="assistant")
    findings.expect(f"{key}: a stop was {reply}", when=reply.status == 202 and reply.body["state"] == "interrupted")
    seen = await reading
    findings.faults += [f"{key}: {fault}" for fault in seen.faults]
    findings.expect(f"{key}: the reader was told {seen.state}", when=seen.state == "interrupted")
    findings.expect(f"{key}: stored as {stored['status']}", when=stored["status"] == "interrupted")
    kept = stored["text"] == seen.text and numbered(TOKENS).startswith(stored["text"])
    findings.expect(f"{key}: stored {stored['text'][-40:]!r}, shown {seen.text[-40:]!r}", when=kept)
    later = await whole(client, thread_id, execution_id)
    findings.expect(f"{key}: who joins later sees something else", when=later.frames == seen.frames)
    return await _let_go(findings, stub, key, asked)


async def _let_go(findings: Findings, stub: ModelStub, key: str, asked: float) -> float:
    """A call that was never made was let go at once."""
    if not await stub.calls(key):
        return 0.0
    call = await stub.call(key, seconds=5)
    findings.expect(f"{key}: the provider's call ended {call['outcome']}", when=call["outcome"] == "closed_by_client")
    return max(0.0, float(call["ended"]) - asked)


async def prove_detached(server: Server, stub: ModelStub, *, readers: int) -> Findings:
    """Readers that leave in the middle stop nothing."""
    findings = Findings("readers who leave")
    client = await server.user("leavers")

    async def leave(number: int) -> None:
        key = f"left{number}-{secrets.token_hex(4)}"
        thread_id = await client.new_thread()
        execution_id = await client.begin(thread_id, f"scripted?tokens=100&pause_ms=5&key={key}")
        async with client.join(thread_id, execution_id) as stream:
            await stream.read_bytes(random.randint(1, 5_000), seconds=ANSWER_SECONDS)
            stream.cut()
        call = await stub.call(key, seconds=ANSWER_SECONDS)
        findings.expect(f"{key}: the provider's call ended {call['outcome']}", when=call["outcome"] == "completed")
        seen = Transcript()
        async with asyncio.timeout(ANSWER_SECONDS), client.join(thread_id, execution_id) as stream:
            await read(stream, seen)
        findings.expect(f"{key}: ended {seen.state} with {len(seen.text)} bytes", when=seen.text == numbered(100))

    await asyncio.gather(*(leave(number) for number in range(readers)))
    findings.counts["readers"] = readers
    return findings
