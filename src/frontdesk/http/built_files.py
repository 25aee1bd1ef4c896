"""What `make web` built for browsers: scripts and styles, each compressed beforehand, and which of them a page needs.

Their names follow from their content, so whoever has one never asks for it again.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from frontdesk.errors import NotFoundError

FOLDER = Path(__file__).parent.parent / "built"
ASSETS = "/assets/"
_MANIFEST = "manifest.json"
_TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}
_CODINGS = {"br": ".br", "gzip": ".gz"}  # the first that a browser takes
_ACCEPTED = re.compile(r"(?:^|,)\s*(br|gzip)\s*(?:;\s*q=(?!0(?:\.0*)?\s*(?:,|$))[\d.]+\s*)?(?=,|$)")


class _Chunk(msgspec.Struct):
    """An entry of Vite's manifest."""

    file: str
    css: list[str] = []
    imports: list[str] = []


class BuiltFiles:
    """Held in memory: they are few, and read once. Where nothing was built, every question is `NotFoundError`."""

    def __init__(self, files: Mapping[str, bytes], manifest: Mapping[str, _Chunk]) -> None:
        self._files = files
        self._manifest = manifest

    @classmethod
    def read(cls, folder: Path = FOLDER) -> Self:
        files = {path.name: path.read_bytes() for path in folder.glob("*")} if folder.is_dir() else {}
        manifest = msgspec.json.decode(files.pop(_MANIFEST, b"{}"), type=dict[str, _Chunk])
        return cls(files, manifest)

    def head(self, entry: str) -> str:
        """The elements that load an entry, as HTML. Raises `NotFoundError`."""
        chunk = self._manifest.get(entry)
        if chunk is None:
            raise NotFoundError("The pages are not built: run `make web`")
        before = [self._manifest[name] for name in chunk.imports]
        styles = [name for each in [*before, chunk] for name in each.css]
        return "".join(
            [
                *(f'<link rel="stylesheet" href="{ASSETS}{name}">' for name in styles),
                *(f'<link rel="modulepreload" href="{ASSETS}{each.file}">' for each in before),
                f'<script type="module" src="{ASSETS}{chunk.file}"></script>',
            ]
        )

    def text(self, name: str) -> str:
        """Raises `NotFoundError`."""
        content = self._files.get(name)
        if content is None:
            raise NotFoundError("The pages are not built: run `make web`")
        return content.decode()

    def response(self, request: Request, name: str) -> Response:
        """Raises `NotFoundError`."""
        suffix = name[name.rfind(".") :]
        if name not in self._files or suffix not in _TYPES:
            raise NotFoundError
        accepted = set(_ACCEPTED.findall(request.headers.get("accept-encoding", "").lower()))
        coding = next((each for each, end in _CODINGS.items() if each in accepted and name + end in self._files), None)
        headers = {"Cache-Control": "public, max-age=31536000, immutable", "Vary": "Accept-Encoding"}
        if coding is None:
            return Response(self._files[name], headers=headers, media_type=_TYPES[suffix])
        content = self._files[name + _CODINGS[coding]]
        return Response(content, headers={**headers, "Content-Encoding": coding}, media_type=_TYPES[suffix])
