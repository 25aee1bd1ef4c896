"""Attachments with the local store behind them, whose directory is made when the first file comes."""

import tempfile
from pathlib import Path

from frontdesk.adapters.blob_store.local import LocalBlobStore
from frontdesk.attachments.links import BlobLinks
from frontdesk.attachments.service import AttachmentService
from frontdesk.database import Database
from frontdesk.kit.clock import Clock
from frontdesk.kit.ids import new_id
from frontdesk.kit.signing import Signer
from frontdesk.ports.blob_store import BlobStore

LINKS_SECRET = b"a secret of the tests for links"


def local_store(directory: Path, clock: Clock) -> LocalBlobStore:
    return LocalBlobStore(directory, BlobLinks("/api/blobs", Signer(LINKS_SECRET, purpose="blob links"), clock))


def attachment_service(
    database: Database, clock: Clock, store: BlobStore | None = None, *, at_once: int = 10
) -> AttachmentService:
    """Without a store of the caller's: for what has no files."""
    own = store or local_store(Path(tempfile.gettempdir()) / new_id(), clock)
    return AttachmentService(database=database, store=own, clock=clock, at_once=at_once)
