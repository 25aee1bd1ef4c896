"""How a log stands in Redis: a stream for each execution, `agent:events:{THREAD}:EXECUTION`, and one for the thread.

An entry holds the events of one flush, and its id is the place of the last: `ATTEMPT-NUMBER`. Redis refuses an id that
is not greater than the stream's last, atomically, so a superseded attempt can append nothing and a repeated flush
nothing twice. An ended stream's last id is the greatest there is. The thread's own stream has Redis's own ids,
`MILLISECONDS-SEQUENCE`; a cursor holds them as one number.
"""

from collections.abc import Iterable, Sequence

import msgspec

from frontdesk.adapters.thread_log.answer_log import NUMBER_BITS, AnswerLog
from frontdesk.ports.thread_log import Event, EventType

PREFIX = "agent:events:"
FIELD = b"e"
LAST_ID = "18446744073709551615-18446744073709551615"
_PER_MILLISECOND = 1000
_NUMBERS = (1 << NUMBER_BITS) - 1
_Packed = tuple[str, EventType, bytes, tuple[bytes, ...]]
_decode = msgspec.msgpack.Decoder(list[_Packed]).decode
_encode = msgspec.msgpack.Encoder().encode


def stream_key(thread_id: str, execution_id: str) -> str:
    """The braces keep a thread's streams together where keys are spread by hash."""
    return f"{PREFIX}{{{thread_id}}}:{execution_id}" if execution_id else f"{PREFIX}{{{thread_id}}}"


def pack(events: Iterable[Event]) -> bytes:
    return _encode([(event.cursor, event.type, event.payload, tuple(event.chunks)) for event in events])


def unpack(log: AnswerLog, entry_id: bytes, fields: Sequence[bytes]) -> list[Event]:
    """The entry's events, for the log that it is read for."""
    packed = _decode(fields[1])
    if log.execution_id:
        return [
            Event(cursor, log.execution_id, int(cursor.partition("-")[0]), kind, payload, chunks)
            for cursor, kind, payload, chunks in packed
        ]
    milliseconds, _, sequence = entry_id.decode().partition("-")
    cursor = f"0-{int(milliseconds) * _PER_MILLISECOND + int(sequence)}"
    return [Event(cursor, "", 0, kind, payload) for _, kind, payload, _ in packed]


def entry_id(log: AnswerLog, place: int) -> str:
    """The id of the entry that ends at the place."""
    if log.execution_id:
        return f"{place >> NUMBER_BITS}-{place & _NUMBERS}"
    return f"{place // _PER_MILLISECOND}-{place % _PER_MILLISECOND}"
