"""Visitors whom a site knows: what proves it, what does not, and how their sessions come together."""

import hmac
import json
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from frontdesk.kit.clock import SystemClock
from harness.callers import newcomer
from harness.identities import settings_for
from harness.model_stub import ModelStub
from harness.visitors import Chat, assert_failure, build, public_chat, text_of


@pytest.fixture(scope="module")
async def place(
    module_database_url: str, model_stub: ModelStub, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Chat]:
    agents = tmp_path_factory.mktemp("agents") / "agents.yaml"
    agents.write_text('python: {visited: {agent: "harness.python_agents:visited"}}')
    chosen = settings_for(
        module_database_url,
        llm_enabled=True,
        llm_api_base=model_stub.url,
        llm_default_model="scripted?tokens=3",
        visitor_sessions_per_address=10_000,
        agents_file=str(agents),
    )
    async with public_chat(chosen) as opened:
        yield opened


async def _secret(chat: Chat) -> str:
    return str((await chat.owner.made("POST", f"{chat.path}/identity-secret"))["identitySecret"])


def _claims(**changes: Any) -> dict[str, Any]:
    return {"sub": "ann", "exp": int(SystemClock().now().timestamp()) + 600, **changes}


def _signed(key: Any, algorithm: str = "HS256", headers: dict[str, Any] | None = None, **claims: Any) -> str:
    return jwt.encode(_claims(**claims), key, algorithm=algorithm, headers=headers)


def _jwk(key: Any, **more: Any) -> dict[str, Any]:
    kinds = {ec.EllipticCurvePublicKey: "ES256", ed25519.Ed25519PublicKey: "EdDSA", rsa.RSAPublicKey: "RS256"}
    (algorithm,) = [name for kind, name in kinds.items() if isinstance(key, kind)]
    return {**json.loads(jwt.get_algorithm_by_name(algorithm).to_jwk(key)), **more}


