"""What is wrong with a catalogue's file stops the start-up, and says where."""

from pathlib import Path

import pytest

from frontdesk.agents.tools.catalogue_file import parse_tools_file, read_tools_file
from frontdesk.bootstrap.agents import tool_catalogue
from frontdesk.errors import ConfigurationError
from frontdesk.settings import Settings

HTTP = "http: {method: GET, path: /a}"
EMPTY = "parameters: {type: object}"
ONE = "parameters: {type: object, properties: {id: {type: string}}, required: [id]}"
TEN = {
    "ingest_youtube": "POST /api/v1/documents/youtube",
    "ingest_text": "POST /api/v1/documents/text",
    "optimize": "POST /api/v1/documents/{document_id}/optimize",
    "generate_blog": "POST /api/v1/documents/{document_id}/blog",
    "drive_link": "PUT /api/v1/drive/link",
    "drive_status": "GET /api/v1/drive/status",
    "drive_publish": "POST /api/v1/drive/publish",
    "document_versions": "GET /api/v1/documents/{document_id}/versions",
    "document_exports": "GET /api/v1/documents/{document_id}/exports",
    "session_events": "GET /api/v1/sessions/events",
}


def tool(*parts: str, name: str = "a") -> str:
    return f"tools:\n- {{name: {name}, description: d, {', '.join(parts)}}}\n"


def test_the_packaged_catalogue_has_the_ten_tools() -> None:
    file = read_tools_file(None)
    found = {one.name: f"{one.http.method} {one.http.path}" for one in file.tools if one.http is not None}
    assert found == TEN


def test_everything_that_a_file_may_say() -> None:
    file = parse_tools_file(
        """
defaults: {timeout_seconds: 7, requires_approval: true}
python: [{function: "a.b:c", name: mine}]
tools:
  - name: move
    description: Move it.
    parameters: {type: object, properties: {id: {}, to: {}, dry: {}, why: {}}, required: [id]}
    http: {method: DELETE, path: "/things/{thing-id}", path_arguments: {id: thing-id}, query: {dry: dry_run},
           body: [to]}
    timeout_seconds: 1
    retry_safe: true
    requires_approval: false
  - {name: ask, description: Ask., parameters: {type: object}, client: true}
openapi: {url: /openapi.json, include: [get_*]}
mcp:
  - {name: files, command: serve-files, args: [-v], env: {A: "1"}, include: [read_*]}
  - {name: web, url: "https://mcp.example.com/mcp"}
""",
        name="/etc/tools.yaml",
    )
    move, ask = file.tools
    assert move.http is not None
    assert move.http.path_arguments == {"id": "thing-id"}
    assert move.http.query == {"dry": "dry_run", "why": "why"}
    assert move.http.body == {"to": "to"}
    assert (move.timeout, move.retry_safe, move.requires_approval) == (1.0, True, False)
    assert (ask.http, ask.timeout, ask.requires_approval) == (None, 7.0, True)
    assert (file.openapi and file.openapi.path, file.openapi and file.openapi.include) == ("/openapi.json", ("get_*",))
    assert [one.name for one in file.mcp] == ["files", "web"]
    assert file.python[0].name == "mine"
    assert file.order == ["python", "tools", "openapi", "mcp"]


