"""`kill -9` of what holds the indexes of search: while vectors are written, and while the index is made again (R18).

What was acknowledged is there, once and in every part of the index; a second process is refused by name. A rebuilding
goes on where it was, ends complete, and meanwhile every question is answered by what was there before.
"""

import asyncio
import itertools
import random
from pathlib import Path
from typing import Any

import psutil

from chaos.findings import Findings
from chaos.footing import Footing
from frontdesk.adapters.vector_index.chroma import ChromaVectorIndex
from frontdesk.errors import ConfigurationError, SearchIndexError, UnavailableError
from frontdesk.kit.ids import new_id
from frontdesk.ports.vector_index import Collection, Where
from harness.processes import Process, ProcessFailedError
from harness.server import Server
from harness.threads_client import LOST, ThreadsClient
from harness.vector_indexes import DIMENSION, entry, vectors

COLLECTION = Collection(name="written", generation=1, model="a-model", dimension=DIMENSION)
OWNER = "an-owner"
SECONDS = 60
END_SECONDS = 600
WAITING = "SELECT subject FROM search_outbox"
LIVE = "SELECT generation, done, is_complete FROM search_indexes WHERE state = 'live'"
COMPLETE = "SELECT generation FROM search_indexes WHERE state = 'live' AND is_complete"
UNFINISHED = "SELECT generation FROM search_indexes WHERE state = 'building'"
THINGS = ("umbrella", "passport", "kettle", "violin", "ladder", "compass", "lantern", "saddle")
PLACES = ("cellar", "attic", "garden", "harbour", "kitchen", "library", "stable", "tower")

SETTINGS: dict[str, object] = {
    "search_enabled": True,
    "llm_enabled": False,
    "embedder": "packaged",
    "search_tick_seconds": 0.1,
}


def processes_of(directory: Path) -> list[psutil.Process]:
    """Those that hold Chroma in the directory, below this process."""
    return [each for each in psutil.Process().children(recursive=True) if str(directory) in each.cmdline()]


