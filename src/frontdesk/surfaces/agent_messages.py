"""The messages that a gateway, its clients and an agent's runtime exchange, made of an answer's events.

A message that belongs to an answer has a `seq`: the place behind it, in the answer and among the thread's answers. It
is made of what was said and of nothing else, so it is the same in every process, and after the log is gone. Why and
how: docs/decisions/0017-a-place-is-made-of-what-was-said.md.
"""

from collections.abc import Sequence
from typing import Any
from zlib import crc32

import msgspec

from frontdesk.ports.thread_log import TERMINAL, Event, EventType
from frontdesk.surfaces.said import stored_text, texts_of

_SUM_BITS, _UNIT_BITS, _POSITION_BITS = 13, 21, 19  # together 53: exact in JavaScript
_SUM = (1 << _SUM_BITS) - 1
_UNITS = (1 << _UNIT_BITS) - 1
_POSITIONS = (1 << _POSITION_BITS) - 1
MOST = (1 << (_SUM_BITS + _UNIT_BITS + _POSITION_BITS)) - 1
_CALL_ENDS = frozenset({EventType.tool_call_started, EventType.tool_call_completed, EventType.tool_call_failed})
_encode = msgspec.json.encode


class Seq(msgspec.Struct, frozen=True):
    """`position` is that of the answer among the thread's messages, `units` how many characters of it were told, and
    one more for its end; `check` is a checksum of those characters.
    """

    position: int
    units: int
    check: int

    @classmethod
    def parse(cls, number: int) -> "Seq":
        """Any number from 0 to `MOST` is one."""
        return cls(number >> (_SUM_BITS + _UNIT_BITS), number >> _SUM_BITS & _UNITS, number & _SUM)


