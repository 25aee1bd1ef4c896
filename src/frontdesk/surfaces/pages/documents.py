"""Pages as HTML, and the policy under which a browser runs them: our own scripts and styles, nothing inline, nobody
else's, and no text that becomes markup but by way of the cleaner (Content Security Policy 3, Trusted Types).
"""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any
from urllib.parse import urlsplit

import msgspec
from starlette.responses import HTMLResponse

UNFRAMED = "frame-ancestors 'none'"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; font-src 'self'; base-uri 'none'; "
    "form-action 'none'; require-trusted-types-for 'script'; trusted-types dompurify vue"
)
_IN_SCRIPT = str.maketrans({each: f"\\u{ord(each):04x}" for each in "<>&\u2028\u2029"})
_PERMISSIONS = "camera=(), geolocation=(), microphone=(), payment=(), usb=()"
_PAGE = """<!doctype html>
<html lang="{lang}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1, viewport-fit=cover, \
interactive-widget=resizes-content">
<title>{title}</title>
<meta name="description" content="{description}">
<link rel="icon" href="data:,">
{head}
</head>
<body>
<div id="app"></div>
<noscript>{title}: JavaScript is needed.</noscript>
<script type="application/json" id="frontdesk">{given}</script>
</body>
</html>
"""
_NOTICE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<link rel="icon" href="data:,">
</head>
<body>
<main>
<h1>{title}</h1>
<p>{detail}</p>
</main>
</body>
</html>
"""


class Page(msgspec.Struct, kw_only=True, frozen=True):
    """`head` loads it, `given` is what its script reads; `images` are addresses of pictures elsewhere that it shows."""

    head: str
    lang: str
    title: str
    description: str
    given: Mapping[str, Any]
    images: Sequence[str] = ()


def document(page: Page, *, ancestors: str) -> HTMLResponse:
    content = _PAGE.format(
        head=page.head,
        lang=escape(page.lang),
        title=escape(page.title),
        description=escape(page.description),
        given=script_json(page.given),
    )
    origins = dict.fromkeys(found for each in page.images if (found := _origin(each)))
    pictures = " ".join(["img-src 'self' data: blob:", *origins])
    return _document(content, 200, f"{_POLICY}; {pictures}; {ancestors}")


def notice(status: int, *, title: str, detail: str, headers: Mapping[str, str], ancestors: str) -> HTMLResponse:
    """A page that says why there is none."""
    content = _NOTICE.format(title=escape(title), detail=escape(detail))
    response = _document(content, status, f"default-src 'none'; img-src data:; {ancestors}")
    response.headers.update(headers)
    return response


def script_json(value: object) -> str:
    """JSON that may stand inside a script element: nothing in it ends the element or begins a comment."""
    return msgspec.json.encode(value).decode().translate(_IN_SCRIPT)


def _document(content: str, status: int, policy: str) -> HTMLResponse:
    headers = {"Content-Security-Policy": policy, "Cache-Control": "no-cache", "Permissions-Policy": _PERMISSIONS}
    if UNFRAMED in policy:
        headers["X-Frame-Options"] = "DENY"
    return HTMLResponse(content, status_code=status, headers=headers)


def _origin(address: str) -> str | None:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc and parts.scheme in {"http", "https"} else None
