import asyncio
from pathlib import Path

from frontdesk.retrieval.errors import DocumentError
from frontdesk.retrieval.extract import Extractor
from harness.hostile_files import ANY, CANARY, MAKERS, HostileFile, hostile_files

COUNT = len(MAKERS) + 10


async def test_hostile_files_get_their_errors_and_change_nothing(tmp_path: Path):
    scratch, canary = tmp_path / "scratch", tmp_path / "canary"
    scratch.mkdir()
    canary.write_text(CANARY)
    extractor = Extractor(scratch)
    outcomes = []
    tasks: set[asyncio.Task[None]] = set()

    async def judge(path: Path, hostile: HostileFile) -> None:
        outcomes.append((hostile.name, hostile.expected, await outcome(extractor, path, hostile)))

    for number, hostile in enumerate(hostile_files(COUNT, canary_path=str(canary))):
        path = tmp_path / f"file{number}"
        path.write_bytes(hostile.content)
        tasks.add(asyncio.create_task(judge(path, hostile)))
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)

    assert len(outcomes) == COUNT
    assert [one for one in outcomes if one[1] not in {ANY, one[2]}] == []
    assert canary.read_text() == CANARY
    assert _inside(scratch) == 0
    assert _inside(tmp_path) == COUNT + 2


def _inside(folder: Path) -> int:
    return len(list(folder.iterdir()))


async def outcome(extractor: Extractor, path: Path, hostile: HostileFile) -> str:
    """The code of its error, or that there is a text."""
    try:
        extracted = await extractor.extract(path, name=hostile.name)
    except DocumentError as error:
        return error.code if error.detail.isprintable() else f"not one line: {error.detail!r}"
    assert CANARY not in extracted.text
    return "text"
