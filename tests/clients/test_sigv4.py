"""AWS Signature Version 4 as boto3, requests-aws4auth and curl make it."""

import dataclasses
import json
import re

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from clients import ASKED
from recorder import TOKEN, Received
from signers import (
    CLIENTS,
    REGION,
    Client,
    Signing,
    botocore_presigned,
    curl,
    in_minutes,
    with_botocore,
)
from tampering_proxy import TamperingProxy

LASTING = Credentials("AKIALASTING", "the-secret-of-a-service")
SESSION = Credentials("ASIASESSION", "the-secret-of-a-session", "the/token+of=a-session==")
KEYS = [LASTING, SESSION]
CHAT = "/v1/chat/completions?a=1&b=%20x"
BODY = json.dumps(ASKED).encode()
LONG = [{"role": "user", "content": "all work and no play " * 10_000}]
BODIES = {"short": BODY, "long": json.dumps(ASKED | {"messages": LONG}).encode()}


@pytest.fixture(scope="module")
def gateway(work, front, recorders_gateway):
    recorder, _ = recorders_gateway
    file = work / "iam-credentials.json"
    file.touch(mode=0o600)
    entries = [
        {
            "access_key_id": it.access_key,
            "secret_access_key": it.secret_key,
            "session_token": it.token,
            "tenant": f"tenant-of-{it.access_key}",
        }
        for it in KEYS
    ]
    file.write_text(json.dumps(entries))
    flags = ["--iam-credentials", file, "--iam-region", REGION]
    with front("guarded-by-signatures", recorder.url, TOKEN, *flags) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def running_proxy(gateway):
    with TamperingProxy() as proxy:
        proxy.gateway = gateway
        yield proxy


@pytest.fixture
def proxy(running_proxy):
    running_proxy.clear()
    return running_proxy


def rejected(result, recorder) -> bool:
    problem = json.loads(result.body)
    assert recorder.received == [], problem
    for key in KEYS:
        assert key.secret_key not in str(problem) and str(key.token) not in str(problem)
    return result.status == 401 and problem["type"].endswith(":invalid-signature")


# === accepted ===


@pytest.mark.parametrize("key", KEYS, ids=["lasting", "session"])
@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("client", CLIENTS)
def test_signed_request_is_accepted(client: Client, body, key, gateway, recorder):
    assert len(BODIES["long"]) > 200_000
    result = client(gateway.url + CHAT, BODIES[body], Signing(key))
    assert result.status == 200, result.body
    [received] = recorder.received
    assert received.body == BODIES[body]
    # The upstream sees no signature, in a header or in the query.
    assert received.values("authorization") == [f"Bearer {TOKEN}"]
    assert received.path == CHAT
    assert [name for name, _ in received.fields if name.lower().startswith("x-amz-")] == []
    record = gateway.record(result.request_id)
    assert (record["status"], record["tenant"]) == (200, f"tenant-of-{key.access_key}")


@pytest.mark.parametrize("client", [it for it in CLIENTS if it is not curl])
def test_parameters_are_accepted_in_any_order(client: Client, gateway, recorder):
    """The signature is of the sorted parameters. curl before 8.2 does not sort them."""
    path = "/v1/chat/completions?b=%20x&a=1&empty="
    result = client(gateway.url + path, BODY, Signing(LASTING))
    assert result.status == 200, result.body
    assert recorder.received[0].path == path


def test_get_request_presigned_by_botocore_is_accepted(gateway, recorder):
    signing = Signing(SESSION)
    auth = botocore.auth.SigV4QueryAuth(SESSION, signing.service, signing.region, expires=60)
    result = with_botocore(auth, AWSRequest("GET", f"{gateway.url}/v1/models"), signing)
    assert result.status == 200, result.body
    assert len(recorder.received) == 1


# A form with a sound. The gateway does not hold such a body as a whole.
SPEECH = "/v1/audio/transcriptions"
FORM = Signing(LASTING, content_type="multipart/form-data; boundary=x")
SOUND = (
    b'--x\r\ncontent-disposition: form-data; name="model"\r\n\r\nwhisper\r\n'
    b'--x\r\ncontent-disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
    + bytes(range(256)) * 1_000
    + b"\r\n--x--\r\n"
)


