"""What to do with a gateway that has just started: commands that work as they are printed."""

import shlex

from rich.console import Console

_PYTHON_LOGIN = 'import json,os; print(json.dumps({"username": os.environ["U"], "password": os.environ["P"]}))'
_PYTHON_FIELD = "import json,sys; print(json.load(sys.stdin)[sys.argv[1]])"


def curl_example(api: str, username: str, password: str | None) -> str:
    """One bash command over several lines, for curl and python3: it logs in and streams an answer.

    It asks for a password that is not known here.

    The lines are joined, so that pasting them does not feed the second one to the question for the password.
    """
    known = 'read -rsp "Password of $U: " P && echo' if password is None else f"P={shlex.quote(password)}"
    steps = (
        f"A={api} && U={shlex.quote(username)} && {known}",
        "J='Content-Type: application/json'",
        f"field() {{ python3 -c '{_PYTHON_FIELD}' $1; }}",
        f"""T=$(U=$U P=$P python3 -c '{_PYTHON_LOGIN}' | curl -s $A/auth/login -H "$J" -d @- | field access_token)""",
        'B="Authorization: Bearer $T"',
        """I=$(curl -s $A/threads -H "$J" -H "$B" -d '{"title": "curl"}' | field id)""",
        """curl -N $A/threads/$I/messages/stream -H "$J" -H "$B" -d '{"text": "Say hello."}'""",
    )
    return " && \\\n  ".join(steps)


def print_instructions(console: Console, api: str, admin: str, *, pages: str, password: str | None) -> None:
    """`api` and `pages` are the addresses that others reach it by, with the API's prefix and without."""
    console.print(f"\nFrontdesk is ready: {api}", style="bold green", markup=False)
    console.print(f"\nIn a browser:   {pages}/console/ (as {admin})", markup=False)
    console.print(f"In a terminal:  frontdesk chat --server {api} --username {admin}", markup=False)
    console.print(f"The API:        {api}/openapi.json", markup=False)
    console.print("\nOr with curl (bash):\n", markup=False)
    console.print(curl_example(api, admin, password), markup=False)
    console.print("\nCtrl-C stops it.", style="dim")
