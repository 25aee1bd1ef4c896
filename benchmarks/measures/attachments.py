"""What visitors' attachments cost and how well they are found.

Documents: the installation guide of Debian, in English and Russian, from its package, all chapters in one session.
Questions: a hundred, half in each language, whose answers stand in one place; a hit is a chunk of the question's
language that has that place's own text (`benchmarks/questions`). Then the time of a search of one session's 1,000
chunks, without the embedding of the question, and a PDF of 10 MB that is uploaded to a server, read and asked about.
"""

import asyncio
import csv
import io
import json
import os
import subprocess
import time
from collections.abc import Awaitable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import aiohttp
import numpy as np
from PIL import Image
from reportlab.pdfgen.canvas import Canvas
from sqlalchemy import Connection, create_engine, text

from benchmarks.bench import Bench, say
from benchmarks.figures import Rows, Table, percentile
from benchmarks.frontdesk_server import Frontdesk
from benchmarks.machine import MIB, on_every_core, own_private_bytes
from benchmarks.programs import BenchmarkError
from benchmarks.replicas import postgres
from frontdesk.adapters.embedder.packaged_e5 import PackagedE5Embedder
from frontdesk.database import Database, migrations, open_database
from frontdesk.database.types import encode_json
from frontdesk.kit.clock import SystemClock
from frontdesk.kit.ids import new_id
from frontdesk.ports.chunk_store import DocumentChunk
from frontdesk.ports.embedder import Vectors
from frontdesk.retrieval.extract import Extractor
from frontdesk.retrieval.passages import packed_words, passages_of
from frontdesk.retrieval.sources import repository as sources
from frontdesk.retrieval.sources.models import FoundChunk, NewSource, SourceType
from frontdesk.retrieval.sources.search import SourceSearch, packed_rows

PACKAGE = "installation-guide-amd64"
QUESTIONS = Path(__file__).resolve().parents[1] / "questions" / "installation_guide.tsv"
LANGUAGES = ("en", "ru")
CHUNKS = 1_000
PASSAGES = 2
DIMENSION = 384
TOP = 3
NAME = "attachments"
PDF_BYTES = 10 * MIB
FACT = "The password of the lighthouse keeper of Utsira is halibut."


class Asked(NamedTuple):
    language: str
    question: str
    place: str


def _asked() -> Iterator[Asked]:
    with QUESTIONS.open(encoding="utf-8", newline="") as file:
        for place, *questions in csv.reader(file, delimiter="\t"):
            for language, question in zip(LANGUAGES, questions, strict=True):
                yield Asked(language, question, place)


def _documents() -> list[tuple[str, Path]]:
    """The guide's chapters, fetched once by the distribution's own tool. Each has its language in its name."""
    folder = Path(os.environ.get("BENCH_CORPUS_FOLDER", "~/.cache/frontdesk-benchmark-guide")).expanduser()
    root = folder / "unpacked"
    if not root.exists():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", PACKAGE], cwd=folder, check=True, capture_output=True)
        (package,) = folder.glob(f"{PACKAGE}_*.deb")
        subprocess.run(["dpkg-deb", "-x", package, root], check=True)
    guide = root / "usr/share/doc" / PACKAGE
    kept = ("ch", "apb", "apc", "apd", "apes")
    return [
        (f"{language}/{path.name}", path)
        for language in LANGUAGES
        for path in sorted((guide / language).glob("*.html"))
        if path.name.startswith(kept)
    ]


async def _chunked(folder: Path) -> list[tuple[str, list[DocumentChunk]]]:
    scratch = folder / "scratch"
    scratch.mkdir()
    extractor = Extractor(scratch, processes=1)
    corpus = await asyncio.to_thread(_documents)
    return [(name, (await extractor.extract(path, name=name)).chunks) for name, path in corpus]


def _fill(
    connection: Connection, thread_id: str, name: str, chunks: Sequence[DocumentChunk], *, vectors: Sequence[Vectors]
) -> None:
    """A source with its chunks, of a thread that is not there: what refers to it is not looked at here."""
    new = [NewSource(type=SourceType.file, name=name)]
    (source,) = sources.add(connection, new, thread_id=thread_id, message_id=thread_id, at=SystemClock().now())
    words = [packed_words(chunk.content, chunk.heading) for chunk in chunks]
    packed = packed_rows(vectors)
    sources.add_chunks(connection, source, chunks, model=PackagedE5Embedder.model, vectors=packed, words=words)


def _fill_sqlite(
    path: Path, thread_id: str, made: Sequence[tuple[str, Sequence[DocumentChunk], Sequence[Vectors]]]
) -> str:
    url = f"sqlite:///{path}"
    migrations.upgrade(url)
    engine = create_engine(url, json_serializer=encode_json)
    with engine.begin() as connection:
        for name, chunks, vectors in made:
            _fill(connection, thread_id, name, chunks, vectors=vectors)
    engine.dispose()
    return url


def _is_hit(asked: Asked, chunk: FoundChunk) -> bool:
    """Markdown writes some signs with a backslash."""
    return chunk.source_name.startswith(asked.language) and asked.place in chunk.content.replace("\\", "")


