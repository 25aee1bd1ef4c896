"""How an answer looks on a terminal; a script sees nothing before the end, when the text is certain."""

import re
import shutil
from typing import TextIO

from rich.cells import cell_len
from rich.console import Console

# A model's text must not move the cursor, retitle the window or write the clipboard.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def without_controls(text: str) -> str:
    return _CONTROLS.sub("", text)


class SilentDisplay:
    def __init__(self, notes: Console) -> None:
        self._notes = notes

    def text(self, piece: str) -> None:
        pass

    def voided(self) -> None:
        pass

    def waiting(self, seconds: float) -> None:
        self._notes.print(f"connection lost, trying again in {seconds:.1f} s", style="dim", highlight=False)


class TerminalDisplay:
    """Writes tokens as they come. What is on the screen is kept, so that it can be drawn again when it no longer holds.

    Text that has scrolled away cannot be taken back; it stays above what is drawn anew.
    """

    def __init__(self, screen: TextIO) -> None:
        self._screen = screen
        self._text = ""
        self._notice = ""

    def text(self, piece: str) -> None:
        if self._notice:
            self._draw(self._text, "")
        piece = without_controls(piece)
        self._text += piece
        self._write(piece)

    def voided(self) -> None:
        self._draw("", "the server was restarted; the answer begins again")

    def waiting(self, seconds: float) -> None:
        self._draw(self._text, f"connection lost, trying again in {seconds:.1f} s")

    def end_line(self) -> None:
        if self._notice:
            self._draw(self._text, "")
        if self._text and not self._text.endswith("\n"):
            self._write("\n")

    def _draw(self, text: str, notice: str) -> None:
        self._erase()
        self._text, self._notice = text, notice
        self._write(text + (f"\n\x1b[2m{notice}\x1b[0m" if notice else ""))

    def _erase(self) -> None:
        size = shutil.get_terminal_size()
        shown = self._text + (f"\n{self._notice}" if self._notice else "")
        rows = sum(max(1, -(-cell_len(line) // size.columns)) for line in shown.split("\n")) - 1
        up = min(rows, size.lines - 1)
        self._write("\r" + (f"\x1b[{up}A" if up else "") + "\x1b[0J")

    def _write(self, text: str) -> None:
        self._screen.write(text)
        self._screen.flush()
