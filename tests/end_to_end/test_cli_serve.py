import json
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.request import urlopen

import pytest

from harness.command_line import Home, await_output, free_port

NOWHERE = "http://127.0.0.1:9/v1"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path, CHAT_LLM_API_BASE=NOWHERE)


def test_the_version_is_one_line(home: Home) -> None:
    done = home.run("--version")
    assert (done.returncode, done.stdout) == (0, "frontdesk 0.1.0\n")


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_with_the_default_secret_no_other_machine_can_connect(home: Home, host: str) -> None:
    done = home.run("serve", "--host", host, "--port", "0")
    assert done.returncode == 2
    assert f"CHAT_JWT_SECRET_KEY is still the default, so the gateway binds to this machine only, not to {host}" in (
        done.stderr
    )
    assert not (home.folder / "app.db").exists()


def test_a_setting_that_is_wrong_is_named(tmp_path: Path) -> None:
    done = Home(tmp_path, CHAT_LLM_API_PORT="none").run("serve")
    assert done.returncode == 2
    assert "CHAT_LLM_API_PORT" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_taken_port_is_named(home: Home) -> None:
    with home.background("serve", "--port", "0") as server:
        port = await_output(server, r"listens on http://127.0.0.1:(\d+)").group(1)
        done = home.run("serve", "--port", port)
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1 port {port}: Address already in use" in done.stderr


def test_it_migrates_its_file_says_who_can_connect_makes_no_account_and_ends_cleanly(home: Home) -> None:
    with home.background("serve", "--port", "0") as server:
        address = await_output(server, r"listens on (http://\S+)").group(1)
        assert "only this machine can connect" in server.output()
        with urlopen(f"{address}/health", timeout=60) as response:
            assert json.load(response)["status"] == "ok"
        assert json.loads(home.run("users", "list", "--json").stdout) == []
        assert server.stop(seconds=60) == 0


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_with_the_default_internal_key_no_other_machine_can_connect(tmp_path: Path, host: str) -> None:
    home = Home(tmp_path, CHAT_LLM_API_BASE=NOWHERE, CHAT_JWT_SECRET_KEY="k" * 48)
    done = home.run("serve", "--host", host, "--port", "0")
    assert done.returncode == 2
    assert (
        f"GATEWAY__INTERNAL_API_KEY is still the default, so the gateway binds to this machine only, not to {host}"
        in (done.stderr)
    )
    assert not (home.folder / "app.db").exists()


def test_with_secrets_it_listens_everywhere(tmp_path: Path) -> None:
    secrets = {"CHAT_JWT_SECRET_KEY": "k" * 48, "GATEWAY__INTERNAL_API_KEY": "i" * 48}
    home = Home(tmp_path, CHAT_LLM_API_BASE=NOWHERE, **secrets)
    with home.background("serve", "--host", "0.0.0.0", "--port", str(free_port())) as server:
        address = await_output(server, r"listens on (http://\S+)").group(1)
        with urlopen(f"{address}/health", timeout=60) as response:
            assert response.status == 200


@pytest.mark.parametrize("command", [("serve", "--port", "0"), ("migrate",), ("users", "list")])
def test_a_newer_programs_tables_are_refused_in_words(home: Home, command: tuple[str, ...]) -> None:
    home.run("migrate")
    with closing(sqlite3.connect(home.folder / "app.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.execute("UPDATE schema_floor SET revision = '9999'")
    done = home.run(*command)
    assert done.returncode == 1
    assert "revision 9999" in done.stderr
    assert "start a newer version" in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr


def test_accounts_need_a_migrated_database(home: Home) -> None:
    done = home.run("users", "list")
    assert done.returncode == 1
    assert "run frontdesk migrate" in done.stderr
    migrated = json.loads(home.run("migrate", "--json").stdout)
    assert migrated == json.loads(home.run("migrate", "--json").stdout)
    assert json.loads(home.run("users", "list", "--json").stdout) == []


def test_accounts_are_added_changed_and_listed(home: Home) -> None:
    home.run("migrate")
    first = json.loads(home.run("users", "add", "ada", "--json").stdout)
    assert (first["role"], len(first["password"])) == ("admin", 20)
    options = ("--product", "x", "--password-file", "-", "--json")
    second = json.loads(home.run("users", "add", "bob", *options, stdin="right-horse\n").stdout)
    assert (second["role"], second["permissions"]) == ("user", {"products": ["x"], "agents": None})
    assert "password" not in second
    assert "right-horse" not in home.run("users", "password", "bob", "--password-file", "-", stdin="right-horse").stdout
    assert json.loads(home.run("users", "suspend", "bob", "--json").stdout)["is_active"] is False
    assert json.loads(home.run("users", "activate", "bob", "--json").stdout)["is_active"] is True
    assert json.loads(home.run("users", "tier", "bob", "standard", "--json").stdout)["tier"] == "standard"
    assert json.loads(home.run("users", "role", "bob", "admin", "--json").stdout)["role"] == "admin"
    assert json.loads(home.run("users", "allow", "bob", "--json").stdout)["permissions"]["products"] is None
    listed = json.loads(home.run("users", "list", "--json").stdout)
    assert [user["username"] for user in listed] == ["ada", "bob"]


@pytest.mark.parametrize(
    ("arguments", "stdin", "complaint"),
    [
        (("add", "ada"), "", "The user name is taken"),
        (("add", "eve", "--password-file", "-"), "short", "at least 8 characters"),
        (("suspend", "nobody"), "", "There is no user nobody"),
    ],
)
def test_what_cannot_be_done_to_accounts_is_said(
    home: Home, arguments: tuple[str, ...], stdin: str, complaint: str
) -> None:
    home.run("migrate")
    home.run("users", "add", "ada")
    done = home.run("users", *arguments, stdin=stdin)
    assert done.returncode == 1
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr
