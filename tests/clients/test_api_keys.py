"""API keys as the SDKs of OpenAI and Anthropic send them, and a file of keys that changes."""

import datetime
import hashlib
import json
import os
import pathlib
import secrets

import anthropic
import httpx
import openai
import pytest

from clients import ASKED, NO_TOKEN, TIMEOUT, openai_client
from recorder import TOKEN
from servers import wait_for
from test_anthropic import MESSAGE
from tool_calls import calling_a_tool


def new_key() -> str:
    return f"clients_{secrets.token_urlsafe(32)}"


class Keys:
    """A file of keys. Each write replaces the file."""

    def __init__(self, file: pathlib.Path, *entries: dict):
        self.file = file
        self.write(*entries)

    def write(self, *entries: dict):
        self.write_text(json.dumps(entries))

    def write_text(self, text: str):
        new = self.file.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_text(text)
        os.replace(new, self.file)


def days(count: int) -> str:
    at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=count)
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


KEY, DIGESTED, DISABLED, EXPIRED, LASTING = (new_key() for _ in range(5))
ENTRIES = [
    {"id": "batch", "key": KEY, "tenant": "research", "scopes": ["infer"], "plan": "gold"},
    {"id": "web", "digest": hashlib.sha256(DIGESTED.encode()).hexdigest(), "tenant": "shop"},
    {"id": "former", "key": DISABLED, "disabled": True},
    {"id": "trial", "key": EXPIRED, "expires": days(-1)},
    {"id": "trial", "key": LASTING, "expires": days(1)},
]


@pytest.fixture(scope="module")
def gateway(work, front, issuer, recorders_gateway):
    """A gateway that accepts keys and tokens of the issuer."""
    recorder, _ = recorders_gateway
    flags = ["--api-keys", Keys(work / "api-keys.json", *ENTRIES).file]
    flags += ["--issuer", issuer.URL, "--jwks", issuer.jwks]
    flags += ["--audience", issuer.AUDIENCE, "--scope", issuer.SCOPE]
    with front("guarded-by-keys", recorder.url, TOKEN, *flags) as gateway:
        gateway.token = KEY
        yield gateway


def as_token(key: str) -> dict:
    return {"authorization": f"Bearer {key}"}


def as_header(key: str) -> dict:
    return NO_TOKEN | {"x-api-key": key}


def ask(gateway, headers: dict):
    return openai_client(gateway, "unused").chat.completions.create(**ASKED, extra_headers=headers)


@pytest.mark.parametrize("key", [KEY, DIGESTED, LASTING], ids=["plain", "digest", "lasting"])
@pytest.mark.parametrize("place", [as_token, as_header])
def test_key_is_accepted_and_stays_at_the_gateway(place, key, gateway, recorder):
    record = gateway.record(ask(gateway, place(key))._request_id)
    assert record["status"] == 200
    assert record.get("tenant") == {KEY: "research", DIGESTED: "shop"}.get(key)
    [received] = recorder.received
    assert received.values("authorization") == [f"Bearer {TOKEN}"]
    assert received.values("x-api-key") == []
    assert key not in str(received) + json.dumps(record)


def test_anthropics_sdk_sends_its_key_in_the_header(gateway, recorder):
    recorder.answers.append(calling_a_tool(False, messages=True))
    client = anthropic.Anthropic(
        base_url=gateway.url, api_key=KEY, auth_token=None, max_retries=0, timeout=TIMEOUT
    )
    assert client.messages.create(**MESSAGE).content
    [received] = recorder.received
    assert received.values("x-api-key") == []
    assert KEY not in str(received)


@pytest.mark.parametrize("key", [new_key(), DISABLED, EXPIRED], ids=["unknown", "off", "expired"])
@pytest.mark.parametrize("place", [as_token, as_header])
def test_key_that_is_not_valid_is_rejected(place, key, gateway, recorder, is_refusal):
    with pytest.raises(openai.AuthenticationError) as caught:
        ask(gateway, place(key))
    is_refusal(caught.value, gateway, 401, "invalid-api-key")
    assert key not in str(caught.value) and recorder.received == []


def test_a_token_is_accepted_beside_keys_but_not_with_one(gateway, issuer, recorder):
    token = as_token(issuer.token())
    assert ask(gateway, token).choices
    recorder.clear()
    with pytest.raises(openai.BadRequestError) as caught:
        ask(gateway, token | {"x-api-key": KEY})
    assert caught.value.response.json()["type"].endswith(":invalid-request")
    with pytest.raises(openai.AuthenticationError):
        ask(gateway, as_token(issuer.forged()))
    assert recorder.received == []


def test_keys_are_rotated_while_the_gateway_runs(work, front, recorder):
    old, new = new_key(), new_key()
    entry = {"id": "batch", "tenant": "research"}
    keys = Keys(work / "rotated-keys.json", entry | {"key": old})
    flags = ["--api-keys", keys.file]
    with front("guarded-by-rotated-keys", recorder.url, TOKEN, *flags) as gateway:
        assert accepts(gateway, old) and not accepts(gateway, new)
        # Both keys are valid during the rotation.
        keys.write(entry | {"key": old, "expires": days(1)}, entry | {"key": new})
        assert wait_for("the new key", lambda: accepts(gateway, new))
        assert accepts(gateway, old)
        # The last valid file counts while the current one is not valid.
        keys.write_text('[{"id": "batch", "key": "')
        assert wait_for("a warning about the file", lambda: warnings(gateway, keys.file))
        assert accepts(gateway, old) and accepts(gateway, new)
        keys.write(entry | {"key": new})
        assert wait_for("the end of the old key", lambda: not accepts(gateway, old))
        assert accepts(gateway, new)
    assert old not in gateway.output.read_text() and new not in gateway.output.read_text()


def accepts(gateway, key) -> bool:
    try:
        return bool(ask(gateway, as_token(key)).choices)
    except openai.AuthenticationError:
        return False


def warnings(gateway, file) -> list[str]:
    """The lines about the file, which the gateway reads again for a request."""
    httpx.get(f"{gateway.url}/v1/models", headers={"x-api-key": "unknown"}, timeout=TIMEOUT)
    said = gateway.output.read_text().splitlines()
    return [line for line in said if file.name in line]
