class Positions:
    """Which of a thread's messages a reader knows: all up to one, and some behind it."""

    def __init__(self, all_up_to: int) -> None:
        self.all_up_to = all_up_to
        self._beyond: set[int] = set()

    def __contains__(self, position: int) -> bool:
        return position <= self.all_up_to or position in self._beyond

    def add(self, position: int) -> None:
        if position > self.all_up_to:
            self._beyond.add(position)
        while self.all_up_to + 1 in self._beyond:
            self.all_up_to += 1
            self._beyond.discard(self.all_up_to)
