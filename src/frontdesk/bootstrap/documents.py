"""The reading of what visitors bring, put together."""

import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib.util import find_spec
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from frontdesk.bootstrap.embedding import OneEmbedder
from frontdesk.database import Database
from frontdesk.errors import ConfigurationError
from frontdesk.ports.blob_store import BlobStore
from frontdesk.retrieval.public_addresses import Network
from frontdesk.retrieval.scratch import Scratch
from frontdesk.retrieval.sources.documents import Documents
from frontdesk.settings import Settings

if TYPE_CHECKING:  # numpy comes with them
    from frontdesk.retrieval.fetch_url import LinkFetcher
    from frontdesk.retrieval.sources.reading import SourceReader
    from frontdesk.retrieval.sources.search import SourceSearch

_logger = structlog.get_logger(__name__)


@dataclass(frozen=True)
class _Opened:
    reader: "SourceReader"
    search: "SourceSearch"
    scratch: Scratch

    def close(self) -> None:
        self.scratch.close()


def documents(settings: Settings, *, database: Database, blobs: BlobStore, embedder: OneEmbedder) -> Documents:
    """Without its extras nothing is read, and whoever brings something is told so."""
    missing = [*embedder.missing, *([("kreuzberg", "retrieval")] if find_spec("kreuzberg") is None else [])]
    if missing:
        _logger.info("documents are not read", missing=[extra for _, extra in missing])
        return Documents(database, None)
    _link_rules(settings)
    return Documents(database, _opening(settings, database=database, blobs=blobs, embedder=embedder))


def _opening(
    settings: Settings, *, database: Database, blobs: BlobStore, embedder: OneEmbedder
) -> Callable[[], Awaitable[_Opened]]:
    async def opening() -> _Opened:
        from frontdesk.retrieval.extract import Extractor  # noqa: PLC0415  numpy comes with them
        from frontdesk.retrieval.sources.reading import SourceReader  # noqa: PLC0415
        from frontdesk.retrieval.sources.search import SourceSearch  # noqa: PLC0415

        model = await embedder.open()
        scratch = Scratch(Path(settings.scratch_directory or tempfile.gettempdir()))
        reader = SourceReader(
            database=database,
            blobs=blobs,
            extractor=Extractor(scratch.path, processes=settings.extraction_processes),
            fetcher=_fetcher(settings),
            embedder=model,
            scratch=scratch.path,
        )
        return _Opened(reader, SourceSearch(database=database, embedder=model), scratch)

    return opening


def _fetcher(settings: Settings) -> "LinkFetcher":
    from frontdesk.retrieval.fetch_url import LinkFetcher  # noqa: PLC0415  only where links are followed

    networks, ports = _link_rules(settings)
    return LinkFetcher(opened=networks, ports=ports)


def _link_rules(settings: Settings) -> tuple[list[Network], frozenset[int]]:
    try:
        networks = [ip_network(text) for text in _listed(settings.link_networks)]
        return networks, frozenset(int(text) for text in _listed(settings.link_ports))
    except ValueError as error:
        raise ConfigurationError(f"CHAT_LINK_NETWORKS or CHAT_LINK_PORTS: {error}") from error


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
