"""What is at a link, fetched into a file: the one client for addresses that somebody else has chosen.

It asks only public addresses, connects to the very address that was checked, sends nothing of ours, and has a bound on
the hops, the bytes and the time. Whoever chose the link learns no more than that it did not work.
"""

import asyncio
import socket
import ssl
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import BinaryIO

import msgspec
from aiohttp import (
    AddrInfoType,
    ClientError,
    ClientResponse,
    ClientSession,
    ClientSSLError,
    ClientTimeout,
    ConnectionTimeoutError,
    DummyCookieJar,
    TCPConnector,
)
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from frontdesk.extractor.kinds import read_as
from frontdesk.kit.media_types import HEAD_BYTES
from frontdesk.retrieval.errors import (
    LinkRefusedError,
    LinkTooLargeError,
    LinkTooSlowError,
    LinkUnreachableError,
    LinkUntrustedError,
)
from frontdesk.retrieval.public_addresses import PORTS, Network, checked_link, is_public

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a host; raises `OSError` when it has none."""

_PIECE_BYTES = 65_536
_WRITE_BYTES = 262_144
_HEAD_LINE_BYTES = 8190
_MOST_ADDRESSES = 8
_MOVED = {301, 302, 303, 307, 308}
_OK = 200
_HEADERS = {"User-Agent": "Frontdesk", "Accept": "*/*", "Accept-Encoding": "gzip"}
_GZIP_OR_ZLIB = 47  # zlib's window bits that tell the two apart by themselves


class FetchLimits(msgspec.Struct, frozen=True, kw_only=True):
    """`bytes` holds before and after unpacking, `seconds` for everything together."""

    bytes: int = 10 * 1024 * 1024
    seconds: float = 15.0
    redirects: int = 3


class Fetched(msgspec.Struct, frozen=True, kw_only=True):
    """`url` is where the redirects led, `media_type` what the content is, whatever its sender called it."""

    url: str
    path: Path
    size: int
    media_type: str


async def system_addresses(host: str, port: int) -> Sequence[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


class LinkFetcher:
    """To be used within one event loop. `opened` are networks that are asked although they are not public."""

    def __init__(
        self,
        *,
        limits: FetchLimits | None = None,
        opened: Sequence[Network] = (),
        ports: frozenset[int] = PORTS,
        resolve: Resolve = system_addresses,
        certificates: ssl.SSLContext | None = None,
    ) -> None:
        self._limits = limits or FetchLimits()
        self._opened = opened
        self._ports = ports
        self._resolve = resolve
        self._ssl = certificates or ssl.create_default_context()

    async def fetch(self, link: str, into: Path) -> Fetched:
        """Raises a `LinkError`, and leaves no file then, nor when it is cancelled."""
        try:
            async with asyncio.timeout(self._limits.seconds):
                with _told_as_link_errors(link):
                    return await self._followed(link, into)
        except TimeoutError as error:
            raise LinkTooSlowError(link, f"It takes longer than {self._limits.seconds:g} s") from error

    async def _followed(self, link: str, into: Path) -> Fetched:
        target = link
        for _ in range(self._limits.redirects + 1):
            url = checked_link(target, self._ports)
            async with self._asked(url, await self._addresses(url)) as response:
                if response.status not in _MOVED:
                    return await self._kept(response, link, into)
                target = _location(response, link)
        raise LinkUnreachableError(link, f"It is redirected more than {self._limits.redirects} times")

    async def _addresses(self, url: URL) -> Sequence[str]:
        """All that the host has: one that is not public speaks against the others."""
        host = url.raw_host or ""
        literal = ":" in host or host.replace(".", "").isdigit()
        found = [host] if literal else await self._resolve(host, url.port or 0)
        if not found or not all(is_public(address, self._opened) for address in found):
            raise LinkRefusedError(str(url))
        return found[:_MOST_ADDRESSES]

    @asynccontextmanager
    async def _asked(self, url: URL, addresses: Sequence[str]) -> AsyncIterator[ClientResponse]:
        connector = TCPConnector(
            resolver=_Known(addresses),
            use_dns_cache=False,
            socket_factory=_only_to(addresses),
            force_close=True,
            ssl=self._ssl,
        )
        async with (
            ClientSession(
                connector=connector,
                cookie_jar=DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                timeout=ClientTimeout(total=None, sock_connect=self._limits.seconds),
                max_line_size=_HEAD_LINE_BYTES,
                max_field_size=_HEAD_LINE_BYTES,
            ) as session,
            session.get(url, headers=_HEADERS, allow_redirects=False) as response,
        ):
            yield response

    async def _kept(self, response: ClientResponse, link: str, into: Path) -> Fetched:
        if response.status != _OK:
            raise LinkUnreachableError(link, f"It answers {response.status}")
        if (response.content_length or 0) > self._limits.bytes:
            raise self._too_large(link)
        size, head, waiting = 0, b"", bytearray()
        with _new_file(into) as file:
            async for piece in _body(response, link):
                size += len(piece)
                if size > self._limits.bytes:
                    raise self._too_large(link)
                head += piece[: HEAD_BYTES - len(head)]
                waiting += piece
                if len(waiting) >= _WRITE_BYTES:
                    waiting = await _written(file, waiting)
            await _written(file, waiting)
        return Fetched(url=str(response.url), path=into, size=size, media_type=read_as(head))

    def _too_large(self, link: str) -> LinkTooLargeError:
        return LinkTooLargeError(link, f"It is larger than {self._limits.bytes:,} bytes")


class _Known(AbstractResolver):
    """Answers with what was checked: nothing is looked up a second time."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        del family
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self._addresses
        ]

    async def close(self) -> None:
        pass


