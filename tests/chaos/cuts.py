"""Readers cut at random bytes, resuming with the last complete event's id (R2), also past the log's retention (R5)."""

import asyncio
import random
import secrets
from itertools import count

from chaos.findings import Findings
from harness.fault_proxy import FaultProxy, Faults
from harness.model_stub import ModelStub
from harness.server import Server
from harness.threads_client import LOST, ThreadsClient
from harness.transcript import Transcript, numbered, read, whole

ANSWER_SECONDS = 60.0
LONGEST_PIECE = 8_000
HEAD_BYTES = 400
RESUME_SECONDS = 5.0
EXPIRY = {"log_retention_seconds": 0.5}
SCRIPTS = (
    "tokens=150&pause_ms=4",
    "tokens=150&pause_ms=4&unicode=1",
    "tokens=150&pause_ms=4&error_at=120",
    "tokens=600&size=120",
    "tokens=150&pause_ms=4&agent_status=completed",
    "tokens=150&pause_ms=4&reset_at=100",
    "tokens=0",
)


async def prove_cuts(server: Server, *, cuts: int, readers: int = 8) -> Findings:
    """Each answer has one reader that is left alone and one that is cut until it has seen the end."""
    findings = Findings("cuts")
    client = await server.user("cuts")
    tally, numbers = count(), count()
    made = 0

    async def keep_cutting() -> None:
        nonlocal made
        async with FaultProxy("127.0.0.1", server.port) as proxy:
            while made < cuts:
                script = f"scripted?{SCRIPTS[next(numbers) % len(SCRIPTS)]}"
                thread_id = await client.new_thread()
                execution_id = await client.begin(thread_id, script)
                cut = Transcript()
                left_alone, times = await asyncio.gather(
                    whole(client, thread_id, execution_id, seconds=ANSWER_SECONDS),
                    _cut_up(client, proxy, thread_id, execution_id, cut),
                )
                # What is over is read again as it is now, from the log, with a cut in another place.
                again = Transcript()
                times += await _cut_up(client, proxy, thread_id, execution_id, again)
                made += times
                next(tally)
                await _resume_exactly(findings, client, (thread_id, execution_id), left_alone)
                findings.faults += [f"{script}: {fault}" for fault in (*cut.faults, *again.faults, *left_alone.faults)]
                for kind, transcript in (("live", cut), ("over", again)):
                    findings.expect(
                        f"{script}: the {kind} reader's bytes differ: {_difference(left_alone, transcript)}",
                        when=transcript.frames == left_alone.frames,
                    )

    async with asyncio.TaskGroup() as group:
        for _ in range(readers):
            group.create_task(keep_cutting())
    findings.counts |= {"cuts": made, "answers compared byte for byte": 2 * next(tally)}
    return findings


async def _cut_up(
    client: ThreadsClient, proxy: FaultProxy, thread_id: str, execution_id: str, transcript: Transcript
) -> int:
    """Reads to the end with a cut after each random number of bytes, and returns how many cuts there were."""
    times = 0
    async with asyncio.timeout(ANSWER_SECONDS):
        while not transcript.ended:
            size = random.randint(0, LONGEST_PIECE)
            way = random.choice((Faults(reset_after=HEAD_BYTES + size), Faults(cut_after=HEAD_BYTES + size), None))
            times += await _read_piece(client, proxy, (thread_id, execution_id), transcript, way=way, size=size)
    return times


async def _read_piece(
    client: ThreadsClient,
    proxy: FaultProxy,
    answer: tuple[str, str],
    transcript: Transcript,
    *,
    way: Faults | None,
    size: int,
) -> bool:
    """True when the cut came before the end. `way` is the network's; without one the reader itself leaves."""
    if way is not None:
        proxy.switch(way)
    through = None if way is None else proxy.port
    try:
        async with client.join(*answer, after=transcript.last_id, through=through) as stream:
            assert stream.status == 200, stream.status
            if way is not None:
                await read(stream, transcript)
                return False
            await stream.read_bytes(size, seconds=ANSWER_SECONDS)
            for event in stream.events:
                transcript.take(event)
            return not transcript.ended
    except LOST:
        return True


async def _resume_exactly(findings: Findings, client: ThreadsClient, answer: tuple[str, str], seen: Transcript) -> None:
    """From behind the last frame, where only the end is left, and from behind a random one."""
    places = _places(seen)
    for cursor, start in (places[-1], random.choice(places)):
        try:
            async with asyncio.timeout(RESUME_SECONDS), client.join(*answer, after=cursor) as stream:
                await stream.read_all(seconds=RESUME_SECONDS)
                rest = bytes(stream.body)
        except TimeoutError:
            findings.faults.append(f"no end within {RESUME_SECONDS} s of resuming behind {cursor}")
            continue
        findings.expect(f"behind {cursor}: {rest!r}", when=rest == bytes(seen.frames[start:]))


def _places(seen: Transcript) -> list[tuple[str, int]]:
    """Each frame's id, and where the bytes behind the frame begin."""
    places, start = [], 0
    for frame in bytes(seen.frames).split(b"\n\n")[:-1]:
        start += len(frame) + 2
        if frame.startswith(b"id: "):
            places.append((frame[4 : frame.index(b"\n")].decode(), start))
    return places


def _difference(one: Transcript, other: Transcript) -> str:
    pairs = enumerate(zip(one.frames, other.frames, strict=False))
    at = next((place for place, (left, right) in pairs if left != right), min(len(one.frames), len(other.frames)))
    around = slice(max(0, at - 80), at + 160)
    return f"at byte {at} of {len(one.frames)} and {len(other.frames)}: {one.frames[around]!r} {other.frames[around]!r}"


async def prove_expiry(server: Server, stub: ModelStub, *, answers: int) -> Findings:
    """The server forgets its log at once (`EXPIRY`): who resumes then is told so and gets the whole, once more cut."""
    findings = Findings("resumed past the log's retention")
    client = await server.user("expiry")
    thread_id = await client.new_thread()
    begun: list[tuple[str, str, Transcript]] = []
    for _ in range(answers):
        key = secrets.token_hex(4)
        execution_id = await client.begin(thread_id, f"scripted?tokens=20&key={key}")
        begun.append((key, execution_id, await whole(client, thread_id, execution_id)))
    forgotten = await server.settled("frontdesk_log_bytes", 0, seconds=10)
    findings.expect(f"the log still holds {forgotten} bytes", when=forgotten == 0)
    async with FaultProxy("127.0.0.1", server.port) as proxy:
        for key, execution_id, seen in begun:
            resumed, cut = Transcript(), Transcript()
            resumed.last_id = cut.last_id = random.choice(_places(seen))[0]
            async with client.join(thread_id, execution_id, after=resumed.last_id) as stream:
                await read(stream, resumed)
            await _cut_up(client, proxy, thread_id, execution_id, cut)
            _judge_expired(findings, key, resumed, cut)
            findings.expect(f"{key}: a second model call", when=len(await stub.calls(key)) == 1)
    findings.counts["answers resumed"] = answers
    return findings


def _judge_expired(findings: Findings, key: str, resumed: Transcript, cut: Transcript) -> None:
    findings.faults += [f"{key}: {fault}" for fault in (*resumed.faults, *cut.faults)]
    states = f"{key}: not told that its text is void: {resumed.states}"
    findings.expect(states, when=resumed.states[:1] == ["restarted"] and resumed.states[-1:] == ["completed"])
    findings.expect(f"{key}: not the whole text: {resumed.text!r}", when=resumed.text == numbered(20))
    findings.expect(f"{key}: other bytes when cut", when=bytes(cut.frames) == bytes(resumed.frames))
