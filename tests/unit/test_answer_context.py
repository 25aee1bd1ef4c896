"""What a tool of the Agents SDK is given to reach the conversation."""

from frontdesk.agents.context import AnswerContext
from frontdesk.agents.events import Request, ToolCall


def test_a_call_that_is_asked_for_again_is_one() -> None:
    """Two tools that both want the list shown again; other arguments make another call."""
    context = AnswerContext(Request(model="", messages=[], key="answer-1", user_id="ada"))
    for arguments in (None, {}, {"list": "work"}, {"list": "work"}):
        context.call("refresh", arguments)
    assert context.take_calls() == [
        ToolCall("refresh", {}, is_last=True),
        ToolCall("refresh", {"list": "work"}, is_last=True),
    ]
    assert (context.take_calls(), context.key, context.user_id) == ([], "answer-1", "ada")
