"""Hostile and heavy documents beside an event loop that others need (R19, S7).

Each hostile file gets the error that it must, no process of an extractor takes more memory or time than it may, nothing
is written outside and nothing is left; and the loop is never held up for more than 50 ms, while files of 50 MB are read
and cut into chunks.
"""

import asyncio
import json
import os
import re
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from chaos.findings import Findings
from frontdesk.retrieval.errors import DocumentError
from frontdesk.retrieval.extract import ExtractionLimits, Extractor
from harness.hostile_files import ANY, CANARY

LAG_MS = 50.0
TICK_SECONDS = 0.005
SAMPLE_SECONDS = 0.05
AT_ONCE = 2
# The child's limit, and a moment for its start, its end and the chunks.
LONGEST_SECONDS = ExtractionLimits().seconds + 5.0
MEGABYTE = 1024 * 1024


async def prove_documents(*, files: int) -> Findings:
    found = Findings("documents")
    with tempfile.TemporaryDirectory(prefix="documents") as name, _Memory() as memory:
        folder = Path(name)
        scratch, canary = folder / "scratch", folder / "canary"
        scratch.mkdir()
        canary.write_text(CANARY)
        for kind, count in (("heavy", 0), ("hostile", files)):
            given = folder / kind
            given.mkdir()
            making = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "harness.hostile_files", str(given), str(count), str(canary))
            )
            found.expect(f"the {kind} files could be made", when=await making.wait() == 0)
            reading = _Reading(Extractor(scratch), found)
            lag = await _lag_during(reading.read_all(given))
            found.counts |= {f"{kind} files": reading.outcomes.total(), **reading.told(kind)}
            found.counts[f"loop lag, {kind}, ms"] = lag
            found.at_most(f"the loop was held up for {lag:.0f} ms by {kind} files", lag, LAG_MS)
        found.counts["most memory of an extractor, MB"] = memory.most / MEGABYTE
        found.expect("an extractor took too much memory", when=memory.most <= ExtractionLimits().memory_bytes)
        found.expect("something was left in the scratch directory", when=_inside(scratch) == 0)
        found.expect("something was written outside", when=_inside(folder) == 4)
        found.expect("the canary was changed", when=canary.read_text() == CANARY)
    return found


def _inside(folder: Path) -> int:
    return len(list(folder.iterdir()))


class _Reading:
    def __init__(self, extractor: Extractor, found: Findings) -> None:
        self._extractor = extractor
        self._found = found
        self.outcomes: Counter[str] = Counter()
        self.seconds: dict[str, float] = {}

    async def read_all(self, given: Path) -> None:
        index = json.loads(await asyncio.to_thread((given / "index.json").read_text))
        places = iter(enumerate(index))

        async def read_some() -> None:
            for number, (name, expected) in places:
                await self._read(given / str(number), name, expected)

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(read_some())

    async def _read(self, path: Path, name: str, expected: str) -> None:
        begun = time.monotonic()
        try:
            extracted = await self._extractor.extract(path, name=name)
        except DocumentError as error:
            outcome = error.code
        else:
            outcome = "text"
            self._found.expect(f"{path.name} {name!r} told the canary", when=CANARY not in extracted.text)
            self._found.expect(f"{path.name} {name!r} has no chunks", when=bool(extracted.chunks))
        place = f"{path.name} {name[:20]!r}"
        self.seconds[place] = time.monotonic() - begun
        self.outcomes[outcome] += 1
        self._found.expect(f"{name!r} took too long", when=self.seconds[place] <= LONGEST_SECONDS)
        self._found.expect(f"{path.name} {name!r} was {outcome}, not {expected}", when=expected in {ANY, outcome})

    def told(self, kind: str) -> dict[str, float]:
        longest = max(self.seconds.values())
        return {f"longest, {kind}, s": longest} | {f"{kind}: {code}": n for code, n in sorted(self.outcomes.items())}


async def _lag_during(work: Coroutine[Any, Any, None]) -> float:
    """The longest in ms that the loop came late to anything meanwhile."""
    task = asyncio.create_task(work)
    worst, due = 0.0, time.monotonic() + TICK_SECONDS
    while not task.done():
        await asyncio.sleep(TICK_SECONDS)
        now = time.monotonic()
        worst, due = max(worst, now - due), now + TICK_SECONDS
    await task
    return worst * 1_000


class _Memory:
    """The most memory that a child which reads a document ever had, looked at from a thread."""

    def __init__(self) -> None:
        self.most = 0
        self._ended = threading.Event()
        self._watching = threading.Thread(target=self._watch)

    def __enter__(self) -> Self:
        self._watching.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._watching.join()

    def _watch(self) -> None:
        own = os.getpid()
        children = Path(f"/proc/{own}/task/{own}/children")
        while not self._ended.wait(SAMPLE_SECONDS):
            for child in children.read_text().split():
                with suppress(OSError):
                    if b"frontdesk.extractor" in Path(f"/proc/{child}/cmdline").read_bytes():
                        self.most = max(self.most, _high_water(Path(f"/proc/{child}/status").read_text()))


def _high_water(status: str) -> int:
    """In bytes; none when the process is gone."""
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) * 1024 if found else 0
