"""How a log stands in Redis: a stream for each execution, `agent:events:{THREAD}:EXECUTION`, and one for the thread.

An entry holds the events of one flush, and its id is the place of the last: `ATTEMPT-NUMBER`. Redis refuses an id that
is not greater than the stream's last, atomically, so a superseded attempt can append nothing and a repeated flush
nothing twice. An ended stream's last id is the greatest there is. The thread's own stream has Redis's own ids,
`MILLISECONDS-SEQUENCE`; a cursor holds them as one number. Its entries may be there twice, and bear marks that tell.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

import msgspec

from frontdesk.adapters.thread_log.answer_log import NUMBER_BITS, AnswerLog
from frontdesk.ports.thread_log import Event, EventType

PREFIX = "agent:events:"
FIELD = b"e"
NAME_BYTES = 8  # of the name that a process has in its marks
LAST_ID = "18446744073709551615-18446744073709551615"
_PER_MILLISECOND = 1000
_MOST_ENTRIES = b"20000"  # of one stream
# Redis's protocol: the commands that come with every token are not put together word by word.
_APPEND = (
    b"*8\r\n$4\r\nXADD\r\n%b$6\r\nMAXLEN\r\n$1\r\n~\r\n$5\r\n" + _MOST_ENTRIES + b"\r\n%b$1\r\n" + FIELD + b"\r\n%b"
)
_READ = b"*%d\r\n$5\r\nXREAD\r\n$5\r\nCOUNT\r\n%b$5\r\nBLOCK\r\n%b$7\r\nSTREAMS\r\n"
_NUMBERS = (1 << NUMBER_BITS) - 1
_Packed = tuple[str, EventType, bytes, tuple[bytes, ...]]
_decode = msgspec.msgpack.Decoder(list[_Packed]).decode
_encode = msgspec.msgpack.Encoder().encode


def stream_key(thread_id: str, execution_id: str) -> str:
    """The braces keep a thread's streams together where keys are spread by hash."""
    return f"{PREFIX}{{{thread_id}}}:{execution_id}" if execution_id else f"{PREFIX}{{{thread_id}}}"


@lru_cache(maxsize=4096)
def stream_word(thread_id: str, execution_id: str) -> bytes:
    """The stream's key as a word of a command."""
    return word(stream_key(thread_id, execution_id).encode())


def word(value: bytes) -> bytes:
    """As Redis's protocol has it."""
    return b"$%d\r\n%b\r\n" % (len(value), value)


def append_command(log: AnswerLog, events: Iterable[Event]) -> bytes:
    """Append the events, of which the last is the log's last."""
    key = stream_word(log.thread_id, log.execution_id)
    return _APPEND % (key, word(entry_id(log, log.end)), word(pack(events)))


def read_command(places: Mapping[bytes, bytes], *, most: int, milliseconds: int) -> bytes:
    """Read what came behind each stream's place, at most so many entries of each; `places` are words."""
    words = 6 + 2 * len(places)
    head = _READ % (words, word(b"%d" % most), word(b"%d" % milliseconds))
    return b"".join((head, *places, *places.values()))


def mark(name: str, number: int) -> str:
    """Of an announcement. A process's own marks ascend, and begin with its name."""
    return f"{name}{number:016x}"


def pack(events: Iterable[Event]) -> bytes:
    return _encode([(event.cursor, event.type, event.payload, tuple(event.chunks)) for event in events])


def unpack(log: AnswerLog, entry_id: bytes, fields: Sequence[bytes]) -> list[Event]:
    """The entry's events, for the log that it is read for; none of an announcement that the log has heard."""
    packed = _decode(fields[1])
    if log.execution_id:
        return [
            Event(cursor, log.execution_id, int(cursor.partition("-")[0]), kind, payload, chunks)
            for cursor, kind, payload, chunks in packed
        ]
    [(marked, kind, payload, _)] = packed
    name = marked[: NAME_BYTES * 2]
    if marked <= log.heard.get(name, ""):
        return []
    log.heard[name] = marked
    milliseconds, _, sequence = entry_id.decode().partition("-")
    cursor = f"0-{int(milliseconds) * _PER_MILLISECOND + int(sequence)}"
    return [Event(cursor, "", 0, kind, payload)]


def entry_id(log: AnswerLog, place: int) -> bytes:
    """The id of the entry that ends at the place."""
    if log.execution_id:
        return b"%d-%d" % (place >> NUMBER_BITS, place & _NUMBERS)
    return b"%d-%d" % (place // _PER_MILLISECOND, place % _PER_MILLISECOND)
