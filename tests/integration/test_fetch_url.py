import asyncio
import os
import socket
import ssl
import sys
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from frontdesk.retrieval import errors
from frontdesk.retrieval.fetch_url import FetchLimits, LinkFetcher
from frontdesk.retrieval.public_addresses import is_public
from harness.dns_server import NameServer
from harness.hostile_links import INNER_V4, INNER_V6, PUBLIC, hostile_links
from harness.ports import lasting_port
from harness.tool_sources import until
from harness.web_site import INNER, MEGABYTE, PAGE, SITE, Site, certificate, web_site

OPENED = [ip_network(f"{SITE}/32")]
PORTS = range(24000, 24500)
LINKS = hostile_links()
NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class Connections:
    """Every socket that this process makes, while it is watched."""

    def __init__(self) -> None:
        self.watched = False
        self.made: list[str] = []
        sys.addaudithook(self._heard)

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.watched or event not in {"socket.__new__", "socket.connect", "socket.getaddrinfo"}:
            return
        # An event loop has a pair of its own.
        if event != "socket.__new__" or arguments[1] != socket.AF_UNIX:
            self.made.append(f"{event} {arguments!r}")


CONNECTIONS = Connections()


@pytest.fixture
def connections() -> Iterator[Connections]:
    CONNECTIONS.made.clear()
    CONNECTIONS.watched = True
    yield CONNECTIONS
    CONNECTIONS.watched = False


@pytest.fixture
async def site():
    """On a port that is kept free at other addresses too."""
    async with web_site(port=lasting_port(PORTS)) as site:
        yield site


@pytest.fixture
async def names():
    server = await NameServer({}).open()
    yield server
    server.close()


def fetcher_of(site: Site, **given: Any) -> LinkFetcher:
    return LinkFetcher(**{"opened": OPENED, "ports": frozenset({site.port}), "certificates": NO_CERTIFICATES, **given})


def at(site: Site, path: str) -> str:
    return f"http://{SITE}:{site.port}{path}"


async def refused(fetcher: LinkFetcher, link: str, folder: Path) -> errors.LinkError:
    with pytest.raises(errors.LinkError) as caught:
        await fetcher.fetch(link, folder / "fetched")
    assert os.listdir(folder) == []  # noqa: PTH208  an async function, and no blocking one
    return caught.value


def test_there_are_many_hostile_links():
    assert len(LINKS) >= 300


@pytest.mark.parametrize("link", LINKS)
async def test_refuses_hostile_links_without_a_socket(link, connections, tmp_path):
    async def resolve(host: str, port: int) -> list[str]:
        raise AssertionError(f"{host}:{port} was looked up")

    assert isinstance(
        await refused(LinkFetcher(resolve=resolve, certificates=NO_CERTIFICATES), link, tmp_path),
        errors.LinkRefusedError,
    )
    assert connections.made == []


@pytest.mark.parametrize("address", [*INNER_V4, *INNER_V6])
async def test_refuses_names_of_inner_addresses_whatever_else_they_have(address, connections, tmp_path):
    for found in ([address], ["8.8.8.8", address], [address, "2606:4700::1111"]):
        fetcher = LinkFetcher(resolve=lambda *_, found=found: _answered(found), certificates=NO_CERTIFICATES)
        assert isinstance(await refused(fetcher, "https://example.com/", tmp_path), errors.LinkRefusedError)
    assert connections.made == []


@pytest.mark.parametrize("address", PUBLIC)
def test_knows_public_addresses(address):
    assert is_public(address)


@pytest.mark.parametrize(
    "address", [*INNER_V4, *INNER_V6, "fe80::1%lo", "2606:4700::1111%lo", "localhost", "", "1.1.1"]
)
def test_knows_what_is_no_public_address(address):
    assert not is_public(address)


@pytest.mark.parametrize("path", ["/page", "/gzip", "/deflate"])
async def test_fetches_into_a_file_and_tells_the_type_by_content(site, path, tmp_path):
    fetched = await fetcher_of(site).fetch(at(site, path), tmp_path / "fetched")
    assert (tmp_path / "fetched").read_bytes() == PAGE
    assert (fetched.size, fetched.media_type, fetched.url) == (len(PAGE), "text/html", at(site, path))


async def test_sends_nothing_of_ours(site, tmp_path, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NETRC", str(tmp_path.parent / "netrc"))
    (tmp_path.parent / "netrc").write_text(f"machine {SITE} login me password secret\n")
    fetcher = fetcher_of(site)
    for number in range(2):
        await fetcher.fetch(at(site, "/page#fragment"), tmp_path / str(number))
    assert set(site.headers) == {"Host", "User-Agent", "Accept", "Accept-Encoding", "Connection"}


async def test_follows_three_redirects_and_not_four(site, tmp_path):
    fetched = await fetcher_of(site).fetch(at(site, _nested(3)), tmp_path / "fetched")
    assert fetched.url == at(site, "/page")
    (tmp_path / "fetched").unlink()
    assert isinstance(await refused(fetcher_of(site), at(site, _nested(4)), tmp_path), errors.LinkUnreachableError)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "target",
    [f"http://{INNER}:PORT/", "http://2130706433:PORT/", "http://[::ffff:127.0.0.1]:PORT/", "//127.0.0.1:PORT/", "file:///x",
     "http://169.254.169.254/latest/", "http://u:p@127.0.0.2:PORT/", "http:\\\\127.0.0.1", "https://127.0.0.2:22/"],
)  # fmt: skip
async def test_looks_at_each_hop(site, status, target, tmp_path):
    async with web_site(INNER, port=site.port) as inner:
        link = at(site, f"/redirect?status={status}&to={target}")
        assert isinstance(await refused(fetcher_of(site), link, tmp_path), errors.LinkRefusedError)
        assert not inner.asked


