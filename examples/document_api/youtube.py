"""Addresses of YouTube videos. Nothing is fetched."""

import re
from urllib.parse import parse_qs, urlsplit

from document_api.problems import BadVideoError

_ID = re.compile(r"[A-Za-z0-9_-]{11}")
_HOSTS = frozenset({"youtube.com", "www.youtube.com", "m.youtube.com", "music.youtube.com", "www.youtube-nocookie.com"})
_FOLDERS = frozenset({"embed", "live", "shorts", "v"})


def canonical(video: str) -> str:
    """The one address of the video that an id or any of YouTube's addresses names. Raises `BadVideoError`."""
    video = video.strip()
    video_id = video if _ID.fullmatch(video) else _in_address(video)
    if video_id is None or _ID.fullmatch(video_id) is None:
        raise BadVideoError
    return f"https://www.youtube.com/watch?v={video_id}"


def _in_address(address: str) -> str | None:
    try:
        parts = urlsplit(address if "://" in address else f"https://{address}")
        host = parts.hostname
    except ValueError:
        return None
    if parts.scheme not in {"http", "https"} or parts.username is not None:
        return None
    segments = [segment for segment in parts.path.split("/") if segment]
    if host == "youtu.be":
        return segments[0] if len(segments) == 1 else None
    if host not in _HOSTS:
        return None
    if segments == ["watch"]:
        return next(iter(parse_qs(parts.query).get("v", [])), None)
    return segments[1] if len(segments) == 2 and segments[0] in _FOLDERS else None  # noqa: PLR2004  folder and id
