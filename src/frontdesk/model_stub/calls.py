"""The record of calls, for tests to ask what the provider saw."""

from collections import Counter, deque
from time import time
from typing import Any

import msgspec

from frontdesk.model_stub.script import Script

KEPT = 10_000
KEPT_BODY_BYTES = 65_536


class Call(msgspec.Struct):
    """`ended` and `outcome` are null while the answer is under way; a stalled one has an outcome and no end.

    Times are seconds of the epoch. `body` is null when it was larger than 64 KiB, and
    `headers` have lower-case names; of what authorizes the call only that it was there.
    """

    n: int
    script: str
    key: str
    started: float
    authorized: bool
    body: msgspec.Raw
    headers: dict[str, str]
    ended: float | None = None
    outcome: str | None = None
    tokens_sent: int = 0


class Calls:
    """Keeps the last 10,000 calls and counts those under way and those of each script."""

    def __init__(self) -> None:
        self._kept: deque[Call] = deque(maxlen=KEPT)
        self._seen: Counter[str] = Counter()
        self._number = 0
        self.open = 0

    def start(self, script: Script, model: str, *, body: bytes, headers: dict[str, str]) -> tuple[Call, bool]:
        """The new record, and whether the script's faults still apply to it."""
        self._number += 1
        self._seen[model] += 1
        raw = msgspec.Raw(body if len(body) <= KEPT_BODY_BYTES else b"null")
        shown = {name: value for name, value in headers.items() if name != "authorization"}
        authorized = bool(headers.get("authorization"))
        call = Call(self._number, model, script.key, time(), authorized, raw, shown)
        self._kept.append(call)
        self.open += 1
        return call, not script.fail_first or self._seen[model] <= script.fail_first

    def end(self, call: Call, outcome: str) -> None:
        call.outcome, call.ended = outcome, time()
        self.open -= 1

    def listed(self, key: str | None) -> list[Call]:
        return [call for call in self._kept if key is None or call.key == key]

    def reset(self) -> dict[str, Any]:
        self._kept.clear()
        self._seen.clear()
        return {"open": self.open}