class Writer:
    """Puts and removes without end, and knows of each id whether it is stored. An id is unknown while it is on its way
    and after a call that failed.
    """

    def __init__(self, index: ChromaVectorIndex, *, seed: int) -> None:
        self.stored: set[str] = set()
        self.unknown: set[str] = set()
        self.calls = 0
        self._moved = asyncio.Event()
        self._failed: list[SearchIndexError] = []
        self._index = index
        self._random = random.Random(seed)

    async def write(self) -> None:
        while True:
            ids = [new_id() for _ in range(self._random.randint(1, 150))]
            rows = vectors(len(ids), seed=self.calls)
            gone = self._random.sample(sorted(self.stored), len(self.stored) // 4)
            self._start(ids + gone)
            try:
                await self._index.put(COLLECTION, [entry(OWNER, "g", id_=id_) for id_ in ids], rows)
                self._end(ids, stored=True)
                await self._index.remove(COLLECTION, gone)
                self._end(gone, stored=False)
            except UnavailableError:
                continue
            except SearchIndexError as error:
                self._failed.append(error)
                self._moved.set()
                return

    def _start(self, ids: list[str]) -> None:
        self.unknown.update(ids)
        self.stored.difference_update(ids)

    def _end(self, ids: list[str], *, stored: bool) -> None:
        self.unknown.difference_update(ids)
        self.stored.update(ids if stored else ())
        self.calls += 1
        self._moved.set()

    async def after(self, calls: int) -> None:
        """Until so many more calls were acknowledged; the next is under way then."""
        wanted = self.calls + calls
        async with asyncio.timeout(SECONDS):
            while self.calls < wanted and not self._failed:
                self._moved.clear()
                await self._moved.wait()
        assert not self._failed, self._failed

    async def judge(self, findings: Findings) -> None:
        """What was acknowledged is there, nothing that nobody sent, and each of them in every part of the index."""
        stored = set(await self._index.ids(COLLECTION, after=None, count=1_000_000))
        lost, unasked = self.stored - stored, stored - self.stored - self.unknown
        findings.expect(f"{len(lost)} acknowledged vectors are lost", when=not lost)
        findings.expect(f"{len(unasked)} vectors are there that were removed or never put", when=not unasked)
        findings.expect("the count is another", when=await self._index.count(COLLECTION) == len(stored))
        found = await self._index.nearest(
            COLLECTION, vectors(1, seed=1), where=Where(owner=OWNER), count=len(stored) or 1
        )
        findings.expect("the graph holds others", when=sorted(each.id for each in found) == sorted(stored))
        findings.counts |= {"acknowledged calls": self.calls, "vectors": len(stored)}


async def prove_chroma_kills(folder: Path, *, kills: int, judged_every: int = 50) -> Findings:
    """Every `judged_every` kills the writer stops for a moment, and all is compared."""
    findings = Findings("kills while vectors are written")
    index = ChromaVectorIndex(str(folder))
    await index.open()
    await index.create(COLLECTION)
    writer = Writer(index, seed=random.randrange(10**6))
    for begun in range(0, kills, judged_every):
        writing = asyncio.create_task(writer.write())
        for number in range(begun, min(begun + judged_every, kills)):
            # Every other one comes where it comes: while the process starts, while it writes graphs.
            await writer.after(random.randint(1, 20) if number % 2 else 0)
            await asyncio.sleep(random.uniform(0, 0.05 if number % 2 else 2.5))
            for process in processes_of(folder):
                process.kill()
        await writer.after(1)
        writing.cancel()
        await asyncio.wait([writing])
        await writer.judge(findings)
    await _judge_second(folder, findings)
    await index.aclose()
    findings.expect("a process is left", when=not processes_of(folder))
    findings.counts["kills"] = kills
    return findings


async def _judge_second(folder: Path, findings: Findings) -> None:
    second = ChromaVectorIndex(str(folder))
    try:
        await second.open()
    except ConfigurationError as error:
        findings.expect("the refusal does not say why", when="used by another process" in error.detail)
    else:
        findings.faults.append("a second process may write")
    await second.aclose()


async def prove_reindex_kills(
    server: Server, database: Footing, *, kills: int, messages: int, longest_pause: float = 3.0
) -> Findings:
    """Kills of the server, which makes the index again, and of the command that asked for it, one as often."""
    findings = Findings("kills while the index is made again")
    client = await server.user("reindexer")
    said = await _say(client, messages)
    await _until(database, WAITING, wanted=0)
    await _until(database, COMPLETE, wanted=1)
    first = (await database.rows(LIVE))[0][0]
    asking = asyncio.create_task(_ask(client, said, findings))
    command = _command(server)
    interrupted = 0
    for number in range(kills):
        if not _runs(command):
            command.start()
        await asyncio.sleep(random.uniform(0.2, longest_pause))
        interrupted += bool(await database.rows(UNFINISHED))
        if number % 2 == 0:
            await server.kill_and_restart()
        elif _runs(command):
            command.kill()
    await _finish(command, database, findings)
    asking.cancel()
    await asyncio.wait([asking])
    (generation, done, _), *_ = await database.rows(LIVE)
    findings.expect(f"{done} of {messages} messages are in the index", when=done == messages)
    findings.expect("no generation was made", when=generation > first)
    await _judge_all_found(client, said, findings)
    findings.counts |= {"kills": kills, "in the middle of it": interrupted, "generations": generation - first}
    return findings


def _command(server: Server) -> Process:
    arguments = ("search", "reindex", "--json")
    log = server.log.with_name("reindex.log")
    return Process("frontdesk", *arguments, log=log, environment=server.environment, directory=server.log.parent)


def _runs(command: Process) -> bool:
    try:
        command.check()
    except ProcessFailedError:
        return False
    return True


async def _say(client: ThreadsClient, messages: int) -> dict[str, str]:
    """The thread of each text."""
    kinds = list(itertools.product(PLACES, THINGS))
    texts = [
        f"The {thing} of number {number} is in the {place}"
        for number, (place, thing) in enumerate(itertools.islice(itertools.cycle(kinds), messages))
    ]
    said = {}
    for text in texts:
        said[text] = await client.new_thread()
        assert (await client.send(said[text], text)).status == 201
    return said


async def _ask(client: ThreadsClient, said: dict[str, str], findings: Findings) -> None:
    """Without end: each question is answered with its own thread, or not at all by a server that is not there."""
    findings.counts |= {"questions answered": 0, "without an answer": 0}
    while True:
        text = random.choice([*said])
        mode = random.choice(["text", "semantic", "hybrid"])
        try:
            reply = await client.ask("POST", "/search/threads", {"query": text, "mode": mode, "limit": 10})
        except LOST:
            findings.counts["without an answer"] += 1
            await asyncio.sleep(0.05)
            continue
        _judge_answer(findings, reply.status, reply.body, mode=mode, thread=said[text])


def _judge_answer(findings: Findings, status: int, body: Any, *, mode: str, thread: str) -> None:
    findings.counts["questions answered"] += 1
    findings.expect(f"{mode} was answered {status} {body}", when=status == 200)
    if status == 200:
        findings.expect(f"{mode} was {body['degraded']}", when=body["degraded"] is None)
        findings.expect(f"{mode} did not find it", when=thread in [item["thread"]["id"] for item in body["items"]])


async def _judge_all_found(client: ThreadsClient, said: dict[str, str], findings: Findings) -> None:
    for text, thread in said.items():
        reply = await client.ask("POST", "/search/threads", {"query": text, "mode": "semantic", "limit": 10})
        _judge_answer(findings, reply.status, reply.body, mode="semantic at the end", thread=thread)


async def _finish(command: Process, database: Footing, findings: Findings) -> None:
    """The last asking is not disturbed."""
    if _runs(command):
        command.kill()
    command.start()
    code = await asyncio.to_thread(command.wait, seconds=END_SECONDS)
    findings.expect(f"the command ended with {code}: {command.output()[-500:]}", when=code == 0)
    await _until(database, WAITING, wanted=0)


async def _until(database: Footing, query: str, *, wanted: int) -> None:
    async with asyncio.timeout(END_SECONDS):
        while len(await database.rows(query)) != wanted:  # noqa: ASYNC110  another process changes it
            await asyncio.sleep(0.1)
