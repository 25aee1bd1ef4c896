"""Agents of the OpenAI Agents SDK, with tools of their own."""

from agents import Agent, RunContextWrapper, function_tool

from frontdesk.agents.context import AnswerContext
from frontdesk.agents.events import Widget

calls: list[tuple[int, int]] = []


@function_tool
def add(a: int, b: int) -> str:
    """Adds."""
    calls.append((a, b))
    return f"sum {a + b}"


@function_tool(needs_approval=True)
def pay(a: int) -> str:
    return f"paid {a}"


adder = Agent(name="adder", instructions="Add.", tools=[add])
named = Agent(name="named", model="scripted?tokens=2", tools=[])
asker = Agent(name="asker", tools=[pay])


@function_tool
def add_task(context: RunContextWrapper[AnswerContext], title: str) -> str:
    """Adds a task to the list that the user sees."""
    context.context.show(Widget({"type": "Card", "children": [{"type": "Text", "value": title}]}, key=title))
    context.context.call("ask", {"refresh": title})
    return f"added {title} for {context.context.user_id}"


keeper = Agent[AnswerContext](name="keeper", tools=[add_task])