def _symmetric(key: str, **headers: str) -> str:
    """By hand: PyJWT signs with no such keys."""
    parts = [json.dumps(part).encode() for part in ({"alg": "HS256", **headers}, _claims())]
    signed = b".".join(urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    signature = hmac.new(key.encode(), signed, "sha256").digest()
    return (signed + b"." + urlsafe_b64encode(signature).rstrip(b"=")).decode()


async def _refused(chat: Chat, token: str) -> None:
    asked = await chat.ask("POST", "/sessions", json={"identity": token})
    assert_failure(asked, 403, "identity_rejected")


async def test_a_known_visitor_goes_on_on_any_device(place: Chat) -> None:
    chat = await build(place.owner)
    key = await _secret(chat)
    here = await chat.visitor(identity=_signed(key, name="Ann", email="ann@example.org"))
    await here.answer("from the telephone")
    there = await chat.visitor(identity=_signed(key))
    assert there.id == here.id
    assert there.opened["existingMessages"][0]["content"] == "from the telephone"
    other = await chat.visitor(identity=_signed(key, sub="bob"))
    assert other.id != here.id
    seen = await chat.owner.made("GET", f"{chat.path}/sessions/{here.id}")
    assert seen["identity"] == {"sub": "ann", "name": None, "email": None}
    await chat.ask("POST", f"/sessions/{here.token}/end")
    assert (await chat.visitor(identity=_signed(key))).id != here.id


async def test_an_anonymous_session_becomes_the_identitys(place: Chat) -> None:
    chat = await build(place.owner, persistenceType="local_storage", rateLimitMessages=100)
    key = await _secret(chat)
    known = await chat.visitor(identity=_signed(key))
    await known.answer("earlier")
    anonymous = await chat.visitor()
    await anonymous.answer("before I signed in")
    kept = anonymous.opened["persistenceToken"]
    merged = await chat.visitor(identity=_signed(key), persistenceToken=kept)
    assert merged.id == anonymous.id
    assert merged.opened["existingMessages"][0]["content"] == "before I signed in"
    # From now on it takes the identity to come back, and no other will do.
    assert (await chat.visitor(persistenceToken=kept)).id not in {anonymous.id, known.id}
    eve = await chat.visitor(identity=_signed(key, sub="eve"), persistenceToken=kept)
    assert eve.id not in {anonymous.id, known.id}
    assert "existingMessages" not in eve.opened
    forged = {"identity": _signed("k" * 32, sub="ann"), "persistenceToken": kept}
    assert_failure(await chat.ask("POST", "/sessions", json=forged), 403, "identity_rejected")
    assert (await chat.visitor(identity=_signed(key))).id == anonymous.id
    assert len(await known.messages()) == 2


async def test_what_proves_nothing_is_refused(place: Chat) -> None:
    chat, other = await build(place.owner), await build(place.owner)
    await _refused(chat, _signed("k" * 32))  # nothing is configured
    key, foreign = await _secret(chat), await _secret(other)
    now = int(SystemClock().now().timestamp())
    good = _signed(key)
    assert (await chat.visitor(identity=good)).token
    header, payload, signature = good.split(".")
    forged = [
        _signed(foreign),
        _signed(key + "x"),
        _signed("", algorithm="none"),
        _signed(key, algorithm="HS384"),
        _signed(key, exp=now - 1),
        _signed(key, exp="tomorrow"),
        _signed(key, nbf=now + 3600),
        _signed(key, sub=""),
        _signed(key, sub="x" * 256),
        _signed(key, sub="a\0b"),
        _signed(key, aud="another-chat"),
        jwt.encode({"sub": "ann"}, key),
        jwt.encode({"exp": now + 60}, key),
        f"{header}.{payload}.",
        f"{header}.{payload}.{signature[:-2]}",
        f"{header}.{payload[:-1]}.{signature}",
        f"{good}.{signature}",
        "",
        "a.b.c",
        "x" * 4000,
        "ann",
    ]
    for token in forged:
        await _refused(chat, token)
    assert (await chat.visitor(identity=_signed(key, aud=chat.interface["slug"]))).token


async def test_a_new_secret_ends_the_old_one(place: Chat) -> None:
    chat = await build(place.owner)
    old = await _secret(chat)
    new = await _secret(chat)
    await _refused(chat, _signed(old))
    assert (await chat.visitor(identity=_signed(new))).token


async def test_keys_of_a_set_prove_it_too(place: Chat) -> None:
    rsa_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    ec_key, ed_key = ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate()
    keys = {"r": ("RS256", rsa_key), "e": ("ES256", ec_key), "d": ("EdDSA", ed_key)}
    jwks = {"keys": [_jwk(key.public_key(), kid=name) for name, (_, key) in keys.items()]}
    chat = await build(place.owner, identityJwks=jwks)
    for name, (algorithm, key) in keys.items():
        assert (await chat.visitor(identity=_signed(key, algorithm, {"kid": name}, sub=name))).token
    public = jwt.get_algorithm_by_name("RS256").to_jwk(rsa_key.public_key())
    stranger = ec.generate_private_key(ec.SECP256R1())
    for token in (
        _signed(stranger, "ES256", {"kid": "e"}),
        _signed(ec_key, "ES256", {"kid": "r"}),
        _signed(ec_key, "ES256"),  # which of the three is not said
        _signed(ec_key, "ES256", {"kid": "other"}),
        _symmetric(public, kid="r"),  # a public key is no secret
        _symmetric(json.dumps(jwks)),
        _symmetric(""),
    ):
        await _refused(chat, token)


@pytest.mark.parametrize(
    "jwks",
    [
        {},
        {"keys": []},
        {"keys": "x"},
        {"keys": [{}]},
        {"keys": [{"kty": "oct", "k": "c2VjcmV0"}]},
        {"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB", "d": "AQAB"}]},
        {"keys": [{"kty": "EC", "crv": "P-256", "x": "!", "y": "!"}]},
        {"keys": [{"kty": "unknown"}]},
    ],
)
async def test_a_set_of_other_keys_is_refused(place: Chat, jwks: dict[str, Any]) -> None:
    asked = await place.owner.send("PUT", place.path, json={"identityJwks": jwks})
    assert_failure(asked, 422, "validation_error")


async def test_a_python_agent_is_told_who_is_talking(place: Chat) -> None:
    """The thread is the interface's owner's; what an owner writes into a thread's metadata makes nobody a visitor."""
    chat = await build(place.owner, agent={"kind": "python", "runtime": "visited", "users": None})
    token = _signed(await _secret(chat), name="Ann", email="ann@shop.example")
    known, unknown = await chat.visitor(identity=token), await chat.visitor()
    own = {"session_id": known.id, "interface_id": chat.interface["id"]}
    named = {"subject": "ann", "name": "Ann", "email": "ann@shop.example"}
    assert json.loads(text_of(await known.answer())) == [place.owner.id, own | named]
    nobody = dict.fromkeys(named)
    assert json.loads(text_of(await unknown.answer())) == [place.owner.id, own | {"session_id": unknown.id} | nobody]
    bea = await newcomer(place.owner, "bea")
    forged = {"agent_id": chat.interface["agentId"], "source": "chat_interface", "sessionId": known.id, "visit": named}
    thread = await bea.made("POST", "/threads", json={"metadata": forged})
    await bea.answered(thread["id"])
    messages = (await bea.made("GET", f"/threads/{thread['id']}/messages"))["items"]
    assert json.loads(messages[0]["text"]) == [bea.id, None]
