"""Pages of lists: by number, or by key, where `after` is the id of the last item seen."""

import msgspec

MAX_PAGE = 1_000_000
MAX_LIMIT = 100


class Page(msgspec.Struct, frozen=True):
    number: int = 1
    limit: int = 20
    after: str | None = None

    @property
    def offset(self) -> int:
        return 0 if self.after is not None else (self.number - 1) * self.limit