async def _quality(bench: Bench, table: Table, folder: Path) -> None:
    embedder = PackagedE5Embedder()
    await embedder.open()
    made = []
    for name, chunks in await _chunked(folder):
        if not bench.quick or name.startswith("en"):
            made.append((name, chunks, [await embedder.embed_passages(passages_of(chunk)) for chunk in chunks]))
    thread_id = new_id()
    url = await asyncio.to_thread(_fill_sqlite, folder / "quality.db", thread_id, made)
    database = open_database(url, pool_size=2, timeout=10)
    search = SourceSearch(database=database, embedder=embedder)
    ranks: dict[str, list[int]] = {language: [] for language in LANGUAGES}
    for asked in _asked():
        if bench.quick and asked.language != "en":
            continue
        found = await search.find(thread_id, asked.question, count=TOP)
        hits = [place for place, chunk in enumerate(found, start=1) if _is_hit(asked, chunk)]
        ranks[asked.language].append(min(hits, default=0))
        if not hits:
            say(f"  not found ({asked.language}): {asked.question}")
    await database.aclose()
    await embedder.aclose()
    for language, of_language in ranks.items():
        for most in (1, TOP):
            share = sum(0 < rank <= most for rank in of_language) / max(1, len(of_language))
            table.add(NAME, **{f"{language}_top_{most}": share})
    every = [rank for of_language in ranks.values() for rank in of_language]
    table.add(NAME, questions=len(every), chunks=sum(len(chunks) for _, chunks, _ in made))
    table.add(
        NAME, top_1=sum(rank == 1 for rank in every) / len(every), top_3=sum(rank > 0 for rank in every) / len(every)
    )


def _synthetic() -> tuple[list[DocumentChunk], Sequence[Vectors]]:
    random = np.random.default_rng(21)
    rows = random.standard_normal((CHUNKS, PASSAGES, DIMENSION))
    text = "The museum of clocks opens at nine and closes at six, and on Mondays it stays closed. " * 18
    chunks = [DocumentChunk(content=f"{number} {text}", start=0, end=len(text)) for number in range(CHUNKS)]
    return chunks, list((rows / np.linalg.norm(rows, axis=2, keepdims=True)).astype(np.float32))


async def _time_searches(bench: Bench, table: Table, name: str, database: Database, *, thread_id: str) -> None:
    search = SourceSearch(database=database, embedder=PackagedE5Embedder())
    random = np.random.default_rng(22)
    waits = []
    for _ in range(bench.count(50, 300)):
        vector = random.standard_normal((1, DIMENSION)).astype(np.float32)
        begun = time.perf_counter()
        found = await search.nearest(thread_id, "When does the museum close?", vector, count=5)
        waits.append((time.perf_counter() - begun) * 1000)
        if len(found) != 5:
            raise BenchmarkError("A search of 1,000 chunks found less than five")
    table.add(name, search_p50_ms=percentile(waits, 0.5), search_p95_ms=percentile(waits, 0.95))


async def _retrieval(bench: Bench, table: Table, folder: Path) -> None:
    chunks, vectors = _synthetic()
    thread_id = new_id()
    url = await asyncio.to_thread(_fill_sqlite, folder / "search.db", thread_id, [("a", chunks, vectors)])
    database = open_database(url, pool_size=4, timeout=10)
    await _time_searches(bench, table, f"{NAME}, SQLite", database, thread_id=thread_id)
    await database.aclose()
    with postgres(folder / "pg") as server:
        database = open_database(await server.database("attachments"), pool_size=4, timeout=60)

        def work(connection: Connection) -> None:
            connection.execute(text("SET LOCAL session_replication_role = replica"))
            _fill(connection, thread_id, "a", chunks, vectors=vectors)

        await database.write(work)
        await _time_searches(bench, table, f"{NAME}, PostgreSQL", database, thread_id=thread_id)
        await database.aclose()


