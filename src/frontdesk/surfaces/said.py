"""What an answer's events say: the text in the provider's own chunks."""

from collections.abc import Sequence

import msgspec

from frontdesk.conversation.answer import StoredText
from frontdesk.ports.thread_log import Event


class _Delta(msgspec.Struct, gc=False):
    content: str | None = None


class _Choice(msgspec.Struct, gc=False):
    delta: _Delta | None = None


class _Chunk(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None


_decode_chunk = msgspec.json.Decoder(_Chunk).decode
_decode_chunks = msgspec.json.Decoder(_Chunk).decode_lines
_decode_stored = msgspec.json.Decoder(StoredText).decode


def text_of(event: Event) -> str:
    """What a chunk, or several, say."""
    texts = texts_of(event.parts)
    return texts[0] if len(texts) == 1 else "".join(texts)


def texts_of(chunks: Sequence[bytes]) -> list[str]:
    """What the chunks say, one text each, and empty ones for those that say nothing. As it is stored, without NUL."""
    try:
        decoded = [_decode_chunk(chunks[0])] if len(chunks) == 1 else _decode_chunks(b"\n".join(chunks))
    except (msgspec.MsgspecError, UnicodeDecodeError):
        decoded = [_decoded(chunk) for chunk in chunks]
    texts: list[str] = []
    for chunk in decoded:
        delta = chunk.choices[0].delta if chunk.choices else None
        text = "" if delta is None or delta.content is None else delta.content
        texts.append(text.replace("\0", "\ufffd") if "\0" in text else text)
    return texts


def stored_text(payload: bytes) -> str:
    """Of a snapshot: all that was said until then."""
    return _decode_stored(payload).text


def _decoded(chunk: bytes) -> _Chunk:
    try:
        return _decode_chunk(chunk)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return _Chunk()
