"""What a command says when it cannot do its work."""

USAGE = 2
INTERRUPTED = 130


class CommandError(Exception):
    """Ends the command: the message goes to standard error, `exit_code` to the shell. No traceback is shown."""

    def __init__(self, message: str, *, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code