def test_a_file_beside_the_catalogue_is_found() -> None:
    file = parse_tools_file("openapi: {file: api.json}", name="/etc/frontdesk/tools.yaml")
    assert file.openapi is not None
    assert file.openapi.file == "/etc/frontdesk/api.json"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: [", "it is not YAML"),
        ("- a", "it must be a mapping"),
        ("", "it must be a mapping"),
        ("tool: []", "the key 'tool' is none of defaults, mcp, openapi, python, tools"),
        ("tools: {}\ntools: {}", "the key 'tools' is there twice"),
        ("tools: {a: 1}", "tools: it must be a list"),
        ("defaults: {timeout: 1}", "defaults: Object contains unknown field `timeout`"),
        ("defaults: {timeout_seconds: 0}", "defaults: Expected `float` > 0.0 - at `$.timeout_seconds`"),
        ("tools: [7]", "tools[0]: Expected `object`, got `int`"),
        (tool(EMPTY, HTTP, "retries: 1"), "tools[0] (a): Object contains unknown field `retries`"),
        (tool(EMPTY, "http: {method: GET, path: /a, host: b}"), "tools[0] (a): Object contains unknown field `host`"),
        (tool(HTTP), "tools[0] (a): Object missing required field `parameters`"),
        (tool(EMPTY, HTTP, name="'a b'"), "at `$.name`"),
        (tool(EMPTY), "tools[0] (a): it needs `http`, or `client: true`, and not both"),
        (tool(EMPTY, HTTP, "client: true"), "and not both"),
        (tool(EMPTY, "http: {method: TRACE, path: /a}"), "http.method: 'TRACE' is none of GET"),
        (tool(EMPTY, "http: {method: GET, path: a}"), "http.path: it begins with /"),
        (tool(EMPTY, "http: {method: GET, path: //evil.example/a}"), "the segment '' is neither"),
        (tool(EMPTY, "http: {method: GET, path: /a/../b}"), "the segment '..' is neither"),
        (tool(EMPTY, 'http: {method: GET, path: "/a?b=c"}'), "the segment 'a?b=c' is neither"),
        (tool(EMPTY, "http: {method: GET, path: /a%2fb}"), "the segment 'a%2fb' is neither"),
        (tool(ONE, 'http: {method: GET, path: "/a/{id}.pdf"}'), "the segment '{id}.pdf' is neither"),
        (tool(ONE, 'http: {method: GET, path: "/{id}/{id}"}'), "a placeholder is there twice"),
        (tool(EMPTY, 'http: {method: GET, path: "/a/{id}"}'), "http.path: id is not in parameters.properties"),
        (
            tool("parameters: {type: object, properties: {id: {}}}", 'http: {method: GET, path: "/a/{id}"}'),
            "http.path: id must be in parameters.required",
        ),
        (
            tool(ONE, 'http: {method: GET, path: "/{id}", path_arguments: [other]}'),
            "http.path_arguments: they are other, the path has id",
        ),
        (tool(ONE, 'http: {method: GET, path: "/{id}", query: [id]}'), "http.query: id is placed already"),
        (tool(ONE, "http: {method: GET, path: /a, query: [b]}"), "http.query: b is not in parameters.properties"),
        (tool(ONE, "http: {method: GET, path: /a, body: [id]}"), "http.body: a GET has none"),
        (tool("parameters: {type: string}", HTTP), "tools[0] (a): parameters: it is not the schema of an object"),
        (
            tool("parameters: {type: object, properties: {b: {type: texts}}}", HTTP),
            "parameters: it is not a valid JSON Schema: /properties/b/type",
        ),
        (
            tool(EMPTY, HTTP) + f"- {{name: a, description: d, {EMPTY}, client: true}}",
            "tools[1] (a): the name is taken already",
        ),
        ("openapi: {include: [a]}", "openapi: it needs one of url, file"),
        ("openapi: {url: /a, file: b}", "openapi: it needs one of url, file"),
        ("openapi: {url: 'http://evil.example/openapi.json'}", "openapi: url: it is a path below API_BASE_URL"),
        ('openapi: {url: "/a\\r\\nHost: b"}', "openapi: url: it is a path below API_BASE_URL"),
        ("openapi: {url: //evil.example/a}", "openapi: url: it is a path below API_BASE_URL"),
        ("mcp: [{name: a}]", "mcp[0] (a): it needs one of url, command"),
        ("mcp: [{name: a, url: 'ftp://b'}]", "mcp[0] (a): url: it begins with"),
        ("mcp: [{name: a, url: 'http://b', args: [c]}]", "mcp[0] (a): args and env go with a command"),
        ("mcp: [{name: a, command: b}, {name: a, command: c}]", "mcp[1] (a): the name is taken already"),
        ("python: [{function: os.path}]", "python[0] (os.path): Expected `str` matching regex"),
    ],
)
def test_a_wrong_file_is_refused(text: str, told: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_tools_file(text, name="tools.yaml")
    assert caught.value.detail.startswith("tools.yaml: ")
    assert told in caught.value.detail


@pytest.mark.parametrize(
    ("function", "told"),
    [
        ("no.such.module:f", "it cannot be imported: No module named 'no'"),
        ("harness.tool_functions:nothing", "it cannot be imported"),
        ("harness.tool_functions:not_a_function", "it is not a function"),
        ("harness.tool_functions:by_place", "text cannot be given by name"),
        ("harness.tool_functions:untyped", "texts cannot be given by name"),
    ],
)
def test_a_function_that_is_not_there_or_no_tool_is_refused(tmp_path: Path, function: str, told: str) -> None:
    path = tmp_path / "tools.yaml"
    path.write_text(f"python: [{{function: '{function}'}}]")
    with pytest.raises(ConfigurationError) as caught:
        tool_catalogue(Settings(_env_file=None, tools_file=str(path)))
    assert caught.value.detail.startswith(f"CHAT_TOOLS_FILE: python: {function}: ")
    assert told in caught.value.detail


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"CHAT_TOOLS_FILE: .*nowhere\.yaml cannot be read"):
        read_tools_file(str(tmp_path / "nowhere.yaml"))
