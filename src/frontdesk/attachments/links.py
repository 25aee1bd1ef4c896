"""Addresses of ours that let whoever has them read or bring one blob for a while."""

from collections.abc import Mapping
from urllib.parse import quote, urlencode

import msgspec

from frontdesk.errors import BadLinkError, LinkExpiredError
from frontdesk.kit.clock import Clock
from frontdesk.kit.signing import Signer


class Download(msgspec.Struct, frozen=True, kw_only=True):
    """`name` is what a browser saves the blob as."""

    key: str
    name: str
    media_type: str


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    key: str
    max_bytes: int


class BlobLinks:
    """`place` is where the server answers them, such as `https://chat.example.com/api/blobs`, or a path of its own."""

    def __init__(self, place: str, signer: Signer, clock: Clock) -> None:
        self._place = place
        self._signer = signer
        self._clock = clock

    def download(self, download: Download, *, seconds: int) -> str:
        return self._link("GET", download.key, {"name": download.name, "type": download.media_type}, seconds=seconds)

    def upload(self, upload: Upload, *, seconds: int) -> str:
        return self._link("PUT", upload.key, {"max": str(upload.max_bytes)}, seconds=seconds)

    def read_download(self, key: str, query: Mapping[str, str]) -> Download:
        """Raises `BadLinkError`, `LinkExpiredError`."""
        name, media_type = self._verified("GET", key, query, names=("name", "type"))
        return Download(key=key, name=name, media_type=media_type)

    def read_upload(self, key: str, query: Mapping[str, str]) -> Upload:
        """Raises `BadLinkError`, `LinkExpiredError`."""
        (most,) = self._verified("PUT", key, query, names=("max",))
        return Upload(key=key, max_bytes=int(most))

    def _link(self, method: str, key: str, given: Mapping[str, str], *, seconds: int) -> str:
        expires = str(int(self._clock.now().timestamp()) + seconds)
        signature = self._signer.sign(method, key, expires, *given.values())
        return f"{self._place}/{quote(key)}?" + urlencode({**given, "expires": expires, "signature": signature})

    def _verified(self, method: str, key: str, query: Mapping[str, str], *, names: tuple[str, ...]) -> list[str]:
        values = [query.get(name, "") for name in names]
        expires, signature = query.get("expires", ""), query.get("signature", "")
        if not self._signer.verify(signature, method, key, expires, *values):
            raise BadLinkError
        if int(expires) < self._clock.now().timestamp():
            raise LinkExpiredError
        return values