def _only_to(addresses: Sequence[str]) -> Callable[[AddrInfoType], socket.socket]:
    """The last word before a connection: whatever stands above, a socket is made for these addresses only."""

    def make(found: AddrInfoType) -> socket.socket:
        family, kind, protocol, _, address = found
        if address[0] not in addresses:
            raise OSError("not an address that was checked")
        return socket.socket(family, kind, protocol)

    return make


async def _body(response: ClientResponse, link: str) -> AsyncIterator[bytes]:
    """Unpacked, in pieces that are bounded however well they were packed."""
    encoding = response.headers.get("Content-Encoding", "identity").lower()
    if encoding == "identity":
        async for piece in response.content.iter_chunked(_PIECE_BYTES):
            yield piece
        return
    if encoding not in {"gzip", "x-gzip", "deflate"}:
        raise LinkUnreachableError(link, "It answers in an encoding that was not asked for")
    unpacking = zlib.decompressobj(_GZIP_OR_ZLIB)
    async for packed in response.content.iter_chunked(_PIECE_BYTES):
        rest = packed
        while rest and not unpacking.eof:
            yield unpacking.decompress(rest, _PIECE_BYTES)
            rest = unpacking.unconsumed_tail
    if not unpacking.eof:
        raise LinkUnreachableError(link, "It breaks off")


@contextmanager
def _new_file(path: Path) -> Iterator[BinaryIO]:
    """It stays only if all of it was written."""
    with path.open("xb") as file:
        try:
            yield file
        except BaseException:
            path.unlink()
            raise


async def _written(file: BinaryIO, data: bytearray) -> bytearray:
    await asyncio.to_thread(file.write, data)
    return bytearray()


def _location(response: ClientResponse, link: str) -> str:
    location = response.headers.get("Location", "")
    if not location:
        raise LinkUnreachableError(link, "It is redirected to nowhere")
    if "\\" in location or not location.isprintable():
        raise LinkRefusedError(link)
    return str(response.url.join(URL(location)))


@contextmanager
def _told_as_link_errors(link: str) -> Iterator[None]:
    try:
        yield
    except ClientSSLError as error:
        raise LinkUntrustedError(link) from error
    except ConnectionTimeoutError as error:
        raise LinkTooSlowError(link) from error
    except (ClientError, OSError, ValueError, zlib.error) as error:
        raise LinkUnreachableError(link) from error
