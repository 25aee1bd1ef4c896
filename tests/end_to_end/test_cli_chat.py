import asyncio
import json
import re
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from harness.command_line import Home, await_output, free_port
from harness.model_stub import ModelStub

PASSWORD = "right-horse-battery"
# The first time it stands still in the middle, however long it takes to do something about it.
STALLED = "scripted?tokens=60&pause_ms=10&stall_at=30&fail_first=1&key="
PATIENCE_SECONDS = 60
FULL_TEXT = "".join(f"t{number} " for number in range(60))


class Gateway:
    """A served gateway with one account, and that account's user at a terminal."""

    def __init__(self, folder: Path, model_stub: ModelStub) -> None:
        self.address = f"http://127.0.0.1:{free_port()}"
        self.home = Home(
            folder,
            CHAT_LLM_API_BASE=model_stub.url,
            CHAT_LLM_DEFAULT_MODEL="scripted?tokens=5",
            CHAT_EXECUTION_LEASE_SECONDS="2",
            CHAT_ENGINE_TICK_SECONDS="0.5",
            CHAT_LLM_TIMEOUT_SECONDS="600",
        )
        self.server = self.home.background("serve", "--port", self.address.rpartition(":")[2])

    def await_ready(self) -> None:
        await_output(self.server, "listens on")

    def log_in(self) -> None:
        self.home.run("users", "add", "ada", "--password-file", "-", stdin=PASSWORD)
        done = self.home.run(*self.chat("-m", "hello", "--username", "ada", "--password-file", "-"), stdin=PASSWORD)
        assert done.stdout == "t0 t1 t2 t3 t4 \n", done.stderr

    def chat(self, *arguments: str) -> tuple[str, ...]:
        return ("chat", "--server", self.address, *arguments)

    def ask(self, *arguments: str) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.home.run(*self.chat("--json", *arguments)).stdout)
        return answer

    def messages(self, thread_id: str) -> list[dict[str, Any]]:
        """Oldest first."""
        tokens = json.loads((self.home.folder / ".config/frontdesk/credentials.json").read_text())
        token = tokens[f"{self.address}/api"]["access_token"]
        request = Request(f"{self.address}/api/threads/{thread_id}", headers={"Authorization": f"Bearer {token}"})
        with urlopen(request, timeout=PATIENCE_SECONDS) as response:
            return sorted(json.load(response)["messages"], key=lambda message: message["id"])


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, model_stub: ModelStub) -> Iterator[Gateway]:
    made = Gateway(tmp_path_factory.mktemp("chat"), model_stub)
    with made.server:
        made.await_ready()
        made.log_in()
        yield made


async def _await_tokens(model_stub: ModelStub, key: str) -> None:
    await model_stub.call(key, lambda call: call["tokens_sent"] >= 5, seconds=PATIENCE_SECONDS)


async def _interrupt(process: subprocess.Popen[str]) -> None:
    """Ctrl-C, once it was taken: two that come together are one to the kernel."""
    process.send_signal(signal.SIGINT)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while _is_pending(process.pid, signal.SIGINT):  # noqa: ASYNC110  nobody is told
            await asyncio.sleep(0.01)


def _is_pending(pid: int, number: signal.Signals) -> bool:
    (mask,) = re.findall(r"ShdPnd:\t(\w+)", Path(f"/proc/{pid}/status").read_text())
    return bool(int(mask, 16) & 1 << (number - 1))


def test_the_login_is_kept_for_its_owner_only(gateway: Gateway) -> None:
    kept = gateway.home.folder / ".config" / "frontdesk" / "credentials.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
    assert PASSWORD not in kept.read_text()


def test_a_login_that_has_run_out_is_renewed(gateway: Gateway) -> None:
    path = gateway.home.folder / ".config" / "frontdesk" / "credentials.json"
    kept = json.loads(path.read_text())
    before = dict(kept[f"{gateway.address}/api"])
    kept[f"{gateway.address}/api"].update(access_token="spent", expires_at=0)
    path.write_text(json.dumps(kept))
    assert gateway.ask("-m", "hello")["status"] == "completed"
    after = json.loads(path.read_text())[f"{gateway.address}/api"]
    assert after["refresh_token"] != before["refresh_token"]


def test_a_script_gets_one_object_and_goes_on_with_the_thread(gateway: Gateway) -> None:
    first = gateway.ask("-m", "hello")
    second = gateway.ask("-m", "and again", "--thread", "last", "--model", "scripted?tokens=2")
    assert (first["status"], first["text"], first["error"]) == ("completed", "t0 t1 t2 t3 t4 ", None)
    assert (second["thread_id"], second["text"]) == (first["thread_id"], "t0 t1 ")
    texts = [message["text"] for message in gateway.messages(first["thread_id"])]
    assert texts == ["hello", first["text"], "and again", second["text"]]


