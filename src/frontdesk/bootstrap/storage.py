"""Where files lie, as CHAT_BLOB_STORE says."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from frontdesk.adapters.blob_store.local import LocalBlobStore
from frontdesk.attachments.links import BlobLinks
from frontdesk.bootstrap.extras import extra
from frontdesk.errors import ConfigurationError
from frontdesk.kit.clock import Clock
from frontdesk.kit.signing import Signer
from frontdesk.ports.blob_store import BlobStore
from frontdesk.settings import Settings

_BUCKETS = frozenset({"s3", "gs", "az"})


def blob_links(settings: Settings, clock: Clock) -> BlobLinks:
    """The addresses under which the server itself gives and takes blobs."""
    signer = Signer(settings.jwt_secret_key.get_secret_value().encode(), purpose="blob links")
    return BlobLinks(f"{(settings.gateway_url or '').rstrip('/')}{settings.api_prefix}/blobs", signer, clock)


def blob_store(settings: Settings, links: BlobLinks) -> BlobStore:
    """Raises `ConfigurationError`."""
    url = urlsplit(settings.blob_store)
    if url.scheme == "file" and not url.netloc and url.path:
        return LocalBlobStore(Path(unquote(url.path)).absolute(), links)
    if url.scheme not in _BUCKETS or not url.netloc:
        raise ConfigurationError("CHAT_BLOB_STORE is file:///DIRECTORY, s3://BUCKET, gs://BUCKET or az://CONTAINER")
    with extra("storage", "CHAT_BLOB_STORE"):
        from frontdesk.adapters.blob_store.object_store import ObjectBlobStore, open_bucket  # noqa: PLC0415  an extra
    prefix = url.path.strip("/")
    try:
        bucket = open_bucket(url.scheme, url.netloc)
        return ObjectBlobStore(bucket, prefix=f"{prefix}/" if prefix else "", address=f"{url.scheme}://{url.netloc}")
    except ValueError as error:
        raise ConfigurationError(f"CHAT_BLOB_STORE: {error}") from error
