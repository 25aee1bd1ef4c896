"""What runs executions to their end.

Owns when and where an execution runs: it claims queued ones, keeps their leases, takes over those whose runner died
and stops those that are cancelled. It refuses to know what an answer is: that is `conversation.turn`.
Every accepted execution reaches a terminal state, through any number of crashes.
"""

from typing import Protocol


class ExecutionEngine(Protocol):
    def start(self, execution_id: str) -> None:
        """Run it as soon as there is room. Safe to repeat, and to lose: queued executions are found in the database."""
        ...

    def resume(self, execution_id: str) -> None:
        """As `start`, of one that waited: what it waited for is in the database."""
        ...

    async def cancel(self, execution_id: str) -> bool:
        """Stop it if it runs here, and return when its partial text is stored and its terminal event is on the log.

        False when it does not run here. Raises `UnavailableError` when the end cannot be stored in time.
        """
        ...

    async def check(self) -> None:
        """Raises `UnavailableError` when executions cannot be run."""
        ...