def test_an_answer_that_fails_is_an_error(gateway: Gateway) -> None:
    done = gateway.home.run(*gateway.chat("-m", "hello", "--json", "--model", "scripted?tokens=5&error_at=3"))
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["status"]) == (1, "failed")
    assert "Error: The answer failed" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (("--json",), 2, "--json needs --message"),
        ((), 2, "This is not a terminal"),
        (("-m", "hello", "--username", "eve", "--password-file", "/nowhere"), 2, "The password file cannot be read"),
        (("-m", "hello", "--username", "eve", "--password-file", "-"), 1, "user name or the password is wrong"),
        (("-m", "hello", "--thread", "nothing"), 1, "Error: "),
        (("-m", "hello", "--server", "ftp://example"), 1, "is not an http:// or https:// address"),
        (
            ("-m", "hello", "--server", "http://127.0.0.1:9", "--username", "a", "--password-file", "-"),
            1,
            "frontdesk up",
        ),
    ],
)
def test_what_cannot_be_done_is_said(gateway: Gateway, arguments: tuple[str, ...], code: int, complaint: str) -> None:
    done = gateway.home.run(*gateway.chat(*arguments))
    assert (done.returncode, done.stdout) == (code, "")
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr


async def test_ctrl_c_stops_an_answer_and_keeps_its_text(gateway: Gateway, model_stub: ModelStub) -> None:
    asking = gateway.home.begin(*gateway.chat("-m", "hello", "--json", "--model", STALLED + "cli-stop"))
    await _await_tokens(model_stub, "cli-stop")
    asking.send_signal(signal.SIGINT)
    answer = json.loads(asking.communicate(timeout=PATIENCE_SECONDS)[0])
    assert (asking.returncode, answer["status"]) == (130, "interrupted")
    stored = gateway.messages(answer["thread_id"])[-1]
    assert (stored["status"], stored["text"]) == ("interrupted", answer["text"])
    assert FULL_TEXT.startswith(answer["text"])
    assert len(FULL_TEXT) > len(answer["text"]) > 10


async def test_an_answer_survives_a_killed_server(tmp_path: Path, model_stub: ModelStub) -> None:
    gateway = Gateway(tmp_path, model_stub)
    with gateway.server:
        gateway.await_ready()
        gateway.log_in()
        asking = gateway.home.begin(*gateway.chat("-m", "hello", "--json", "--model", STALLED + "cli-kill"))
        await _await_tokens(model_stub, "cli-kill")
        gateway.server.kill()
        gateway.server.start()
        gateway.await_ready()
        out, notes = asking.communicate(timeout=PATIENCE_SECONDS)
        answer = json.loads(out)
        assert (asking.returncode, answer["status"], answer["text"]) == (0, "completed", FULL_TEXT)
        assert "connection lost, trying again in" in notes
        assert [message["text"] for message in gateway.messages(answer["thread_id"])] == ["hello", FULL_TEXT]


async def test_a_second_ctrl_c_leaves_a_server_that_does_not_answer(tmp_path: Path, model_stub: ModelStub) -> None:
    gateway = Gateway(tmp_path, model_stub)
    with gateway.server:
        gateway.await_ready()
        gateway.log_in()
        asking = gateway.home.begin(*gateway.chat("-m", "hello", "--json", "--model", STALLED + "cli-leave"))
        await _await_tokens(model_stub, "cli-leave")
        gateway.server.kill()
    assert asking.stderr
    assert "connection lost" in asking.stderr.readline()
    for _ in range(2):
        await _interrupt(asking)
    answer = json.loads(asking.communicate(timeout=PATIENCE_SECONDS)[0])
    assert (asking.returncode, answer["status"]) == (130, "detached")
    assert FULL_TEXT.startswith(answer["text"])


async def test_a_conversation_on_a_terminal(gateway: Gateway, model_stub: ModelStub) -> None:
    with gateway.home.terminal(*gateway.chat("--thread", "last", "--model", STALLED + "cli-tty")) as terminal:
        terminal.await_text("Ctrl-C stops an answer")
        terminal.await_text("\n> ")
        terminal.type("hello\n")
        terminal.await_text("t0 t1 t2 t3 ")
        terminal.type("\x03")
        terminal.await_text(r"\(stopped\)")
        terminal.await_text("\n> ")
        terminal.type("/new\n")
        terminal.await_text("A new thread begins")
        terminal.await_text("\n> ")
        terminal.type("/quit\n")
        assert terminal.wait() == 0


def test_an_answer_on_a_terminal_begins_again_after_a_restart(tmp_path: Path, model_stub: ModelStub) -> None:
    gateway = Gateway(tmp_path, model_stub)
    with gateway.server:
        gateway.await_ready()
        gateway.log_in()
        with gateway.home.terminal(*gateway.chat("-m", "hello", "--model", STALLED + "cli-redraw")) as terminal:
            terminal.await_text("t0 t1 t2 t3 ")
            gateway.server.kill()
            terminal.await_text("connection lost, trying again")
            gateway.server.start()
            terminal.await_text("the answer begins again")
            terminal.await_text("t0 t1 t2 (.|\n)*t59 ")
            assert terminal.wait() == 0


def test_two_terminals_share_one_login(gateway: Gateway) -> None:
    path = gateway.home.folder / ".config" / "frontdesk" / "credentials.json"
    kept = json.loads(path.read_text())
    kept[f"{gateway.address}/api"].update(access_token="spent", expires_at=0)
    path.write_text(json.dumps(kept))
    both = [gateway.home.begin(*gateway.chat("-m", "hello", "--json")) for _ in range(2)]
    answers = [json.loads(asking.communicate(timeout=PATIENCE_SECONDS)[0]) for asking in both]
    assert [answer["status"] for answer in answers] == ["completed", "completed"]
