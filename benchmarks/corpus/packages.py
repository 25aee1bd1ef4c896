"""The files of Debian packages, without installing them: downloaded once, unpacked into a folder of the user's."""

import os
import subprocess
from pathlib import Path

from benchmarks.programs import BenchmarkError

PACKAGES = ("libreoffice-help-en-us", "libreoffice-help-ru", "manpages", "manpages-dev", "manpages-ru")


def unpacked() -> Path:
    """Needs Debian's `apt-get` and `dpkg-deb`, and its lists of packages."""
    folder = Path(os.environ.get("BENCH_CORPUS_FOLDER", Path.home() / ".cache" / "frontdesk-benchmark-corpus"))
    folder.mkdir(parents=True, exist_ok=True)
    for package in PACKAGES:
        files = folder / package
        if files.exists():
            continue
        _run(["apt-get", "download", "-q", package], folder)
        part = folder / f"{package}.part"
        for archive in folder.glob(f"{package}_*.deb"):
            _run(["dpkg-deb", "-x", str(archive), str(part)], folder)
            archive.unlink()
        part.rename(files)
    return folder


def _run(command: list[str], folder: Path) -> None:
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise BenchmarkError(f"{' '.join(command)} failed: it needs Debian, and `apt-get update` once") from error
