"""Files while storage fails: a bucket that fails 30 % of all requests, and a server that is killed while files come
(R16). Nothing is seen that is not whole, what was acknowledged is there, and what is left over is swept.
"""

import asyncio
import hashlib
import io
import random
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from chaos.findings import Findings
from chaos.footing import Footing
from frontdesk.attachments import repository as attachments
from frontdesk.attachments.models import Owner, OwnerKind
from frontdesk.attachments.service import FileDraft
from frontdesk.database import open_database
from frontdesk.errors import StorageUnavailableError
from frontdesk.kit.clock import HeldClock
from frontdesk.kit.ids import new_id
from frontdesk.ports.blob_store import BlobStore
from harness.attachments import attachment_service
from harness.fault_proxy import FaultProxy
from harness.flaky_storage import FlakyStorage
from harness.server import Server
from harness.storage import S3Server
from harness.threads_client import LOST, ThreadsClient
from harness.tool_sources import until

MANY = 200_000_000
A_DAY = 25 * 60 * 60
AT_ONCE = 8
PASSING = 100_000_000
MOST_GROWTH = 30_000_000


def settings(home: Path) -> dict[str, object]:
    return {"blob_store": f"file://{home / 'files'}", "upload_max_bytes": MANY, "upload_types": "*/*"}


