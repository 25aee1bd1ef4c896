"""What an account may look like. A failure names the field, as every surface shows it."""

import re
from collections.abc import Iterator
from unicodedata import normalize

from frontdesk.errors import InvalidRequestError
from frontdesk.identity.users.models import EMAIL_LENGTH, USERNAME_LENGTH, Registration

PASSWORD_CHARACTERS = 8
PASSWORD_BYTES = 1024
ALLOW_LIST_LENGTH = 1000
ALLOW_LIST_ITEM_LENGTH = 255
EMAIL_PATTERN = r"^[!-?A-~]{1,64}@[0-9A-Za-z]([-.]?[0-9A-Za-z])*$"

_Fault = tuple[str, str, str]


def username_key(username: str) -> str:
    """The form in which two names that people take for the same are equal (Unicode's NFKC and case folding)."""
    return normalize("NFKC", normalize("NFKC", username).casefold())


def is_username(text: str) -> bool:
    """1 to 64 printable characters, also when normalised, with no space at the ends."""
    plain = normalize("NFKC", text)
    return (
        0 < len(text) <= USERNAME_LENGTH
        and len(plain) <= USERNAME_LENGTH
        and len(username_key(text)) <= 3 * USERNAME_LENGTH
        and text.isprintable()
        and text == text.strip()
        and plain == plain.strip()
    )


def is_email(text: str) -> bool:
    return len(text) <= EMAIL_LENGTH and re.match(EMAIL_PATTERN, text) is not None and not text.endswith("\n")


def is_password(text: str) -> bool:
    return len(text) >= PASSWORD_CHARACTERS and len(text.encode("utf-8", "surrogatepass")) <= PASSWORD_BYTES


def is_allow_list(items: tuple[str, ...] | None) -> bool:
    return items is None or (
        len(items) <= ALLOW_LIST_LENGTH and all(0 < len(item) <= ALLOW_LIST_ITEM_LENGTH for item in items)
    )


def check_registration(registration: Registration) -> None:
    """Raises `InvalidRequestError` with every field that is wrong."""
    _refuse(list(_faults(registration)))


def check_password(password: str) -> None:
    """Raises `InvalidRequestError`."""
    if not is_password(password):
        _refuse([_PASSWORD])


def check_allow_lists(products: tuple[str, ...] | None, agents: tuple[str, ...] | None) -> None:
    """Raises `InvalidRequestError`."""
    named = (("allowed_products", products), ("allowed_agents", agents))
    _refuse([(name, _ITEMS, "allow_list") for name, items in named if not is_allow_list(items)])


_PASSWORD: _Fault = ("password", "A password has at least 8 characters and at most 1,024 bytes", "password")
_ITEMS = f"At most {ALLOW_LIST_LENGTH} entries of 1 to {ALLOW_LIST_ITEM_LENGTH} characters"


def _faults(registration: Registration) -> Iterator[_Fault]:
    if not is_username(registration.username):
        yield ("username", "A user name has 1 to 64 printable characters and no space at its ends", "username")
    if not is_password(registration.password):
        yield _PASSWORD
    if registration.email is not None and not is_email(registration.email):
        yield ("email", "This is not an e-mail address", "email")
    if not is_allow_list(registration.allowed_products):
        yield ("allowed_products", _ITEMS, "allow_list")
    if not is_allow_list(registration.allowed_agents):
        yield ("allowed_agents", _ITEMS, "allow_list")


def _refuse(faults: list[_Fault]) -> None:
    if faults:
        errors = [{"loc": ["body", name], "msg": message, "type": kind} for name, message, kind in faults]
        raise InvalidRequestError(errors=errors)
