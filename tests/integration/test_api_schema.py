"""The OpenAPI document against the served program: schemathesis makes requests of all sorts from it, alone and in
chains, and looks for server errors and for answers that the document does not describe.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from harness.command_line import Home, await_output, free_port
from harness.identities import PASSWORD, SECRET
from harness.model_stub import ModelStub

SECONDS = 20
SEED = os.environ.get("FRONTDESK_TESTS_SEED", "1")  # each run asks the same, unless another is asked for
# Not use_after_free: a hidden thread can be asked for with include_deleted.
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
    "allow_header_conformance",
    "missing_required_header",
    "ensure_resource_availability",
)
# Of what is not valid, some is also too large.
SETTINGS = """
[checks.negative_data_rejection]
expected-statuses = ["400", "401", "403", "404", "405", "409", "413", "422", "429"]
"""
ADA = {"username": "ada", "password": PASSWORD}
# A sign-out and a new password end the run's own token; the metrics' reader is another.
LEFT_OUT = ("/auth/logout", "/users/", "/metrics")


@pytest.fixture
def gateway(tmp_path: Path, model_stub: ModelStub) -> Iterator[str]:
    """A server of its own, of which nothing but this run asks anything; afterwards it must be the same process."""
    home = Home(
        tmp_path / "home",
        CHAT_DATABASE_URL=f"sqlite:///{tmp_path / 'app.db'}",
        CHAT_JWT_SECRET_KEY=SECRET,
        CHAT_LLM_API_BASE=model_stub.url,
        CHAT_LLM_DEFAULT_MODEL="scripted?tokens=2",
        CHAT_LOGIN_ATTEMPTS_PER_ADDRESS="1000000",
        CHAT_LOG_FORMAT="json",
        CHAT_SEARCH_ENABLED="true",
        CHAT_EMBEDDER="packaged",
    )
    port = free_port()
    with home.background("serve", "--port", str(port)) as server:
        url = f"http://127.0.0.1:{port}"
        await_output(server, f"listens on {url}")
        pid = server.pid
        yield url
        assert httpx.get(f"{url}/health", trust_env=False).status_code == 200
        assert server.pid == pid
        events = [json.loads(line) for line in server.output().splitlines() if line.startswith("{")]
        assert [event for event in events if event.get("level") in {"error", "critical"}] == []


def _signed_in(url: str) -> dict[str, str]:
    with httpx.Client(base_url=f"{url}/api", trust_env=False) as client:
        assert client.post("/auth/register", json=ADA).status_code == 201
        pair = client.post("/auth/login", json=ADA).json()
        headers = {"Authorization": f"Bearer {pair['access_token']}"}
        thread = client.post("/threads", json={"title": "here before"}, headers=headers).json()["id"]
        assert client.post(f"/threads/{thread}/messages", json={"text": "hi"}, headers=headers).status_code == 201
    return headers


@pytest.mark.timeout(SECONDS + 90)
def test_no_answer_is_outside_the_document(gateway: str, tmp_path: Path) -> None:
    headers, report = _signed_in(gateway), tmp_path / "report.json"
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{gateway}/api/openapi.json", "--no-color"]
    command += ["--max-time", str(SECONDS), "--request-timeout", "20", "--no-shrink", "--continue-on-failure"]
    command += ["--checks", ",".join(CHECKS), "--header", f"Authorization:{headers['Authorization']}"]
    command += ["--seed", SEED]
    command += ["--exclude-path-regex", "|".join(LEFT_OUT), "--report-json-path", str(report)]
    (tmp_path / "schemathesis.toml").write_text(SETTINGS)
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=SECONDS + 80, check=False)
    told = "\n".join(line[:500] for line in ran.stdout.splitlines()[-150:])
    assert ran.returncode == 0, told + ran.stderr[-2000:]
    assert json.loads(report.read_text())


def test_the_document_is_whole(gateway: str) -> None:
    """Every reference leads somewhere, every failure is in its surface's words, every protected route says so."""
    document = httpx.get(f"{gateway}/api/openapi.json", trust_env=False).json()
    references = {part.split('"')[0] for part in json.dumps(document).split('"$ref": "')[1:]}
    assert references
    for reference in references:
        held: Any = document
        for step in reference.removeprefix("#/").split("/"):
            held = held[step]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for status, response in operation["responses"].items():
                told = f"{method} {path} {status}"
                if int(status) >= 400 and "/chatkit" not in path:  # whose refusals are the protocol's
                    words = "application/json" if "/chat-interfaces" in path else "application/problem+json"
                    assert set(response["content"]) == {words}, told
            if "/chatkit" in path:
                continue
            is_open = operation["security"] in ([], [{}, {"user": []}], [{}, {"operator": []}])
            is_protected = operation["security"] in ([{"user": []}], [{"internal": []}])
            assert is_open or (is_protected and "401" in operation["responses"]), path
