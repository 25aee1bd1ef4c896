"""What a reader has been shown of one answer, and what is wrong with it."""

import asyncio
import json
from typing import Any

from harness.sse_client import Event, SseStream
from harness.threads_client import LOST, ThreadsClient

POLL_SECONDS = 0.05
TERMINAL = frozenset({"completed", "failed", "interrupted"})


def numbered(tokens: int) -> str:
    """The whole text of a scripted answer of so many tokens."""
    return "".join(f"t{number} " for number in range(tokens))


class Transcript:
    """Complete frames in the order in which they came, over however many connections.

    `frames` are their very bytes. `text` is what is shown now: a `restarted` frame empties it. `faults` says what no
    reader may see: a frame twice, a frame after the end, a frame without an id. A sign of life may bear the last id.
    """

    def __init__(self) -> None:
        self.frames = bytearray()
        self.text = ""
        self.last_id: str | None = None
        self.states: list[str] = []
        self.error: dict[str, Any] | None = None
        self.restarts = 0
        self.ended = False
        self.faults: list[str] = []
        self._seen: set[str] = set()

    @property
    def state(self) -> str | None:
        """How the answer ended, as the reader was told."""
        return next((state for state in reversed(self.states) if state in TERMINAL), None)

    def take(self, event: Event) -> None:
        if event.data is None:
            return
        if self.ended:
            self.faults.append(f"after the end: {event.raw!r}")
        self.frames += event.raw
        if event.data == "[DONE]":
            self.ended = True
            return
        frame = json.loads(event.data)
        if not (event.id == self.last_id and _says_only_that_it_runs(frame)):
            self._take_id(event.id)
        self._take_frame(frame)

    def _take_id(self, cursor: str | None) -> None:
        if cursor is None:
            self.faults.append("a frame without an id")
        elif cursor in self._seen and not cursor.startswith("stored"):
            self.faults.append(f"twice: {cursor}")
        else:
            self._seen.add(cursor)
            self.last_id = cursor

    def _take_frame(self, frame: dict[str, Any]) -> None:
        if "error" in frame:
            self.error = frame["error"]
            return
        if (state := frame.get("agent_status")) is not None:
            self.states.append(state)
        if state == "restarted":
            self.restarts += 1
            self.text = ""
        for choice in frame["choices"]:
            self.text += choice["delta"].get("content") or ""


class TimedTranscript(Transcript):
    """`times` are when each frame came, in the loop's time."""

    def __init__(self) -> None:
        super().__init__()
        self.times: list[float] = []

    def take(self, event: Event) -> None:
        if event.data is not None:
            self.times.append(asyncio.get_running_loop().time())
        super().take(event)


def _says_only_that_it_runs(frame: dict[str, Any]) -> bool:
    return frame.get("agent_status") == "running" and not any(choice["delta"] for choice in frame["choices"])


async def read(stream: SseStream, transcript: Transcript) -> None:
    """To the end of this connection. Raises one of `LOST` when it breaks."""
    async for event in stream:
        transcript.take(event)


async def follow(
    client: ThreadsClient, thread_id: str, execution_id: str, transcript: Transcript, *, seconds: float
) -> None:
    """To the end of the answer, resumed as often as the connection is lost; every silence ends within `seconds`."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not transcript.ended:
        assert loop.time() < deadline, f"no end within {seconds} s: {transcript.states[-3:]}"
        try:
            async with (
                asyncio.timeout_at(deadline),
                client.join(thread_id, execution_id, after=transcript.last_id) as stream,
            ):
                if stream.status == 200:
                    await read(stream, transcript)
                    continue
                if stream.status != 503:
                    transcript.faults.append(f"a stream was answered with {stream.status}")
                    return
        except LOST:
            pass
        await asyncio.sleep(POLL_SECONDS)


async def whole(client: ThreadsClient, thread_id: str, execution_id: str, *, seconds: float = 30) -> Transcript:
    """The answer as one reader sees it, from its start to its end over one connection."""
    transcript = Transcript()
    async with asyncio.timeout(seconds), client.join(thread_id, execution_id) as stream:
        assert stream.status == 200, stream.status
        await read(stream, transcript)
    return transcript
