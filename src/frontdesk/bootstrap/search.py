"""Search put together: which embedder and which index of vectors stand behind it, and what keeps them up to date."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.util import find_spec

import structlog

from frontdesk.adapters.execution_engine.ticker import Ticker
from frontdesk.adapters.vector_index.chroma import ChromaVectorIndex
from frontdesk.adapters.vector_index.pgvector import PgvectorIndex
from frontdesk.bootstrap.embedding import OneEmbedder
from frontdesk.database import Database, open_database
from frontdesk.database.engine import parse_url
from frontdesk.kit.clock import Clock, SystemClock
from frontdesk.observability.measurements import Measurements
from frontdesk.ports.embedder import Embedder
from frontdesk.ports.vector_index import VectorIndex
from frontdesk.retrieval.indexing import Indexer
from frontdesk.retrieval.likeness import Likeness
from frontdesk.retrieval.service import SearchService
from frontdesk.retrieval.vectors import Meaning
from frontdesk.settings import Settings

_logger = structlog.get_logger(__name__)


def open_search(
    stack: AsyncExitStack,
    settings: Settings,
    *,
    database: Database,
    embedder: OneEmbedder,
    clock: Clock,
    measurements: Measurements,
) -> SearchService:
    """Search for a server, which keeps its indexes up to date until `stack` is closed; off, nothing is opened."""
    meaning = _meaning(settings, database, embedder) if settings.search_enabled else Meaning(None)
    stack.push_async_callback(meaning.aclose)
    if settings.search_enabled:
        indexer = Indexer(database=database, clock=clock, meaning=meaning)
        ticker = Ticker("search", indexer.run, interval=settings.search_tick_seconds, clock=clock)
        ticker.open()
        stack.push_async_callback(ticker.aclose)
        measurements.watch("frontdesk_search_outbox_rows", "Changes that wait for the indexes", lambda: indexer.rows)
        measurements.watch("frontdesk_search_lag_seconds", "How long the oldest has waited", lambda: indexer.lag)
    likeness = Likeness(database=database, meaning=meaning, least=settings.search_min_similarity)
    return SearchService(database=database, likeness=likeness, enabled=settings.search_enabled)


@asynccontextmanager
async def running_indexer(settings: Settings) -> AsyncIterator[tuple[Database, Indexer]]:
    """For a command that works on the indexes itself where no server does."""
    async with AsyncExitStack() as stack:
        database = open_database(
            settings.database_url, pool_size=settings.database_pool_size, timeout=settings.database_timeout_seconds
        )
        stack.push_async_callback(database.aclose)
        embedder = OneEmbedder(settings)
        stack.push_async_callback(embedder.aclose)
        meaning = _meaning(settings, database, embedder)
        stack.push_async_callback(meaning.aclose)
        yield database, Indexer(database=database, clock=SystemClock(), meaning=meaning)


def _meaning(settings: Settings, database: Database, embedder: OneEmbedder) -> Meaning:
    """Without its extras search goes on by words alone."""
    kind = settings.vector_index
    if kind == "auto":
        kind = "pgvector" if parse_url(settings.database_url).drivername.startswith("postgresql") else "chroma"
    missing = [name for _, name in embedder.missing]
    if kind == "chroma" and find_spec("chromadb") is None:
        missing.append("chroma")
    if missing:
        reason = f"Search by meaning needs the extras: pip install 'frontdesk[{','.join(missing)}]'"
        _logger.warning("search by meaning is off", reason=reason)
        return Meaning(None, reason=reason)
    index = PgvectorIndex(database) if kind == "pgvector" else ChromaVectorIndex(settings.chroma_persist_directory)
    return Meaning(lambda: _open_both(embedder, index))


async def _open_both(embedder: OneEmbedder, index: VectorIndex) -> tuple[Embedder, VectorIndex]:
    opened = await embedder.open()
    await index.open()
    return opened, index
