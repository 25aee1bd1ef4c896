"""The to-do assistant: its tools on the real table, its page's own client and the page itself, and whose list it is."""

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.page_driver import opened_page
from harness.todo_example import Person, TodoExample, todo_example
from todo.tasks import MOST_TASKS, TITLE_LENGTH, RefusedError, Task, Tasks

CLIENTS = Path(__file__).parents[1] / "clients"
HELP = "I keep your tasks. Say"


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TodoExample]:
    with todo_example(tmp_path_factory.mktemp("todo")) as running:
        yield running


async def _say(example: TodoExample, person: Person, *lines: str) -> Any:
    """What the page's client makes of it, and what its user would see in the list after each refresh."""
    told = {"GATEWAY": example.gateway, "SITE": example.site, "TOKEN": person.token, "SAID": "\n".join(lines)}
    page = await asyncio.create_subprocess_exec(
        "node", "todo.mjs", cwd=CLIENTS, env=os.environ | told, stdout=asyncio.subprocess.PIPE
    )
    written, _ = await page.communicate()
    assert page.returncode == 0, written
    return json.loads(written)


async def test_what_is_said_is_done_and_the_list_is_shown_again(example: TodoExample) -> None:
    person = await asyncio.to_thread(example.newcomer, "grace")
    told = await _say(example, person, "Add a task to buy groceries", "Show my tasks", "Hello")
    (task,) = example.tasks(person)
    assert (task["title"], task["is_done"]) == ("buy groceries", False)
    assert told["last"][0] == "I've added 'buy groceries' to your tasks."
    assert told["last"][1].endswith(f"{task['id']}. buy groceries")
    assert told["last"][2].startswith(HELP)
    assert (told["tools"], told["refreshed"]) == (["refresh_task_list"], [[task]])
    kinds = [item["type"] for item in told["items"]]
    assert kinds[:4] == ["user_message", "workflow", "assistant_message", "client_tool_call"]
    assert [item["id"] for item in told["reloaded"]] == [item["id"] for item in told["items"]]
    assert [item.get("content") for item in told["reloaded"]] == [item.get("content") for item in told["items"]]

    number = task["id"]
    lines = (f"Rename task {number} to buy bread", f"Complete task {number}", f"Delete task {number}")
    told = await _say(example, person, *lines, "Complete task 999999")
    shown = [[(each["title"], each["is_done"]) for each in tasks] for tasks in told["refreshed"]]
    assert shown == [[("buy bread", False)], [("buy bread", True)], []]
    assert told["last"][-1] == "There is no task 999999."


async def test_a_list_is_its_owners(example: TodoExample) -> None:
    owner = await asyncio.to_thread(example.sign_in, example.name, example.password)
    other = await asyncio.to_thread(example.newcomer, "other")
    before = example.tasks(owner)
    await _say(example, owner, "Add a task to keep a secret")
    (*others, task) = example.tasks(owner)
    assert (others, task["title"]) == (before, "keep a secret")
    number = task["id"]
    told = await _say(example, other, "Show my tasks", f"Complete task {number}", f"Delete task {number}")
    assert told["last"] == ["You have no tasks.", f"There is no task {number}.", f"There is no task {number}."]
    assert (told["refreshed"], example.tasks(owner), example.tasks(other)) == ([], [*before, task], [])
    for token in ("", "x", f"{owner.token}x"):
        refused = example.ask_tasks(Person("", token))
        assert (refused.status_code, refused.json()) == (401, {"error": "Sign in first"})


async def test_the_page_in_a_browser(example: TodoExample, tmp_path: Path) -> None:
    async with opened_page(tmp_path / "browser") as page:
        await page.visit(f"{example.site}/")
        await page.until("!document.querySelector('#sign-in').hidden")
        fields = {"name": example.name, "password": example.password}
        fill = "".join(f"document.querySelector('[name={name}]').value = '{value}';" for name, value in fields.items())
        await page.run(f"{fill} document.querySelector('#sign-in').requestSubmit()")
        await page.until("!document.querySelector('#todo').hidden")
        await page.run("document.querySelector('[data-prompt^=Add]').click()")
        written = "document.querySelector('#text').value += 'buy <b>groceries</b>'"
        await page.run(f"{written}; document.querySelector('#ask').requestSubmit()")
        await page.until("document.querySelector('#tasks').innerText.includes('buy <b>groceries</b>')")
        await page.until("document.querySelector('#items').innerText.includes(\"I've added 'buy <b>groceries</b>'\")")
        assert page.complaints == []


@pytest.fixture
def tasks(tmp_path: Path) -> Tasks:
    return Tasks(tmp_path / "tasks.db")


async def test_an_answer_that_is_given_again_adds_nothing(tasks: Tasks) -> None:
    """As after a crash: the same answer begins anew."""
    first, again = [await tasks.add("ada", " buy  milk ", answer="a1") for _ in range(2)]
    assert first == again == Task(first.id, "buy milk", is_done=False)
    later = await tasks.add("ada", "buy milk", answer="a2")
    assert await tasks.list_all("ada") == [first, later]


async def test_many_at_once_are_all_added(tasks: Tasks) -> None:
    made = await asyncio.gather(*(tasks.add("ada", f"task {n}", answer=f"a{n}") for n in range(40)))
    assert {task.id for task in await tasks.list_all("ada")} == {task.id for task in made}


@pytest.mark.parametrize("title", ["", " \n", "x" * (TITLE_LENGTH + 1)])
async def test_a_title_has_bounds(tasks: Tasks, title: str) -> None:
    with pytest.raises(RefusedError):
        await tasks.add("ada", title, answer="a1")
    task = await tasks.add("ada", "x" * TITLE_LENGTH, answer="a1")
    with pytest.raises(RefusedError):
        await tasks.rename("ada", task.id, title)
    assert await tasks.list_all("ada") == [task]


async def test_nobody_else_changes_a_task_and_a_number_is_not_used_again(tasks: Tasks) -> None:
    task = await tasks.add("ada", "mine", answer="a1")
    for change in (tasks.complete("bob", task.id), tasks.delete("bob", task.id), tasks.rename("bob", task.id, "his")):
        with pytest.raises(RefusedError, match=f"no task {task.id}"):
            await change
    assert await tasks.list_all("ada") == [task]
    await tasks.delete("ada", task.id)
    assert (await tasks.add("ada", "next", answer="a2")).id != task.id


async def test_a_list_has_an_end(tasks: Tasks) -> None:
    await tasks.add("ada", "0", answer="a")
    with tasks._transaction() as connection:
        rows = [("ada", str(number), "a") for number in range(1, MOST_TASKS)]
        connection.executemany("INSERT INTO tasks (user_id, title, answer) VALUES (?, ?, ?)", rows)
    with pytest.raises(RefusedError, match="delete some"):
        await tasks.add("ada", "one more", answer="a")
    await tasks.add("bob", "his first", answer="a")
