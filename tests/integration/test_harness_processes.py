from pathlib import Path

import pytest

from harness.processes import Process, ProcessFailedError


def test_it_starts_is_killed_and_starts_again(tmp_path: Path) -> None:
    port_file = tmp_path / "port"
    with Process("frontdesk.model_stub", "--port-file", str(port_file), log=tmp_path / "log") as process:
        url = process.ready_line()["url"]
        assert url == f"http://127.0.0.1:{process.port_file(port_file)}/v1"
        first = process.pid
        process.kill()
        process.start()
        assert process.ready_line()["url"].startswith("http://127.0.0.1:")
        assert process.pid != first
        assert process.stop() == 0


def test_one_that_dies_shows_the_end_of_its_log(tmp_path: Path) -> None:
    with (
        Process("frontdesk.model_stub", "--port", "none", log=tmp_path / "log") as process,
        pytest.raises(ProcessFailedError, match=r"ended with 2 before it was ready(.|\n)*invalid int value"),
    ):
        process.ready_line()
