"""What containers are started with, held against the program and nginx's configuration; no container runs here."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.parts.nginx import REPLICA_OPTIONS, TEMPLATE, filled
from frontdesk.settings import Settings

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
OURS = {name: service for name, service in COMPOSE["services"].items() if service["image"] == "frontdesk:local"}


def default(name: str) -> Any:
    return Settings.model_fields[name].default


@pytest.mark.parametrize("command", sorted({tuple(service["command"]) for service in OURS.values()}))
def test_every_command_line_is_one_of_the_program(command: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "frontdesk", *command, "--help"],
        env={"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"frontdesk {command[0]}" in done.stdout


def test_every_setting_is_one_of_the_program() -> None:
    named = {name for service in OURS.values() for name in service["environment"]}
    example = re.findall(r"^(CHAT_\w+)=", (ROOT / "deploy" / "compose.env.example").read_text(), re.MULTILINE)
    assert named | set(example) <= {f"CHAT_{name.upper()}" for name in Settings.model_fields}


def test_the_topology_is_whole() -> None:
    commands = [service["command"][0] for service in OURS.values()]
    assert sorted(commands) == ["migrate", "serve", "serve", "worker", "worker"]
    for service in COMPOSE["services"].values():
        assert set(service.get("depends_on", {})) <= set(COMPOSE["services"])
        assert "restart" in service


def test_every_process_that_stays_is_asked_at_its_own_port_whether_it_is_ready() -> None:
    for service in OURS.values():
        if service["restart"] == "no":
            continue
        command, check = service["command"], service["healthcheck"]["test"]
        assert f":{command[command.index('--port') + 1]}/health/ready" in check[-1]
        assert int(service["healthcheck"]["timeout"].removesuffix("s")) > 2, "longer than a check of a part"


def test_whoever_drains_is_given_the_time_for_it() -> None:
    for service in OURS.values():
        drain = float(service["environment"]["CHAT_DRAIN_SECONDS"])
        assert int(service["stop_grace_period"].removesuffix("s")) >= drain + 10


def test_nginx_is_given_all_that_its_configuration_asks_for(tmp_path: Path) -> None:
    given = COMPOSE["services"]["nginx"]["environment"]
    asked = set(re.findall(r"\$\{(\w+)\}", re.sub(r"#.*", "", TEMPLATE.read_text())))
    assert asked == {name for name in given if name.startswith("FRONTDESK_")}
    replicas = [name for name, service in OURS.items() if service["command"][0] == "serve"]
    lines = " ".join(f"server {name}:8009 {REPLICA_OPTIONS};" for name in replicas)
    assert given["FRONTDESK_REPLICAS"] == lines
    assert int(given["FRONTDESK_MAX_BODY_BYTES"]) == default("max_body_bytes")


def test_nginx_takes_its_configuration(tmp_path: Path) -> None:
    text = filled(listen="127.0.0.1:23199", replicas=["127.0.0.1:1", "127.0.0.1:2"], max_body_bytes=1_048_576)
    assert "${" not in re.sub(r"#.*", "", text)
    paths = " ".join(
        f"{kind}_temp_path {tmp_path}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (tmp_path / "nginx.conf").write_text(f"pid {tmp_path}/pid; events {{}} http {{ {paths}\n{text} }}")
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    assert program is not None, "nginx is not installed"
    done = subprocess.run(
        [program, "-t", "-c", f"{tmp_path}/nginx.conf", "-e", "stderr"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_what_is_trusted_is_the_network_of_the_containers() -> None:
    (network,) = COMPOSE["networks"]["default"]["ipam"]["config"]
    assert {service["environment"]["CHAT_TRUSTED_PROXIES"] for service in OURS.values()} == {network["subnet"]}
