"""The addresses that a process listens on, taken before anything else starts."""

import socket
from ipaddress import ip_address

from frontdesk.cli.failures import USAGE, CommandError
from frontdesk.settings import Settings

# Connections inherit it. Without it the kernel takes megabytes for a reader who takes nothing, and nobody notices.
_UNSENT_BYTES = 65_536


def bind(host: str, port: int) -> list[socket.socket]:
    """Sockets for every address that `host` stands for, bound but not yet listening. Raises CommandError when one is
    not to be had.
    """
    return [_bind(family, address) for family, address in _resolve(host, port)]


def bind_gateway(host: str, port: int, settings: Settings) -> list[socket.socket]:
    """As `bind`. Raises CommandError too when the signing secret or the internal key is the documented placeholder,
    with which anybody could write tokens or pass for a part of the gateway, and an address is open to other machines.
    """
    addresses = _resolve(host, port)
    is_open = not all(ip_address(address[0].partition("%")[0]).is_loopback for _, address in addresses)
    if settings.default_secrets and is_open:
        name = settings.default_secrets[0]
        raise CommandError(
            f"{name} is still the default, so the gateway binds to this machine only, not to {host}. "
            "Set it to a random secret, such as the output of: openssl rand -base64 48",
            exit_code=USAGE,
        )
    return [_bind(family, address) for family, address in addresses]


def decided_for(settings: Settings, sockets: list[socket.socket]) -> Settings:
    """With what `auto` leaves to the addresses: whoever has no account comes from this machine, or not at all."""
    is_open = not all(ip_address(each.getsockname()[0].partition("%")[0]).is_loopback for each in sockets)
    decided: dict[str, str] = {}
    if settings.sessions_allow_anonymous == "auto":
        decided["sessions_allow_anonymous"] = "false" if is_open else "true"
    if settings.gateway_allow_anonymous == "auto":
        decided["gateway_allow_anonymous"] = "false" if is_open else "loopback"
    return settings.model_copy(update=decided)


def base_url(sockets: list[socket.socket]) -> str:
    """An address to reach the first of `sockets` from this machine."""
    host, port = sockets[0].getsockname()[:2]
    address = ip_address(host)
    if address.is_unspecified:
        host = "127.0.0.1" if address.version == 4 else "::1"  # noqa: PLR2004  IPv4
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _resolve(host: str, port: int) -> list[tuple[int, tuple[str, int]]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise CommandError(f"{host} is not an address of this machine: {error}", exit_code=USAGE) from error
    return [(family, address) for family, _, _, _, address in found]  # type: ignore[misc]  # only AF_INET and AF_INET6


def _bind(family: int, address: tuple[str, int]) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise CommandError(f"Frontdesk cannot listen on {address[0]} port {address[1]}: {error.strerror}") from error
    return listener
