"""Readers who take nothing, or next to nothing, cost little, are cut in time and can resume (R20)."""

import asyncio
import random
from contextlib import AsyncExitStack
from time import perf_counter

from chaos.findings import Findings, percentile
from harness.server import Server
from harness.sse_client import SseStream
from harness.threads_client import LOST, ThreadsClient
from harness.transcript import Transcript, follow, whole

PATIENCE_SECONDS = 2.0
SETTINGS = {"slow_reader_seconds": PATIENCE_SECONDS, "log_thread_bytes": 16_777_216}
READER_BYTES = 256 * 1024
RECEIVE_BUFFER = 4_096
LARGE = "scripted?tokens=3000&size=600"
PACED = "scripted?tokens=400&pause_ms=10"
ANSWER_SECONDS = 60.0


async def prove_slow_readers(server: Server, *, readers: int) -> Findings:
    """Half of them read nothing at all, the others about 1 KB/s, of an answer of about 2.5 MB."""
    findings = Findings("slow readers")
    client = await server.user("slow")
    paced = await pace(client)
    thread_id = await client.new_thread()
    execution_id = await client.begin(thread_id, LARGE)
    complete = await whole(client, thread_id, execution_id, seconds=ANSWER_SECONDS)
    resident, cut_before = server.resident_bytes, await server.metric("frontdesk_streams_cut_total")
    seen = [Transcript() for _ in range(readers)]
    begun = perf_counter()
    async with AsyncExitStack() as stack:
        streams = [
            await stack.enter_async_context(client.join(thread_id, execution_id, receive_buffer=RECEIVE_BUFFER))
            for _ in range(readers)
        ]
        await server.settled("frontdesk_streams_open", readers, seconds=5)
        dribbling = [asyncio.create_task(_dribble(stream)) for stream in streams[::2]]
        held = server.unsent_bytes
        paced_meanwhile = await pace(client)
        grown = server.resident_bytes - resident
        cut = await server.settled("frontdesk_streams_cut_total", cut_before + readers, seconds=3 * PATIENCE_SECONDS)
        seconds = perf_counter() - begun
        for task in dribbling:
            task.cancel()
        await asyncio.gather(*dribbling, return_exceptions=True)
        for stream, transcript in zip(streams, seen, strict=True):
            for event in stream.events:
                transcript.take(event)
    open_now = await server.settled("frontdesk_streams_open", 0, seconds=5)
    findings.expect(f"{cut - cut_before} of {readers} were cut", when=cut - cut_before == readers)
    findings.expect(f"{open_now} streams are still open", when=open_now == 0)
    each = (max(0, grown) + held) / readers
    expect_bounded(findings, each, paced=paced, paced_meanwhile=paced_meanwhile)
    for transcript in random.sample(seen, min(readers, 5)):
        await follow(client, thread_id, execution_id, transcript, seconds=ANSWER_SECONDS)
        findings.expect("who resumed got other bytes", when=transcript.frames == complete.frames)
    findings.counts |= {
        "readers": readers,
        "KB a reader": each / 1024,
        "of them in the kernel": held / readers / 1024,
        "seconds until all were cut": seconds,
        "others, ms between tokens p99": paced_meanwhile * 1000,
    }
    return findings


def expect_bounded(findings: Findings, each: float, *, paced: float, paced_meanwhile: float) -> None:
    """`each` is what a reader costs in bytes; the times between others' tokens are in seconds."""
    findings.at_most(f"a reader costs {each / 1024:.0f} KB", each, READER_BYTES)
    findings.at_most(
        f"others' time between tokens (p99) went from {paced:.3f} s to {paced_meanwhile:.3f} s",
        paced_meanwhile,
        max(paced * 1.5, paced + 0.05),
    )


async def _dribble(stream: SseStream) -> None:
    try:
        while not stream.ended:
            await stream.read_some(256)
            await asyncio.sleep(0.25)
    except LOST:
        return


async def pace(client: ThreadsClient) -> float:
    """Seconds between tokens for a reader who takes all at once (p99)."""
    thread_id = await client.new_thread()
    execution_id = await client.begin(thread_id, PACED)
    gaps: list[float] = []
    async with asyncio.timeout(ANSWER_SECONDS), client.join(thread_id, execution_id) as stream:
        last = perf_counter()
        async for _ in stream:
            now = perf_counter()
            gaps.append(now - last)
            last = now
    return percentile(gaps, 99)