async def test_a_name_that_changes_its_address_reaches_no_other(site, tmp_path):
    """Of two answers each is looked at, and the connection goes to the one that was."""
    names = await NameServer({"two.example": [SITE, INNER], "both.example": [f"{SITE} {INNER}"]}).open()
    async with web_site(INNER, port=site.port) as inner:
        fetcher = fetcher_of(site, resolve=names.resolve)
        outcomes = []
        for number in range(50):
            path = tmp_path / str(number)
            try:
                await fetcher.fetch(f"http://two.example:{site.port}/page", path)
                outcomes.append("fetched")
            except errors.LinkRefusedError:
                outcomes.append("refused")
        assert outcomes == ["fetched", "refused"] * 25
        assert len(names.asked) == 50
        assert site.headers["Host"] == f"two.example:{site.port}"
        with pytest.raises(errors.LinkRefusedError):
            await fetcher.fetch(f"http://both.example:{site.port}/page", tmp_path / "both")
        assert not inner.asked
    names.close()


async def test_a_redirect_is_looked_up_anew(site, tmp_path):
    names = await NameServer({"turns.example": [SITE, INNER]}).open()
    async with web_site(INNER, port=site.port) as inner:
        link = f"http://turns.example:{site.port}/redirect?to=/page"
        assert isinstance(
            await refused(fetcher_of(site, resolve=names.resolve), link, tmp_path), errors.LinkRefusedError
        )
        assert not inner.asked
    names.close()


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/bomb", errors.LinkTooLargeError),
        ("/endless", errors.LinkTooLargeError),
        ("/false-length", errors.LinkTooLargeError),
        ("/missing", errors.LinkUnreachableError),
        ("/nowhere", errors.LinkUnreachableError),
        ("/br", errors.LinkUnreachableError),
        ("/cut-gzip", errors.LinkUnreachableError),
        ("/false-gzip", errors.LinkUnreachableError),
        ("/long-head", errors.LinkUnreachableError),
    ],
)
async def test_keeps_nothing_of_what_is_wrong(site, path, error, tmp_path):
    assert type(await refused(fetcher_of(site), at(site, path), tmp_path)) is error


@pytest.mark.parametrize("path", ["/slow", "/silent"])
async def test_waits_no_longer_than_it_may(site, path, tmp_path):
    fetcher = fetcher_of(site, limits=FetchLimits(seconds=0.3))
    assert isinstance(await refused(fetcher, at(site, path), tmp_path), errors.LinkTooSlowError)


async def test_the_time_counts_for_all_hops_and_names_together(site, tmp_path):
    async def resolve(host: str, port: int) -> list[str]:
        del host, port
        await asyncio.Event().wait()
        return []

    fetcher = fetcher_of(site, resolve=resolve, limits=FetchLimits(seconds=0.2))
    assert isinstance(await refused(fetcher, f"http://a.example:{site.port}/", tmp_path), errors.LinkTooSlowError)


async def test_cancelling_leaves_no_file(site, tmp_path):
    task = asyncio.create_task(fetcher_of(site).fetch(at(site, "/slow"), tmp_path / "fetched"))
    await until(lambda: list(tmp_path.iterdir()))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert list(tmp_path.iterdir()) == []


async def test_the_bound_holds_to_the_byte(site, tmp_path):
    exact = fetcher_of(site, limits=FetchLimits(bytes=len(PAGE)))
    assert (await exact.fetch(at(site, "/gzip"), tmp_path / "fetched")).size == len(PAGE) < MEGABYTE
    (tmp_path / "fetched").unlink()
    less = fetcher_of(site, limits=FetchLimits(bytes=len(PAGE) - 1))
    for path in ("/gzip", "/page"):
        assert isinstance(await refused(less, at(site, path), tmp_path), errors.LinkTooLargeError)


async def test_nobody_there_and_no_such_name_are_told(site, names, tmp_path):
    closed = fetcher_of(site, resolve=names.resolve)
    assert isinstance(
        await refused(closed, f"http://nobody.example:{site.port}/", tmp_path), errors.LinkUnreachableError
    )
    silent = fetcher_of(site, opened=[ip_network("127.0.0.3/32")])
    assert isinstance(await refused(silent, f"http://127.0.0.3:{site.port}/", tmp_path), errors.LinkUnreachableError)


async def test_certificates_count_for_the_name_that_was_asked_for(tmp_path):
    resolved = {"right.example": SITE, "wrong.example": SITE}
    serving, trusting = certificate(tmp_path, "right.example")
    folder = tmp_path / "folder"
    folder.mkdir()
    async with web_site(tls=serving) as site:
        given = {"resolve": lambda host, _: _answered([resolved[host]])}
        fetcher = fetcher_of(site, certificates=trusting, **given)
        fetched = await fetcher.fetch(f"https://right.example:{site.port}/page", folder / "fetched")
        fetched.path.unlink()
        for used, name in ((fetcher, "wrong.example"), (fetcher_of(site, **given), "right.example")):
            told = await refused(used, f"https://{name}:{site.port}/page", folder)
            assert isinstance(told, errors.LinkUntrustedError)
    expired, trusting = certificate(tmp_path, "right.example", days=-1)
    async with web_site(tls=expired) as site:
        fetcher = fetcher_of(site, certificates=trusting, **given)
        told = await refused(fetcher, f"https://right.example:{site.port}/page", folder)
        assert isinstance(told, errors.LinkUntrustedError)


async def _answered(found: list[str]) -> list[str]:
    return found


def _nested(times: int) -> str:
    link = "/page"
    for _ in range(times):
        link = "/redirect?to=" + link.replace("%", "%25").replace("?", "%3F").replace("=", "%3D").replace("&", "%26")
    return link
