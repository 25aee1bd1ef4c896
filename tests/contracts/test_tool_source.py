"""What every source of tools keeps to."""

import asyncio
import json

import pytest

from frontdesk.agents.tools.arguments import ArgumentCheck
from frontdesk.ports.tool_source import RunsAt, ToolCallError
from harness.tool_sources import CONTEXT, Sourced

TEXTS = ["plain", "", "ünïcödé \U0001f600 \u2028", '"quoted" \\ /\x00', "x" * 20_000]


def said(content: str) -> str:
    """The text that an echo brought: the stub answers with the whole request."""
    try:
        record = json.loads(content)
    except ValueError:
        return content
    return json.loads(record["body"].encode("latin-1"))["text"] if isinstance(record, dict) else content


async def test_tools_are_listed_once_with_usable_schemas(sourced: Sourced) -> None:
    tools = sourced.source.tools()
    names = [tool.name for tool in tools]
    assert len(set(names)) == len(names)
    assert {sourced.prefix + name for name in ("echo", "fail", "hang", "large")} <= set(names)
    for tool in tools:
        ArgumentCheck(tool.parameters)
        assert tool.description
        assert tool.runs_at is RunsAt.server
    assert sourced.source.tools() is tools, "nothing has changed"
    assert sourced.source.status().problem is None


async def test_schemas_tell_right_arguments_from_wrong_ones(sourced: Sourced) -> None:
    echo = next(tool for tool in sourced.source.tools() if tool.name == sourced.prefix + "echo")
    check = ArgumentCheck(echo.parameters)
    assert check.fault({"text": "a"}) is None
    assert check.fault({"text": 7}) == '/text: 7 is not of type "string"'
    assert check.fault({}) is not None


async def test_a_call_brings_the_output(sourced: Sourced) -> None:
    for text in TEXTS:
        output = await sourced.call("echo", text=text)
        assert not output.is_error
        assert said(output.content) == text


async def test_calls_at_once_get_their_own_outputs(sourced: Sourced) -> None:
    outputs = await asyncio.gather(*(sourced.call("echo", text=f"number {number}") for number in range(30)))
    assert [said(output.content) for output in outputs] == [f"number {number}" for number in range(30)]


async def test_an_unknown_tool_is_not_called(sourced: Sourced) -> None:
    with pytest.raises(ToolCallError) as caught:
        await sourced.call("nothing")
    assert (caught.value.kind, caught.value.was_made) == ("unknown_tool", False)


async def test_a_tool_that_fails_says_so(sourced: Sourced) -> None:
    assert await failure(sourced) in {"is_error", "tool_failed"}
    assert said((await sourced.call("echo", text="after")).content) == "after"


async def failure(sourced: Sourced) -> str:
    try:
        output = await sourced.call("fail", **sourced.failing)
    except ToolCallError as error:
        return error.kind if error.was_made else "not made"
    return "is_error" if output.is_error else "a success"


async def test_a_call_that_hangs_is_given_up(sourced: Sourced) -> None:
    with pytest.raises(ToolCallError) as caught:
        await sourced.call("hang")
    assert (caught.value.kind, caught.value.was_made) == ("backend_timeout", True)
    assert said((await sourced.call("echo", text="after")).content) == "after"


async def test_an_output_has_a_bound(sourced: Sourced) -> None:
    assert len((await sourced.call("large", number=100_000)).content) == 100_000
    with pytest.raises(ToolCallError) as caught:
        await sourced.call("large", number=100_001)
    assert (caught.value.kind, caught.value.was_made) == ("backend_response_too_large", True)
    assert said((await sourced.call("echo", text="after")).content) == "after"


async def test_cancelling_gives_a_call_up(sourced: Sourced) -> None:
    call = asyncio.create_task(sourced.call("hang"))
    done, _ = await asyncio.wait({call}, timeout=0.3)
    assert not done
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert said((await sourced.call("echo", text="after")).content) == "after"


async def test_closing_leaves_no_task_behind_and_ends_calls(sourced: Sourced) -> None:
    await sourced.call("echo", text="before")
    hanging = asyncio.create_task(sourced.call("hang"))
    await asyncio.wait({hanging}, timeout=0.3)
    others = asyncio.all_tasks() - {hanging}
    await sourced.source.aclose()
    with pytest.raises(ToolCallError):
        await hanging
    assert asyncio.all_tasks() <= others
    with pytest.raises(ToolCallError):
        await sourced.source.call("nothing", {}, CONTEXT)
