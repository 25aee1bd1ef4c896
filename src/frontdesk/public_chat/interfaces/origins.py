"""Which sites may embed a chat: origins (RFC 6454) as browsers serialize them, compared whole and never by parts."""

import re
from collections.abc import Sequence

_MOST_PORT = 65_535
_DEFAULT_PORTS = {"http": "80", "https": "443"}
_LABEL = "[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_ORIGIN = re.compile(
    rf"(?P<scheme>https?)://(?P<host>{_LABEL}(?:\.{_LABEL})*|\[[0-9a-f:.]{{2,45}}\])(?::(?P<port>[0-9]{{1,5}}))?",
    re.ASCII,
)
_MOST_HOST = 253


def parse_origin(text: str) -> str:
    """As a browser would send it: in lower case and without the scheme's own port. Raises `ValueError` for what is no
    origin of a web page: a path, a wildcard, `null`, a name that is not in its ASCII form.
    """
    match = _ORIGIN.fullmatch(text.strip().removesuffix("/").lower())
    if match is None or len(match["host"]) > _MOST_HOST or int(match["port"] or 1) not in range(1, _MOST_PORT + 1):
        raise ValueError("an origin is a scheme and a host, such as https://www.example.com")
    scheme, host, port = match["scheme"], match["host"], match["port"]
    if port is None or port.lstrip("0") == _DEFAULT_PORTS[scheme]:
        return f"{scheme}://{host}"
    return f"{scheme}://{host}:{int(port)}"


def is_allowed(origin: str, allowed: Sequence[str]) -> bool:
    """Whether a page of `origin`, the very text of the request's header, may use the chat. None stands for any."""
    return not allowed or origin in allowed


def frame_ancestors(allowed: Sequence[str]) -> str:
    """The Content-Security-Policy (CSP 3, 6.4.2) under which such pages may frame the chat, and nobody else's."""
    return " ".join(["frame-ancestors", "'self'", *allowed]) if allowed else "frame-ancestors *"


def own_origin(origin: str, host: str) -> bool:
    """Whether a page of the server itself asks, which has this host, with its port if that is not the scheme's own."""
    scheme, _, rest = origin.partition("://")
    return scheme in _DEFAULT_PORTS and bool(host) and rest == host.lower()