@pytest.mark.parametrize("client", CLIENTS)
def test_streamed_body_is_accepted_and_no_tampered_one_arrives(client: Client, proxy, recorder):
    result = client(proxy.url + SPEECH, SOUND, FORM)
    assert result.status == 200, result.body
    assert [it.body for it in recorder.received] == [SOUND]
    recorder.clear()
    proxy.tamper = another_sound
    result = client(proxy.url + SPEECH, SOUND, FORM)
    # 401 if the gateway has hashed the body first, 502 if the request upstream was aborted.
    assert result.status in (401, 502), result.body
    assert recorder.received == []


def another_sound(it: Received):
    it.body = it.body[:-100] + b"!" + it.body[-99:]


# === tampered on the way ===


def another_body(it: Received):
    it.body = it.body.replace(b"rainbow", b"RAINBOW")


def another_path(it: Received):
    it.path = it.path.replace("/v1/chat/completions", "/v1/completions")


def another_value_in_the_query(it: Received):
    it.path = it.path.replace("a=1", "a=2")


def another_parameter(it: Received):
    it.path += "&d=4"


def another_host(it: Received):
    replace(it, "host", "another.example")


def another_content_type(it: Received):
    replace(it, "content-type", "text/plain")


def another_access_key(it: Received):
    one, other = (key.access_key for key in KEYS)
    it.path = it.path.replace(one, other)
    it.fields = [(name, value.replace(one, other)) for name, value in it.fields]


def another_signature(it: Received):
    def bent(text: str) -> str:
        digit = r"(?<=Signature=)[0-9a-f]"
        return re.sub(digit, lambda found: "1" if found[0] == "0" else "0", text)

    it.path = bent(it.path)
    it.fields = [(name, bent(value)) for name, value in it.fields]


def unsigned_payload(it: Received):
    """Pretends that the client signed no body."""
    name = "x-amz-content-sha256"
    kept = [(had, value) for had, value in it.fields if had.lower() != name]
    it.fields = [*kept, (name, "UNSIGNED-PAYLOAD")]


def replace(it: Received, name: str, value: str):
    it.fields = [(had, value if had.lower() == name else was) for had, was in it.fields]


TAMPERINGS = [
    another_body,
    another_path,
    another_value_in_the_query,
    another_parameter,
    another_host,
    another_content_type,
    another_access_key,
    another_signature,
    unsigned_payload,
]


@pytest.mark.parametrize("tampering", TAMPERINGS)
@pytest.mark.parametrize("client", CLIENTS)
def test_tampered_request_is_rejected(client: Client, tampering, proxy, recorder):
    # The proxy alone does no harm.
    assert client(proxy.url + CHAT, BODY, Signing(LASTING)).status == 200
    recorder.clear()
    proxy.tamper = tampering
    assert rejected(client(proxy.url + CHAT, BODY, Signing(LASTING)), recorder)


# === signed for something else ===


OTHERS = {
    "region": {"region": "us-east-1"},
    "service": {"service": "s3"},
    "access key": {"credentials": Credentials("AKIAUNKNOWN", LASTING.secret_key)},
    "secret": {"credentials": Credentials(LASTING.access_key, "another-secret")},
    "token": {"credentials": Credentials(SESSION.access_key, SESSION.secret_key, "another")},
    "no token": {"credentials": Credentials(SESSION.access_key, SESSION.secret_key)},
}


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("client", CLIENTS)
def test_signature_for_something_else_is_rejected(client: Client, other, gateway, recorder):
    signing = dataclasses.replace(Signing(LASTING), **OTHERS[other])
    assert rejected(client(gateway.url + CHAT, BODY, signing), recorder)


@pytest.mark.parametrize("client", [it for it in CLIENTS if it is not curl])
def test_date_beyond_five_minutes_is_rejected(client: Client, gateway, recorder):
    for count in -6, 6:
        signing = Signing(LASTING, at=in_minutes(count))
        assert rejected(client(gateway.url + CHAT, BODY, signing), recorder), count
    for count in -4, 4:
        # A presigned URL that was made 4 minutes ago for 60 s has expired.
        if not (client is botocore_presigned and count < 0):
            signing = Signing(LASTING, at=in_minutes(count))
            assert client(gateway.url + CHAT, BODY, signing).status == 200, count
            recorder.clear()


def test_presigned_url_expires_and_lasts_15_minutes_at_most(gateway, recorder):
    def ask(made: int, expires: int):
        signing = Signing(LASTING, at=in_minutes(made))
        return botocore_presigned(gateway.url + CHAT, BODY, signing, expires=expires * 60)

    assert ask(made=-10, expires=15).status == 200
    recorder.clear()
    assert rejected(ask(made=-10, expires=2), recorder)
    assert rejected(ask(made=0, expires=60), recorder)
