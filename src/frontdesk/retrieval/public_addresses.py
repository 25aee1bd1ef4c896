"""Which links lead to the public internet, by the link itself and by each address that its host has."""

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from yarl import URL

from frontdesk.retrieval.errors import LinkRefusedError

Network = IPv4Network | IPv6Network
MAX_LENGTH: Final = 2048
PORTS: Final = frozenset({80, 443})
# IANA's registries of special purposes, what embeds an IPv4 address, and a cloud's own services at public addresses.
# fmt: off
_NOT_PUBLIC: Final = tuple(map(ip_network, (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32", "169.254.0.0/16", "172.16.0.0/12",
    "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16",
    "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3", "2001::/23",
    "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20",
)))
# fmt: on
_UNICAST_V6: Final = ip_network("2000::/3")
_NAME: Final = re.compile(
    r"(?=.{1,253}$)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.?"
)
_NUMBER: Final = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)\.?")
_AUTHORITY: Final = re.compile(r"https?://([^/?#]*)", re.IGNORECASE)
_UNWRITABLE: Final = re.compile(
    r"[\s\\\x00-\x20\x7f-\xa0\u00ad\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff\ud800-\udfff]"
)


def checked_link(text: str, ports: frozenset[int] = PORTS) -> URL:
    """A link as it will be asked for. Raises `LinkRefusedError` for one that could be read in two ways, and for
    everything but HTTP at a name or at a plainly written address.
    """
    if len(text) > MAX_LENGTH or _UNWRITABLE.search(text):
        raise LinkRefusedError(text, "It is not a link")
    try:
        url = URL(text)
        host, port = url.raw_host, url.port
    except ValueError as error:
        raise LinkRefusedError(text, "It is not a link") from error
    if url.scheme not in {"http", "https"} or not host:
        raise LinkRefusedError(text, "Only links of http and https are followed")
    written = _AUTHORITY.match(text)
    if written is None or "@" in written[1]:
        raise LinkRefusedError(text, "It has a user name")
    if port not in ports:
        raise LinkRefusedError(text, f"Only the ports {', '.join(map(str, sorted(ports)))} are asked")
    if not _is_plain_host(host) or ("[" in written[1]) != (":" in host):
        raise LinkRefusedError(text, "Its host is not plainly written")
    return url.with_fragment(None)


def is_public(address: str, opened: Iterable[Network] = ()) -> bool:
    """Whether anybody may ask there; `opened` are networks in which one may, too."""
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, IPv6Address) and ip.scope_id is not None:
        return False
    if any(ip in network for network in opened):
        return True
    if isinstance(ip, IPv6Address) and ip not in _UNICAST_V6:
        return False
    return ip.is_global and not ip.is_multicast and not any(ip in network for network in _NOT_PUBLIC)


def _is_plain_host(host: str) -> bool:
    """A name, four decimal numbers, or an IPv6 address without a zone. Other numbers are addresses in disguise."""
    if ":" in host:
        return "%" not in host and _parses(host, IPv6Address)
    if _NUMBER.fullmatch(host):
        return _parses(host, IPv4Address)
    return _NAME.fullmatch(host) is not None


def _parses(host: str, kind: type[IPv4Address | IPv6Address]) -> bool:
    try:
        kind(host)
    except ValueError:
        return False
    return True
