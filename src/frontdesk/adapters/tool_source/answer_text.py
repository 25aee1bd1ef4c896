"""A back end's answer as text that a model can be given."""

from frontdesk.adapters.tool_source.back_end import BackEndResponse
from frontdesk.ports.tool_source import ToolCallError, ToolOutput

ACCEPT = "application/json, text/*;q=0.9, */*;q=0.1"
_TEXT_TYPES = frozenset(
    {
        "application/json",
        "application/javascript",
        "application/problem+json",
        "application/x-ndjson",
        "application/x-yaml",
        "application/yaml",
        "application/xml",
        "application/x-www-form-urlencoded",
    }
)
_FIRST_ERROR_STATUS = 400
_REDIRECTS = range(300, 400)


async def read_output(response: BackEndResponse, max_bytes: int) -> ToolOutput:
    """The whole answer. Raises `ToolCallError` for one that is too large, no text, encoded, or a redirect."""
    if response.status in _REDIRECTS:
        raise _bad("The back end answered with a redirect, which is not followed")
    if response.header("content-encoding", "identity").lower() != "identity":
        raise _bad("The back end's answer is compressed, which was not asked for")
    content = await _read(response, max_bytes)
    return ToolOutput(
        content=_decoded(response, content), is_error=response.status >= _FIRST_ERROR_STATUS, status=response.status
    )


async def _read(response: BackEndResponse, max_bytes: int) -> bytes:
    too_large = ToolCallError(
        "backend_response_too_large", f"The back end's answer is larger than {max_bytes} bytes", was_made=True
    )
    length = response.header("content-length", "")
    if length.isdecimal() and int(length) > max_bytes:
        raise too_large
    content = bytearray()
    async for piece in response.body():
        content += piece
        if len(content) > max_bytes:
            raise too_large
    return bytes(content)


def _decoded(response: BackEndResponse, content: bytes) -> str:
    if not content:
        return ""
    kind, charset = response.content_type
    is_text = kind in _TEXT_TYPES or kind.startswith("text/") or kind.endswith(("+json", "+xml"))
    if not is_text:
        raise _bad(f"The back end's answer is {kind[:100]}, which is not text")
    try:
        return content.decode(charset or "utf-8")
    except (LookupError, UnicodeDecodeError) as error:
        raise _bad("The back end's answer is not text in the encoding that it names") from error


def _bad(detail: str) -> ToolCallError:
    return ToolCallError("backend_bad_response", detail, was_made=True)
