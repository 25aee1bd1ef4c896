"""The assistant. `agents.yaml` names it to the gateway, which runs it and gives its tools an `AnswerContext`.

TODO_DATABASE is the file of the tasks. The model is the gateway's: any that calls tools.
"""

import os
from pathlib import Path

from agents import Agent, RunContextWrapper, function_tool

from frontdesk.agents.context import AnswerContext
from todo.tasks import RefusedError, Task, Tasks

Run = RunContextWrapper[AnswerContext]
REFRESH = "refresh_task_list"
INSTRUCTIONS = """\
You keep the user's to-do list with your tools; you know no task that a tool has not told you of. Tasks are changed by
their numbers: when the user names one by its title, list them first. Say in one short sentence what you have done."""
tasks = Tasks(Path(os.environ.get("TODO_DATABASE", "todo.db")))


@function_tool
async def add_task(run: Run, title: str) -> str:
    """Adds a task to the list."""
    try:
        task = await tasks.add(run.context.user_id, title, answer=run.context.key)
    except RefusedError as error:
        return str(error)
    return _changed(run, f"Added {_line(task)}")


@function_tool
async def list_tasks(run: Run) -> str:
    """All tasks, each on a line with its number."""
    found = await tasks.list_all(run.context.user_id)
    return "\n".join(map(_line, found)) or "The list is empty"


@function_tool
async def complete_task(run: Run, task_id: int) -> str:
    """Marks the task with this number as done."""
    try:
        task = await tasks.complete(run.context.user_id, task_id)
    except RefusedError as error:
        return str(error)
    return _changed(run, f"Completed {_line(task)}")


@function_tool
async def update_task(run: Run, task_id: int, title: str) -> str:
    """Gives the task with this number another title."""
    try:
        task = await tasks.rename(run.context.user_id, task_id, title)
    except RefusedError as error:
        return str(error)
    return _changed(run, f"Changed {_line(task)}")


@function_tool
async def delete_task(run: Run, task_id: int) -> str:
    """Takes the task with this number off the list."""
    try:
        task = await tasks.delete(run.context.user_id, task_id)
    except RefusedError as error:
        return str(error)
    return _changed(run, f"Deleted {_line(task)}")


agent = Agent[AnswerContext](
    name="todo",
    instructions=INSTRUCTIONS,
    tools=[add_task, list_tasks, complete_task, update_task, delete_task],
)


def _changed(run: Run, told: str) -> str:
    """The page shows the list again, once, when the assistant has said its last."""
    run.context.call(REFRESH)
    return told


def _line(task: Task) -> str:
    return f"{task.id}. {task.title}" + (" (done)" if task.is_done else "")