def _large_pdf(folder: Path, *, pages: int) -> bytes:
    """Ten megabytes, most of them pictures, and pages of text, of which one says what will be asked."""
    pixels = np.random.default_rng(3).integers(0, 255, (1500, 1500, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "noise.jpg", quality=90)
    made = io.BytesIO()
    canvas = Canvas(made)
    for page in range(pages):
        for line in range(30):
            said = FACT if (page, line) == (pages // 2, 15) else f"Page {page}, line {line}: the weather was as it is."
            canvas.drawString(40, 800 - 20 * line, said)
        canvas.showPage()
    size = (folder / "noise.jpg").stat().st_size
    for number in range(round(PDF_BYTES / size)):
        # Two pictures that are the same would be stored once.
        Image.fromarray(np.roll(pixels, number, axis=0)).save(folder / f"{number}.jpg", quality=90)
        canvas.drawImage(str(folder / f"{number}.jpg"), 0, 0, 500, 500)
        canvas.showPage()
    canvas.save()
    return made.getvalue()


class _Watch:
    """The server's private memory, and how long it takes to answer that it lives, while something is done."""

    def __init__(self, server: Frontdesk, session: aiohttp.ClientSession) -> None:
        self._server = server
        self._session = session
        self.most_bytes = 0
        self.waits: list[float] = []

    async def run(self) -> None:
        while True:
            begun = time.perf_counter()
            async with self._session.get(f"http://127.0.0.1:{self._server.port}/health") as answer:
                await answer.read()
            self.waits.append((time.perf_counter() - begun) * 1000)
            own = await asyncio.to_thread(own_private_bytes, self._server.running().pid)
            self.most_bytes = max(self.most_bytes, own)
            await asyncio.sleep(0.02)


async def _watched(server: Frontdesk, session: aiohttp.ClientSession, work: Awaitable[Any]) -> tuple[Any, _Watch]:
    watch = _Watch(server, session)
    watching = asyncio.create_task(watch.run())
    try:
        return await work, watch
    finally:
        watching.cancel()


class _Visitor:
    def __init__(self, session: aiohttp.ClientSession, root: str, token: str) -> None:
        self._session = session
        self._root = root
        self._token = token

    async def upload(self, content: bytes) -> dict[str, Any]:
        form = aiohttp.FormData()
        form.add_field("file", io.BytesIO(content), filename="large.pdf")
        headers = {"X-Session-Token": self._token}
        async with self._session.post(f"{self._root}/upload", data=form, headers=headers) as answer:
            told: dict[str, Any] = await answer.json()
            if answer.status != 201:
                raise BenchmarkError(f"The upload was answered {answer.status}: {told}")
            return told

    async def answered(self, uploaded: dict[str, Any]) -> list[dict[str, Any]]:
        """The citations of the answer."""
        attachments = [{"type": "file", "uri": uploaded["uri"]}]
        question = "What is the password of the lighthouse keeper?"
        body = {"sessionToken": self._token, "message": question, "attachments": attachments}
        async with self._session.post(f"{self._root}/messages", json=body) as answer:
            answer.raise_for_status()
        async with self._session.get(f"{self._root}/stream", headers={"X-Session-Token": self._token}) as stream:
            async for line in stream.content:
                if line.startswith(b"data: ") and b'"citations"' in line:
                    cited: list[dict[str, Any]] = json.loads(line[6:])["citations"]
                    return cited
        raise BenchmarkError("The stream ended without a message")


async def _visitor(server: Frontdesk, session: aiohttp.ClientSession) -> _Visitor:
    agent = json.loads((await server.call("POST", "/api/agents", {"name": "a", "model": "scripted?echo=1"})).body)
    fields = {"name": "a", "agentId": agent["id"], "allowFileUpload": True, "maxFileSizeMb": 50}
    made = json.loads((await server.call("POST", "/api/chat-interfaces", fields)).body)
    await server.call("POST", f"/api/chat-interfaces/{made['id']}/publish", {})
    root = f"http://127.0.0.1:{server.port}/api/public/chat-interfaces/{made['slug']}"
    async with session.post(f"{root}/sessions", json={}) as answer:
        return _Visitor(session, root, (await answer.json())["sessionToken"])


async def _upload(bench: Bench, table: Table) -> None:
    makes = [lambda folder: Frontdesk(folder, CHAT_EMBEDDER="packaged", CHAT_BLOB_STORE=f"file://{folder}/blobs")]
    timeout = aiohttp.ClientTimeout(total=900)
    with TemporaryDirectory(prefix="fda") as folder:
        content = _large_pdf(Path(folder), pages=bench.count(10, 60))
    async with (
        bench.fleet(makes) as (_, (server,)),
        aiohttp.ClientSession(timeout=timeout, read_bufsize=4 * MIB) as session,
    ):
        visitor = await _visitor(server, session)
        note = await visitor.upload(b"%PDF-1.4 nothing")
        await visitor.answered(note)  # so that the embedder is there, which is not what is measured
        before = own_private_bytes(server.running().pid)
        uploaded, watch = await _watched(server, session, visitor.upload(content))
        grown = (watch.most_bytes - before) / MIB
        table.add(NAME, pdf_mib=len(content) / MIB, upload_growth_mib=grown, upload_health_max_ms=max(watch.waits))
        begun = time.perf_counter()
        cited, watch = await _watched(server, session, visitor.answered(uploaded))
        seconds = time.perf_counter() - begun
        is_right = float(any("halibut" in one["excerpt"] or one["span"]["page"] for one in cited[:1]))
        grown = (watch.most_bytes - before) / MIB
        table.add(
            NAME,
            read_seconds=seconds,
            read_growth_mib=grown,
            read_health_p99_ms=percentile(watch.waits, 0.99),
            read_health_max_ms=max(watch.waits),
            cited=is_right,
        )


async def measure(bench: Bench) -> Rows:
    table = Table()
    with TemporaryDirectory(prefix="fda") as folder, on_every_core():
        await _retrieval(bench, table, Path(folder))
        say("  searches")
        await _quality(bench, table, Path(folder))
        say("  questions")
    await _upload(bench, table)
    return table.rows()
