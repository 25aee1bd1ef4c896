"""The Content-Disposition field (RFC 6266) of what is to be saved and never shown."""

from urllib.parse import quote

_ATTR_CHARS = "!#$&+-.^_`|~"  # RFC 8187: what stands for itself, beside letters and digits
_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 !#$&'()+,-.;=@[]^_`{}~")


def attachment(name: str | None) -> str:
    """`name` in any script; clients that are older than RFC 8187 are given what of it is ASCII."""
    if not name:
        return "attachment"
    plain = "".join(char if char in _PLAIN else "_" for char in name)
    if plain == name:
        return f'attachment; filename="{name}"'
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe=_ATTR_CHARS)}"
