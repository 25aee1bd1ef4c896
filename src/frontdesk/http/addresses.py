"""Whose address a request comes from, when proxies stand in between."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from starlette.requests import HTTPConnection

from frontdesk.errors import ConfigurationError, HttpsRequiredError
from frontdesk.settings import Settings

Networks = tuple[IPv4Network | IPv6Network, ...]
_LOCAL = "local"  # a peer without an address: a Unix socket


@lru_cache(maxsize=8)
def parse_networks(text: str) -> Networks:
    """Addresses and networks with commas in between. Raises `ConfigurationError`."""
    try:
        return tuple(ip_network(part.strip(), strict=False) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise ConfigurationError(f"CHAT_TRUSTED_PROXIES: {error}") from error


def client_address(request: HTTPConnection, trusted: Networks) -> str:
    """The peer; behind trusted ones, the last of `X-Forwarded-For` that is none of them. What stands before is hearsay.

    The server must pass the peer on as it is: uvicorn with `proxy_headers=False`.
    """
    if request.client is None:
        return _LOCAL
    address = request.client.host
    forwarded = ",".join(request.headers.getlist("x-forwarded-for")).split(",")
    while forwarded and _is_trusted(address, trusted):
        earlier = _parse(forwarded.pop())
        if earlier is None:
            break
        address = str(earlier)
    return address


def require_https(request: HTTPConnection, settings: Settings) -> None:
    """In production, what comes without TLS is refused. Raises `HttpsRequiredError`."""
    if settings.environment == "production" and not is_https(request, settings):
        raise HttpsRequiredError


def is_https(request: HTTPConnection, settings: Settings) -> bool:
    """A proxy that ends TLS says so, and is believed if it is trusted."""
    if request.url.scheme == "https":
        return True
    told = request.headers.getlist("x-forwarded-proto")
    peer = "" if request.client is None else request.client.host
    is_told = _is_trusted(peer, parse_networks(settings.trusted_proxies)) or peer == ""
    return is_told and bool(told) and told[-1].rpartition(",")[2].strip().lower() == "https"


def public_origin(request: HTTPConnection, settings: Settings) -> str:
    """Where the caller reaches this server: as configured, or else as it was just reached."""
    if settings.gateway_url:
        return settings.gateway_url.rstrip("/")
    return f"{'https' if is_https(request, settings) else 'http'}://{request.url.netloc}"


def _is_trusted(text: str, trusted: Networks) -> bool:
    address = _parse(text)
    return address is not None and any(address in network for network in trusted)


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    """Also with a port: `192.0.2.1:80`, `[2001:db8::1]:80`."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
