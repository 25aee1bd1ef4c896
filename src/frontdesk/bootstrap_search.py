"""Search put together: which embedder and which index of vectors stand behind it, and what keeps them up to date."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import structlog

from frontdesk.adapters.execution_engine.ticker import Ticker
from frontdesk.database import Database, open_database
from frontdesk.errors import ConfigurationError
from frontdesk.kit.clock import Clock, SystemClock
from frontdesk.observability.measurements import Measurements
from frontdesk.retrieval.indexing import Indexer
from frontdesk.retrieval.likeness import Likeness
from frontdesk.retrieval.service import SearchService
from frontdesk.retrieval.vectors import Meaning
from frontdesk.settings import Settings

_logger = structlog.get_logger(__name__)


def open_search(
    stack: AsyncExitStack, settings: Settings, *, database: Database, clock: Clock, measurements: Measurements
) -> SearchService:
    """Search for a server, which keeps its indexes up to date until `stack` is closed; off, nothing is opened."""
    meaning = _meaning(settings, database) if settings.search_enabled else Meaning(None, None)
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
        meaning = _meaning(settings, database)
        stack.push_async_callback(meaning.aclose)
        yield database, Indexer(database=database, clock=SystemClock(), meaning=meaning)


def _meaning(settings: Settings, database: Database) -> Meaning:
    """Without its extras search goes on by words alone."""
    try:
        raise ConfigurationError("not there yet")
    except ConfigurationError as error:
        _logger.warning("search by meaning is off", reason=error.detail)
        return Meaning(None, None, reason=error.detail)
