"""Which embedder the settings ask for. `auto` is the named model where it can be had without the network, else the
packaged one.
"""

from importlib.util import find_spec

import structlog

from frontdesk.adapters.embedder.openai_http import OpenAIHttpEmbedder
from frontdesk.errors import ConfigurationError
from frontdesk.ports.embedder import Embedder
from frontdesk.settings import Settings

_logger = structlog.get_logger(__name__)


async def open_embedder(settings: Settings) -> Embedder:
    """Opened, and its owner's to close. Raises `ConfigurationError` when what is asked for cannot be had."""
    if settings.embedder == "auto":
        return await _automatic(settings)
    return await _opened(_named(settings))


async def _opened(embedder: Embedder) -> Embedder:
    try:
        await embedder.open()
    except BaseException:
        await embedder.aclose()
        raise
    return embedder


def _named(settings: Settings) -> Embedder:
    if settings.embedder == "packaged":
        return _packaged()
    if settings.embedder == "sentence_transformers":
        return _sentence_transformers(settings, only_local=False)
    key = settings.embedding_api_key or settings.llm_api_key
    return OpenAIHttpEmbedder(
        base_url=settings.embedding_api_base or settings.llm_base_url,
        model=settings.embedding_model_name,
        api_key=None if key is None else key.get_secret_value(),
        dimensions=settings.embedding_dimensions,
        batch_size=settings.embedding_batch_size,
        timeout=settings.llm_timeout_seconds,
    )


async def _automatic(settings: Settings) -> Embedder:
    reason = "sentence-transformers is not installed"
    if find_spec("sentence_transformers") is not None:
        try:
            named = await _opened(_sentence_transformers(settings, only_local=True))
        except ConfigurationError as error:
            reason = error.detail
        else:
            _logger.info("embedder_chosen", model=named.model)
            return named
    packaged = await _opened(_packaged())
    _logger.info("embedder_chosen", model=packaged.model, instead_of=settings.embedding_model_name, reason=reason)
    return packaged


def _packaged() -> Embedder:
    try:
        from frontdesk.adapters.embedder.packaged_e5 import PackagedE5Embedder  # noqa: PLC0415  an extra
    except ImportError as error:
        raise _missing("embeddings") from error
    return PackagedE5Embedder()


def _sentence_transformers(settings: Settings, *, only_local: bool) -> Embedder:
    try:
        from frontdesk.adapters.embedder.sentence_transformers import (  # noqa: PLC0415  an extra
            SentenceTransformersEmbedder,
        )
    except ImportError as error:
        raise _missing("sentence-transformers") from error
    return SentenceTransformersEmbedder(
        settings.embedding_model_name,
        device=settings.embedding_device,
        batch_size=settings.embedding_batch_size,
        only_local=only_local,
    )


def _missing(extra: str) -> ConfigurationError:
    return ConfigurationError(f"CHAT_EMBEDDER needs the extra: pip install 'frontdesk[{extra}]'")
