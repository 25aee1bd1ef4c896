"""A web site on a loopback address of its own that answers well, badly, too much, too slowly or elsewhere."""

import asyncio
import datetime as dt
import gzip
import ssl
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

SITE, INNER = "127.0.0.2", "127.0.0.1"
PAGE = b"<html><body>" + b"public text " * 100 + b"</body></html>"
MEGABYTE = 1_048_576
PACKED: dict[str, tuple[str, Callable[[], bytes]]] = {
    "/gzip": ("gzip", lambda: gzip.compress(PAGE)),
    "/deflate": ("deflate", lambda: zlib.compress(PAGE)),
    "/cut-gzip": ("gzip", lambda: gzip.compress(PAGE)[:-20]),
    "/false-gzip": ("gzip", lambda: PAGE),
    "/br": ("br", lambda: PAGE),
    "/bomb": ("gzip", lambda: gzip.compress(bytes(200 * MEGABYTE), 1)),
}


class Site:
    """`asked` counts requests by path, `headers` are those of the last one."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.headers: dict[str, str] = {}
        self.port = 0
        self.closing = asyncio.Event()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked[request.path] += 1
        self.headers = dict(request.headers)
        if request.path in {"/endless", "/slow", "/silent", "/false-length"}:
            return await self._streamed(request)
        if request.path == "/redirect":
            location = request.query["to"].replace("PORT", str(self.port))
            return web.Response(status=int(request.query.get("status", "302")), headers={"Location": location})
        if request.path in PACKED:
            encoding, pack = PACKED[request.path]
            return web.Response(body=pack(), headers={"Content-Encoding": encoding})
        status = {"/missing": 404, "/nowhere": 302}.get(request.path, 200)
        headers = {"Set-Cookie": "a=b"} | ({"X-Long": "a" * 20_000} if request.path == "/long-head" else {})
        return web.Response(status=status, body=PAGE, content_type="image/png", headers=headers)

    async def _streamed(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        if request.path == "/silent":
            await self.closing.wait()
        if request.path == "/false-length":
            response.content_length = 11 * MEGABYTE
        await response.prepare(request)
        await response.write(PAGE)
        while request.path == "/endless":
            await response.write(bytes(MEGABYTE))
        await self.closing.wait()
        return response


@asynccontextmanager
async def web_site(host: str = SITE, *, port: int = 0, tls: ssl.SSLContext | None = None) -> AsyncIterator[Site]:
    site = Site()
    server = web.Server(site.answer)
    runner = web.ServerRunner(server, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, host, port, ssl_context=tls).start()
    site.port = runner.addresses[0][1]
    try:
        yield site
    finally:
        site.closing.set()
        await runner.cleanup()


def certificate(folder: Path, name: str, *, days: int = 1) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """What serves as `name`, and what trusts that certificate alone. Negative `days` are over."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=9))
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name), x509.IPAddress(ip_address(SITE))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = folder / f"{name}.pem"
    file.write_bytes(pem + private)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(file)
    return serving, ssl.create_default_context(cadata=pem.decode())
