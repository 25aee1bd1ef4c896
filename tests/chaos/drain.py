"""Replicas and workers that are told to end, and a replica that is killed with all its readers at once (R23)."""

import asyncio
import random
import secrets
from contextlib import AsyncExitStack, suppress

from chaos.findings import Findings, percentile
from chaos.topology import Topology
from harness.processes import Process
from harness.sse_client import Event, SseStream
from harness.threads_client import LOST, ThreadsClient
from harness.transcript import TimedTranscript, follow, numbered, read

EXIT_SECONDS = 10.0
RESUMED_SECONDS = 15.0
ANSWER_SECONDS = 120.0
RETRY_MILLISECONDS = (200, 3000)
BETWEEN_TOKENS_MILLISECONDS = 50
READERS_AN_ANSWER = 10
OPENED_AT_ONCE = 50


async def prove_drains(topology: Topology, *, drains: int, streams: int = 20, tokens: int = 300) -> Findings:
    """SIGTERM with streams open, now to the one replica and now to another; who was sent away resumes elsewhere."""
    findings = Findings("drains")
    client = await topology.user("drains")
    exits: list[float] = []
    retries: list[int] = []
    resumed: list[float] = []
    again = 0
    for number in range(drains):
        place = number % len(topology.replicas)
        leaving = topology.servers[place]
        here, elsewhere = topology.straight(client)[place], topology.straight(client)[place - 1]
        readers = asyncio.gather(
            *(_read_on(findings, here, elsewhere, tokens, retries=retries, resumed=resumed) for _ in range(streams))
        )
        await leaving.settled("frontdesk_streams_open", streams, seconds=30)
        await asyncio.sleep(random.uniform(0.2, 1.0))
        exits.append(await _end(findings, leaving.process))
        await leaving.start()
        again += sum(seen.restarts > 0 for seen in await readers)
    told = drains * streams
    low, high = RETRY_MILLISECONDS
    findings.expect(f"{len(retries)} of {told} readers were told when to retry", when=len(retries) == told)
    findings.expect(f"told to retry after {retries}", when=all(low <= retry <= high for retry in retries))
    spread = len(set(retries)) / max(1, len(retries))
    findings.expect(f"only {spread:.0%} of the times to retry differ", when=spread > 0.5 or len(retries) > high)
    findings.at_most(f"an exit took {max(exits):.1f} s", max(exits), EXIT_SECONDS)
    _expect_none_again(findings, topology, again)
    findings.counts |= {
        "SIGTERMs": drains,
        "streams open at them": told,
        "seconds to exit p50": percentile(exits, 50),
        "seconds to exit max": max(exits),
        "ms to retry p50": percentile(retries, 50),
        "seconds until a reader had something again p50": percentile(resumed, 50),
        "the same, max": max(resumed, default=0.0),
        "readers told that it was begun again": again,
    }
    return findings


def _expect_none_again(findings: Findings, topology: Topology, again: int) -> None:
    """A replica's end is no worker's."""
    findings.expect(f"{again} answers were begun again", when=again == 0 or not topology.workers)


