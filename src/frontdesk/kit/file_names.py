"""Names of files that strangers chose: made fit to be shown, to be saved under, and to be part of a key."""

import re
import unicodedata

NAME_LENGTH = 150
_UNNAMED = "file"
_SEPARATORS = re.compile(r"[/\\\u2044\u2215\u29f5\u29f8\uff0f\uff3c]")
# Beside controls, what is not seen or turns the text around it: a name must end as it seems to end.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_FORBIDDEN = re.compile(r'[<>:"|?*]')
_DEVICES = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?", re.IGNORECASE)
_NOT_IN_KEYS = re.compile(r"[^A-Za-z0-9._-]+")


def clean_name(given: str) -> str:
    """The last part of a path, in any script, of 150 characters at most and its extension kept; never empty or hidden.

    On no system is it more than a file's name.
    """
    name = unicodedata.normalize("NFC", _SEPARATORS.split(given)[-1])
    name = "".join(" " if unicodedata.category(char) == "Zs" else char for char in name if _is_seen(char))
    name = _FORBIDDEN.sub("_", name).strip(" .")
    if not name or _DEVICES.fullmatch(name):
        name = f"_{name}" if name else _UNNAMED
    if len(name) > NAME_LENGTH:
        stem, dot, extension = name.rpartition(".")
        kept = f"{dot}{extension}" if stem and len(extension) <= 10 else ""  # noqa: PLR2004  longer ones are no extensions
        name = name[: NAME_LENGTH - len(kept)].rstrip(" .") + kept
    return name


def key_name(given: str) -> str:
    """What of a name may stand in a blob's key: ASCII letters, digits, `._-`."""
    plain = unicodedata.normalize("NFKD", clean_name(given)).encode("ascii", "ignore").decode()
    return _NOT_IN_KEYS.sub("_", plain).strip("._")[-100:].lstrip("._-") or _UNNAMED


def _is_seen(char: str) -> bool:
    return unicodedata.category(char) not in _UNSEEN
