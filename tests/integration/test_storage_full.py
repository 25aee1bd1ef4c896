"""The store's disk is full: the answer says so, what is there stays, and it goes on once there is space again (R17)."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.callers import assert_problem, founder
from harness.identities import settings_for
from harness.served import served

DISK = 2_000_000


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", tmp_path], check=True)
    try:
        yield tmp_path
    finally:
        subprocess.run(["umount", tmp_path], check=True)


async def test_a_full_disk_is_told_and_loses_nothing(module_database_url: str, small_disk: Path) -> None:
    files = small_disk / "files"
    chosen = settings_for(module_database_url, blob_store=f"file://{files}")
    async with served(chosen) as client:
        owner = await founder(client)
        kept = await owner.made("POST", "/attachments", files={"file": b"a" * 1_000_000})
        for _ in range(3):
            refused = await owner.send("POST", "/attachments", files={"file": b"b" * 3_000_000})
            assert_problem(refused, 507, "storage_full")
        assert [path.stat().st_size for path in files.rglob("*") if path.is_file()] == [1_000_000]
        root = str(client.base_url).removesuffix("/api/")
        assert (await client.get(root + kept["download_url"])).content == b"a" * 1_000_000
        assert (await owner.send("DELETE", f"/attachments/{kept['id']}")).status_code == 204
        again = await owner.made("POST", "/attachments", files={"file": b"c" * 1_500_000})
        assert again["size"] == 1_500_000