async def prove_flaky_bucket(footing: Footing, *, files: int, share: float = 0.3) -> Findings:
    """`files` are brought to a bucket over a proxy that fails; one in ten breaks off by itself."""
    findings = Findings("flaky bucket")
    server = S3Server(Path(tempfile.mkdtemp(prefix="bucket")), signed=True)
    clock, owner, thread_id = HeldClock(), Owner(kind=OwnerKind.user, id=new_id()), new_id()
    database = open_database(footing.url, pool_size=5, timeout=10)
    try:
        await asyncio.to_thread(server.start)
        async with FlakyStorage(server.url, share=share, seed=1) as flaky:
            service = attachment_service(database, clock, server.store(url=flaky.url), at_once=AT_ONCE)
            kept: dict[str, str] = {}
            whole: set[str] = set()
            limit = asyncio.Semaphore(AT_ONCE)

            async def bring(number: int) -> None:
                content = _content(number)
                breaks = number % 10 == 9
                if not breaks:
                    whole.add(hashlib.sha256(content).hexdigest())
                draft = FileDraft(owner=owner, name=f"{number}.bin", folder="proof", max_bytes=MANY, allowed=["*/*"])
                async with limit:
                    try:
                        stored = await service.receive(draft, _chunks(content, breaks=breaks))
                    except (StorageUnavailableError, ConnectionResetError):
                        return
                kept[stored.key] = stored.sha256 or ""
                ids = [stored.id]
                await database.write(
                    lambda c: attachments.claim(c, owner, ids, thread_id=thread_id, message_id=new_id())
                )

            async with asyncio.TaskGroup() as group:
                for number in range(files):
                    group.create_task(bring(number))
            straight = server.store()
            seen = await _hashes(straight)
            findings.faults += [f"{key} is not whole" for key, digest in seen.items() if digest not in whole]
            findings.faults += [f"{key} is not what was stored" for key in kept if seen.get(key) != kept[key]]
            flaky.share = 0.0
            clock.advance(A_DAY)
            await service.sweep()
            left = await _hashes(straight)
            findings.expect("the sweep left orphans, or took what is used", when=left == kept)
            findings.counts |= {
                "files": files,
                "stored": len(kept),
                "orphans swept": len(seen) - len(kept),
                "requests": flaky.asked,
                "of them failed": flaky.failed,
            }
            findings.expect("too few files were stored", when=len(kept) >= files // 2)
    finally:
        server.stop()
        await database.aclose()
    return findings


async def prove_kills_while_files_come(server: Server, *, kills: int, pause: float = 0.4) -> Findings:
    """The server is killed while clients bring files, over a network that is cut now and then."""
    findings, files = Findings("kills while files come"), server.log.parent / "files"
    person = await server.user(f"files-{new_id()[-8:]}")
    kept: dict[str, str] = {}
    whole: set[str] = set()
    tried, stopping = Counter[str](), asyncio.Event()
    async with FaultProxy("127.0.0.1", server.port) as network:

        async def bring_on(seed: int) -> None:
            number = seed
            while not stopping.is_set():
                content = _content(number)
                number += AT_ONCE
                digest = hashlib.sha256(content).hexdigest()
                whole.add(digest)
                try:
                    answer = await _upload(person, f"http://127.0.0.1:{network.port}", content)
                except (*LOST, TimeoutError):
                    tried["lost"] += 1
                    await asyncio.sleep(0.05)
                    continue
                tried["stored"] += 1
                findings.expect(f"{answer['id']} has another hash", when=answer["sha256"] == digest)
                kept[answer["id"]] = digest

        async with asyncio.TaskGroup() as group:
            for seed in range(4):
                group.create_task(bring_on(seed))
            for turn in range(kills):
                await asyncio.sleep(pause * random.random() + 0.1)
                if turn % 2:
                    network.reset_all()
                await server.kill_and_restart()
            await asyncio.sleep(pause)
            stopping.set()
    await server.kill_and_restart()
    incoming = files / ".incoming"
    await until(lambda: not any(incoming.iterdir()), seconds=10)
    seen = [path for path in files.rglob("*~") if path.is_file()]
    hashes = {hashlib.sha256(path.read_bytes()).hexdigest() for path in seen}
    findings.faults += [f"{digest} is not whole" for digest in hashes - whole]
    for attachment_id, digest in kept.items():
        got = await person.ask("GET", f"/attachments/{attachment_id}")
        there = got.status == 200 and got.body["sha256"] == digest and digest in hashes
        findings.expect(f"{attachment_id} was acknowledged and is lost", when=there)
    findings.counts |= {"kills": kills, "stored": tried["stored"], "lost": tried["lost"], "files": len(seen)}
    return findings


async def prove_flat_memory(server: Server) -> Findings:
    """100 MB come and go; the server's memory stays as it is."""
    findings = Findings("memory of files")
    person = await server.user(f"large-{new_id()[-8:]}")
    await _upload(person, server.url, _content(1))
    before = most = server.resident_bytes
    done = asyncio.Event()

    async def watch() -> None:
        nonlocal most
        while not done.is_set():
            most = max(most, server.resident_bytes)
            await asyncio.sleep(0.02)

    watching = asyncio.create_task(watch())
    made = await _upload(person, server.url, bytes(PASSING))
    taken = 0
    async with aiohttp.ClientSession() as session, session.get(server.url + made["download_url"]) as answer:
        async for piece in answer.content.iter_chunked(65_536):
            taken += len(piece)
    done.set()
    await watching
    findings.expect("not all of it came back", when=taken == PASSING)
    findings.at_most(f"memory grew by {most - before:,} bytes", most - before, MOST_GROWTH)
    findings.counts |= {"bytes": taken, "growth at most": most - before}
    return findings


async def prove_files(server: Server, footing: Footing, *, files: int, kills: int) -> Findings:
    """All three, as one."""
    parts = [
        await prove_flaky_bucket(footing, files=files),
        await prove_kills_while_files_come(server, kills=kills),
        await prove_flat_memory(server),
    ]
    return Findings(
        "files",
        counts={f"{part.proof}: {name}": value for part in parts for name, value in part.counts.items()},
        faults=[fault for part in parts for fault in part.faults],
        missed=[missed for part in parts for missed in part.missed],
    )


async def _upload(person: ThreadsClient, url: str, content: bytes) -> dict[str, str]:
    form = aiohttp.FormData()
    form.add_field("file", io.BytesIO(content), filename="a.bin", content_type="application/octet-stream")
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session,
        session.post(f"{urlsplit(url).geturl()}/api/attachments", data=form, headers=person.headers) as answer,
    ):
        if answer.status != 201:
            raise ConnectionError(f"{answer.status} {await answer.text()}")
        made: dict[str, str] = await answer.json()
        return made


def _content(number: int) -> bytes:
    """Of a size that its number chooses: one in six takes several parts of an upload."""
    chosen = random.Random(number)
    size = chosen.choice([0, 10, 5_000, 60_000, 400_000, 6_000_000])
    return chosen.randbytes(size) + number.to_bytes(4)


async def _chunks(content: bytes, *, breaks: bool) -> AsyncIterator[bytes]:
    for start in range(0, len(content), 65_536):
        yield content[start : start + 65_536]
    if breaks:
        raise ConnectionResetError


async def _hashes(store: BlobStore) -> dict[str, str]:
    found = {}
    async for blob in store.list(""):
        digest = hashlib.sha256()
        async with store.open(blob.key) as opened:
            async for piece in opened.body():
                digest.update(piece)
        found[blob.key] = digest.hexdigest()
    return found