async def _end(findings: Findings, process: Process) -> float:
    """Seconds from SIGTERM to the exit."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    code = await asyncio.to_thread(process.stop, seconds=3 * EXIT_SECONDS)
    findings.expect(f"exit code {code}: {process.output()[-1000:]}", when=code == 0)
    return loop.time() - begun


async def _read_on(
    findings: Findings,
    here: ThreadsClient,
    elsewhere: ThreadsClient,
    tokens: int,
    *,
    retries: list[int],
    resumed: list[float],
) -> "_Seen":
    """Reads where the answer runs until it is sent away, waits as it is told, and goes on elsewhere to the end."""
    thread_id = await here.new_thread()
    execution_id = await here.begin(thread_id, _script(tokens))
    seen = _Seen()
    try:
        async with asyncio.timeout(ANSWER_SECONDS), here.join(thread_id, execution_id) as stream:
            await _read(stream, seen)
    except LOST as error:
        findings.faults.append(f"a stream broke off while its replica ended: {error!r}")
    retries += seen.retries
    await asyncio.sleep(sum(seen.retries) / 1000)
    left = asyncio.get_running_loop().time()
    await follow(elsewhere, thread_id, execution_id, seen, seconds=ANSWER_SECONDS)
    resumed.append(seen.first_after(left) - left)
    _judge(findings, seen, tokens)
    return seen


def _script(tokens: int) -> str:
    return f"scripted?tokens={tokens}&pause_ms={BETWEEN_TOKENS_MILLISECONDS}&key={secrets.token_hex(4)}"


class _Seen(TimedTranscript):
    """A transcript that knows when its reader was told to return."""

    def __init__(self) -> None:
        super().__init__()
        self.retries: list[int] = []
        self.begun = asyncio.Event()

    def take(self, event: Event) -> None:
        fields = (line.partition(": ") for line in event.raw.decode().splitlines())
        self.retries += [int(value) for name, _, value in fields if name == "retry"]
        super().take(event)
        if self.text:
            self.begun.set()

    @property
    def longest_silence(self) -> float:
        return max(now - last for last, now in zip(self.times, self.times[1:], strict=False))

    def first_after(self, moment: float) -> float:
        return next(at for at in self.times if at > moment)


async def _read(stream: SseStream, seen: _Seen) -> None:
    assert stream.status == 200, stream.status
    await read(stream, seen)


def _judge(findings: Findings, seen: _Seen, tokens: int) -> None:
    findings.faults += seen.faults
    whole = seen.text == numbered(tokens) and seen.state == "completed"
    findings.expect(f"ended {seen.state}: {seen.text[-40:]!r}, {seen.states}", when=whole)


async def prove_worker_drains(
    topology: Topology, *, drains: int, answers: int, tokens: int = 300, few: int = 40
) -> Findings:
    """SIGTERM of a worker while answers run: those of `few` tokens end there, the others are handed over."""
    findings = Findings("drains of workers")
    client = await topology.user("leaving")
    exits: list[float] = []
    handed_over: list[_Seen] = []
    for number in range(drains):
        leaving = topology.workers[number % len(topology.workers)].worker
        crowds: dict[int, list[_Seen]] = {}
        async with asyncio.TaskGroup() as group:
            for length in (tokens, few):
                crowds[length] = [_Seen() for _ in range(answers // 2)]
                for seen in crowds[length]:
                    group.create_task(_read_through(findings, client, seen, length))
                await asyncio.gather(*(seen.begun.wait() for seen in crowds[length]))
            exits.append(await _end(findings, leaving.process))
            await leaving.start()
        again = sum(seen.restarts > 0 for seen in crowds[few])
        findings.expect(f"{again} answers that could end in the drain were begun again", when=again == 0)
        handed_over += [seen for seen in crowds[tokens] if seen.restarts]
    findings.expect("nothing was handed over", when=bool(handed_over))
    silent = max((seen.longest_silence for seen in handed_over), default=0.0)
    findings.at_most(f"an exit took {max(exits):.1f} s", max(exits), EXIT_SECONDS)
    findings.at_most(f"an answer that was handed over was silent for {silent:.1f} s", silent, RESUMED_SECONDS)
    findings.counts |= {
        "SIGTERMs": drains,
        "answers running at them": drains * answers,
        "of them handed over": len(handed_over),
        "seconds to exit p50": percentile(exits, 50),
        "seconds to exit max": max(exits),
        "seconds without a token when handed over max": silent,
    }
    return findings


async def _read_through(findings: Findings, client: ThreadsClient, seen: _Seen, tokens: int) -> None:
    """Over one connection: the replicas stay."""
    thread_id = await client.new_thread()
    execution_id = await client.begin(thread_id, _script(tokens))
    try:
        async with asyncio.timeout(ANSWER_SECONDS), client.join(thread_id, execution_id) as stream:
            await _read(stream, seen)
    except LOST as error:
        findings.faults.append(f"a stream broke off while a worker ended: {error!r}")
    _judge(findings, seen, tokens)


async def prove_herd(topology: Topology, *, readers: int, tokens: int = 400) -> Findings:
    """All read at one replica, ten an answer; without workers half run there too. It is killed, and all come back."""
    findings = Findings("herd")
    client = await topology.user("herd")
    at, herd, opening = topology.straight(client), [_Seen() for _ in range(readers)], asyncio.Semaphore(OPENED_AT_ONCE)
    answers = []
    for number in range(-(-readers // READERS_AN_ANSWER)):
        runs_at = at[number % len(at)]
        thread_id = await runs_at.new_thread()
        answers.append((thread_id, await runs_at.begin(thread_id, _script(tokens))))

    async def come_back(seen: _Seen, answer: tuple[str, str]) -> None:
        async with AsyncExitStack() as stack:
            async with opening:
                stream = await stack.enter_async_context(at[0].join(*answer))
            with suppress(*LOST):
                await _read(stream, seen)
        await follow(at[-1], *answer, seen, seconds=ANSWER_SECONDS)
        _judge(findings, seen, tokens)

    async with asyncio.TaskGroup() as group:
        for number, seen in enumerate(herd):
            group.create_task(come_back(seen, answers[number % len(answers)]))
        opened = await topology.servers[0].settled("frontdesk_streams_open", readers, seconds=ANSWER_SECONDS)
        findings.expect(f"{opened} of {readers} streams were open", when=opened == readers)
        killed = asyncio.get_running_loop().time()
        await topology.servers[0].kill_and_restart()
    resumed = [seen.first_after(killed) - killed for seen in herd]
    again = sum(seen.restarts > 0 for seen in herd)
    _expect_none_again(findings, topology, again)
    findings.at_most(f"a reader resumed after {max(resumed):.1f} s", max(resumed), RESUMED_SECONDS)
    findings.counts |= {
        "readers": readers,
        "seconds until a reader had something again p50": percentile(resumed, 50),
        "the same, max": max(resumed),
        "readers told that it was begun again": again,
    }
    return findings
