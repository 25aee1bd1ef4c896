"""Another time of day for processes, by libfaketime: their wall clock only, set while they run as a real one is."""

from datetime import UTC, datetime
from pathlib import Path

LIBRARY = "faketime/libfaketimeMT.so.1"


class WallClock:
    """One clock for every process that is started with `environment`. Its file is `path`."""

    def __init__(self, path: Path, moment: datetime) -> None:
        self._path = path
        found = next(Path("/usr/lib").glob(f"*/{LIBRARY}"), None)
        assert found is not None, "libfaketime is not installed: apt-get install faketime"
        self.environment: dict[str, str | None] = {
            "LD_PRELOAD": str(found),
            "FAKETIME_TIMESTAMP_FILE": str(path),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        self.set(moment)

    def set(self, moment: datetime) -> None:
        """It is `moment` now, and time goes on from there."""
        beside = self._path.with_suffix(".new")
        offset = (moment - datetime.now(UTC)).total_seconds()
        beside.write_text(f"{offset:+f}\n")
        beside.replace(self._path)
