"""Agents of the OpenAI Agents SDK, with tools of their own."""

from agents import Agent, function_tool

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