class AnswerMessages:
    """One answer's messages for one reader, each once, however often the answer begins again.

    `shown` is what the reader has been told before. While the answer says the same again, nothing is told; should it
    say something else, it is `diverged`, and must be read again from its start after `void`. `said` is as much that
    needs no comparing. Without a `position` messages have no `seq`.
    """

    __slots__ = (
        "_asked",
        "_check",
        "_given",
        "_position",
        "_shown",
        "_told",
        "_units",
        "diverged",
        "ended",
        "is_failed",
    )

    def __init__(self, position: int = 0, *, shown: Seq | None = None, said: int = 0) -> None:
        self.diverged = False
        self.ended = False
        self.is_failed = False
        self._position = position
        self._given = 0 < position <= _POSITIONS
        self._units = 0
        self._check = 0
        self._shown: tuple[int, int, int] | None = None  # units, their checksum, and the bits of it that are known
        if shown is not None and shown.units:
            self._shown = shown.units, shown.check, _SUM
        elif said:
            self._shown = said, 0, 0
        self._asked: dict[tuple[str, bool], bytes] = {}
        self._told: set[tuple[str, bool]] = set()

    @property
    def seq(self) -> int | None:
        """Of the last message; None beyond what fits."""
        if not self._given or self._units > _UNITS:
            return None
        return (self._position << _UNIT_BITS | self._units) << _SUM_BITS | self._check & _SUM

    def encode(self, events: Sequence[Event], *, joined: bool = False) -> list[bytes]:
        """As messages, a token each; `joined`, consecutive ones are one. Calls are kept for `calls`."""
        messages: list[bytes] = []
        for event in events:
            if self.diverged:
                break
            if event.type is EventType.chunk:
                texts = texts_of(event.parts)
                self._say(messages, ["".join(texts)] if joined and len(texts) > 1 else texts)
            else:
                self._tell(messages, event)
        return messages

    def calls(self) -> list[bytes]:
        """What is asked of the reader now, each once: to be called when all events that are there were encoded."""
        if not self._asked:  # as it is with nearly every token
            return []
        messages = [self._call(payload, key) for key, payload in self._asked.items()]
        self._told |= self._asked.keys()
        self._asked.clear()
        return messages

    def skip_calls(self, keys: set[tuple[str, bool]]) -> None:
        """The reader knows these, by their ids and whether leave was asked for."""
        self._told |= keys

    def void(self) -> bytes:
        """What was told so far is void; the answer is told from its start."""
        self._units = self._check = 0
        self._shown, self.diverged, self.ended = None, False, False
        self._told.clear()
        return self._message("", is_final=False, is_restart=True)

    def _tell(self, messages: list[bytes], event: Event) -> None:
        kind = event.type
        if kind is EventType.snapshot:
            self._say(messages, [stored_text(event.payload)])
        elif kind is EventType.execution_restarted:
            self._begin_again()
        elif kind is EventType.input_requested:
            self._ask(event.payload)
        elif kind in _CALL_ENDS:
            self._forget(msgspec.json.decode(event.payload)["call_id"])
        elif kind in TERMINAL:
            self._end(messages, event)

    def _say(self, messages: list[bytes], texts: Sequence[str]) -> None:
        if self._shown is not None:
            texts = [self._not_shown(text) for text in texts]
        units, check, place = self._units, self._check, self._position << _UNIT_BITS
        for text in texts:
            if not text:
                continue
            units += len(text)
            check = crc32(text.encode(), check)
            token = _encode(text)
            if self._given and units <= _UNITS:
                messages.append(
                    b'{"type":"assistant_message","token":%b,"is_final":false,"seq":%d}'
                    % (token, (place | units) << _SUM_BITS | check & _SUM)
                )
            else:
                messages.append(b'{"type":"assistant_message","token":%b,"is_final":false}' % token)
        self._units, self._check = units, check

    def _not_shown(self, text: str) -> str:
        """What of the text goes beyond what was shown, once that is found to be the same."""
        if self._shown is None or self.diverged:
            return "" if self.diverged else text
        units, check, known = self._shown
        left = units - self._units
        self._units += len(text[:left])
        self._check = crc32(text[:left].encode(), self._check)
        if self._units == units:
            self.diverged = bool((self._check ^ check) & known)
            self._shown = None
        return "" if self.diverged else text[left:]

    def _begin_again(self) -> None:
        if self._shown is None and self._units:
            self._shown = self._units, self._check, 0xFFFFFFFF
        self._units = self._check = 0

    def _end(self, messages: list[bytes], event: Event) -> None:
        if self._shown is not None:
            units, check, known = self._shown
            if units != self._units + 1 or (self._check ^ check) & known:
                self.diverged = True
                return
            self._shown = None
            self._units += 1
        else:
            self._units += 1
            messages.append(self._ending(event))
        self.ended = True

    def _ending(self, event: Event) -> bytes:
        if event.type is EventType.execution_failed:
            self.is_failed = True
            return self._numbered({"type": "error", "content": msgspec.json.decode(event.payload)["error"]["message"]})
        return self._message("", is_final=True)

    def _ask(self, payload: bytes) -> None:
        call = msgspec.json.decode(payload)
        key = call["call_id"], call["state"] != "awaiting_result"
        if key not in self._told:
            self._asked[key] = payload

    def _forget(self, call_id: str) -> None:
        for key in ((call_id, True), (call_id, False)):
            self._asked.pop(key, None)

    def _call(self, payload: bytes, key: tuple[str, bool]) -> bytes:
        call = msgspec.json.decode(payload)
        return self._numbered(
            {
                "type": "tool_call",
                "call_id": call["call_id"],
                "tool_name": call["tool"],
                "arguments": call["arguments"],
                "requires_approval": key[1],
            }
        )

    def _message(self, token: str, *, is_final: bool, is_restart: bool = False) -> bytes:
        message: dict[str, Any] = {"type": "assistant_message", "token": token, "is_final": is_final}
        return self._numbered({**message, "restarted": True} if is_restart else message)

    def _numbered(self, message: dict[str, Any]) -> bytes:
        seq = self.seq
        return _encode(message if seq is None else {**message, "seq": seq})


def error_message(content: str) -> bytes:
    return _encode({"type": "error", "content": content})
