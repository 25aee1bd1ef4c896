import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from chaos.findings import BUSY_MACHINE
from harness.command_line import Home, await_output, free_port, is_listening
from harness.processes import Process

STORY = "Tell me a very long story about the sea."


@pytest.fixture(scope="module")
def embedded_model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The model's base address, such as `http://127.0.0.1:1234/v1`."""
    with _started(tmp_path_factory.mktemp("model"), free_port()) as process:
        yield await_output(process, r"http://\S+/v1").group()


def _started(folder: Path, port: int) -> Process:
    return Process("frontdesk.embedded_model", "--port", str(port), log=folder / "log")


def _stream(address: str, question: str, **options: Any) -> Iterator[str]:
    body = {"messages": [{"role": "user", "content": question}], "stream": True, **options}
    headers = {"Content-Type": "application/json"}
    with urlopen(Request(f"{address}/chat/completions", json.dumps(body).encode(), headers), timeout=60) as response:
        for line in response:
            if line.startswith(b"data: "):
                yield line.removeprefix(b"data: ").decode().strip()


def test_it_lists_its_one_model(embedded_model: str) -> None:
    with urlopen(f"{embedded_model}/models", timeout=60) as response:
        assert [model["id"] for model in json.load(response)["data"]] == ["smollm2-135m-instruct"]


def test_it_streams_an_answer_with_its_usage(embedded_model: str) -> None:
    *frames, done = _stream(embedded_model, STORY, stream_options={"include_usage": True}, max_tokens=40)
    chunks = [json.loads(frame) for frame in frames]
    pieces = [choice["delta"].get("content") for chunk in chunks for choice in chunk["choices"]]
    assert done == "[DONE]"
    assert {chunk["model"] for chunk in chunks} == {"smollm2-135m-instruct"}
    assert len(list(filter(None, pieces))) > 20
    assert all("usage" not in chunk for chunk in chunks[:-1])
    usage = chunks[-1]["usage"]
    assert usage["completion_tokens"] == 40
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


def test_no_web_page_may_read_its_answers(embedded_model: str) -> None:
    request = Request(f"{embedded_model}/models", headers={"Origin": "https://evil.example"})
    with urlopen(request, timeout=60) as response:
        assert not response.headers["Access-Control-Allow-Origin"]


def test_sigterm_ends_it_at_once_in_the_middle_of_an_answer(tmp_path: Path) -> None:
    with _started(tmp_path, free_port()) as process:
        address = await_output(process, r"http://\S+/v1").group()
        story = _stream(address, STORY)
        next(story)
        begun = time.monotonic()
        assert process.stop(seconds=60) == 0
        assert time.monotonic() - begun < 5 * BUSY_MACHINE
        story.close()


def test_it_ends_with_the_process_that_holds_its_standard_input(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "frontdesk.embedded_model", "--port", str(port), "--until-stdin-closes"]
    environment = Home(tmp_path).environment
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        assert b"answers on" in process.stdout.readline()
        assert is_listening(port)
        process.stdin.close()
        assert process.wait(60) == 0


def test_a_taken_port_is_named(embedded_model: str, tmp_path: Path) -> None:
    port = embedded_model.removesuffix("/v1").rpartition(":")[2]
    command = [sys.executable, "-m", "frontdesk.embedded_model", "--port", port]
    done = subprocess.run(
        command, env=Home(tmp_path).environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"The embedded model cannot start: port {port} on 127.0.0.1 is in use.\n"
