import pytest
from starlette.requests import Request

from frontdesk.errors import ConfigurationError, InvalidRequestError
from frontdesk.http.addresses import client_address, parse_networks
from frontdesk.identity.limits import address_site, refusal
from frontdesk.identity.users.models import Registration
from frontdesk.identity.users.rules import check_registration, is_email, is_password, is_username, username_key
from frontdesk.ports.rate_limiter import Allowance, Limit


@pytest.mark.parametrize("name", ["a", "Ann Lee", "Zoë", "名前", "x" * 64, "o'neil@example", "🙂"])
def test_names_that_are_accepted(name: str) -> None:
    assert is_username(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "x" * 65,
        " a",
        "a ",
        "a\n",
        "a\tb",
        "a\x00b",
        "\u00a0a",
        "a\u200bb",
        "\u202eabc",
        "\ud800",
        "\ufdfa" * 4,
        "\u3000",
    ],
)
def test_names_that_are_refused(name: str) -> None:
    assert not is_username(name)


@pytest.mark.parametrize(
    ("one", "other"),
    [("Ann", "aNN"), ("STRASSE", "straße"), ("\uff21nn", "ann"), ("Zoe\u0308", "ZO\u00cb"), ("ﬁn", "FIN")],
)
def test_names_that_look_the_same_are_the_same(one: str, other: str) -> None:
    assert username_key(one) == username_key(other)


@pytest.mark.parametrize("text", ["a@b", "ann.lee+x@mail.example.org", "a@b-c.de"])
def test_addresses_that_are_accepted(text: str) -> None:
    assert is_email(text)


@pytest.mark.parametrize(
    "text", ["", "a", "@b", "a@", "a@@b", "a b@c", "a@b..c", "a@-b", "a@b\n", "ä@b", "a" * 65 + "@b"]
)
def test_addresses_that_are_refused(text: str) -> None:
    assert not is_email(text)


@pytest.mark.parametrize(
    ("text", "good"), [("x" * 7, False), ("x" * 8, True), ("é" * 8, True), ("é" * 512, True), ("é" * 513, False)]
)
def test_a_password_has_8_characters_and_at_most_1024_bytes(text: str, *, good: bool) -> None:
    assert is_password(text) is good


def test_every_wrong_field_is_named() -> None:
    wrong = Registration(
        username=" ", password="short", email="no", allowed_products=("",), allowed_agents=("x" * 256,)
    )
    with pytest.raises(InvalidRequestError) as caught:
        check_registration(wrong)
    named = [error["loc"][-1] for error in caught.value.extra["errors"]]
    assert named == ["username", "password", "email", "allowed_products", "allowed_agents"]


def test_a_refusal_says_when_to_come_back() -> None:
    error = refusal(
        Limit("login-user", 10, 300), Allowance(allowed=False, remaining=0, reset_after=12.2, retry_after=12.2)
    )
    assert error.headers == {
        "Retry-After": "13",
        "RateLimit-Policy": '"login-user";q=10;w=300',
        "RateLimit": '"login-user";r=0;t=13',
    }


@pytest.mark.parametrize(
    ("address", "site"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("local", "local"),
    ],
)
def test_what_counts_as_one_place(address: str, site: str) -> None:
    assert address_site(address) == site


PROXIES = "10.0.0.0/8, 2001:db8::/32,127.0.0.1"


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("203.0.113.9", [], "203.0.113.9"),
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),
        ("10.1.1.1", [], "10.1.1.1"),
        ("10.1.1.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.1.1.1", ["8.8.8.8, 198.51.100.1, 10.2.2.2"], "198.51.100.1"),
        ("10.1.1.1", ["8.8.8.8", "198.51.100.1"], "198.51.100.1"),
        ("10.1.1.1", ["8.8.8.8, nonsense"], "10.1.1.1"),
        ("10.1.1.1", ["8.8.8.8, nonsense, 10.2.2.2"], "10.2.2.2"),
        ("10.1.1.1", ["10.3.3.3"], "10.3.3.3"),
        ("127.0.0.1", ["198.51.100.1:4711"], "198.51.100.1"),
        ("2001:db8::1", ["[2001:dead::5]:80"], "2001:dead::5"),
        ("10.1.1.1", ["::ffff:198.51.100.1"], "198.51.100.1"),
    ],
)
def test_only_trusted_proxies_are_believed(peer: str, forwarded: list[str], expected: str) -> None:
    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded]
    request = Request({"type": "http", "client": (peer, 1), "headers": headers})
    assert client_address(request, parse_networks(PROXIES)) == expected


def test_a_peer_without_an_address_is_local() -> None:
    assert client_address(Request({"type": "http", "client": None, "headers": []}), parse_networks(PROXIES)) == "local"


def test_a_wrong_network_is_named() -> None:
    with pytest.raises(ConfigurationError, match="CHAT_TRUSTED_PROXIES"):
        parse_networks("10.0.0.0/8,elsewhere")
