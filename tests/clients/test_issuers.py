"""Two issuers at one gateway, each with its own keys, audience, scope and leeway."""

import time

import openai
import pytest

from clients import ASKED, openai_client
from issuer import Issuer
from recorder import TOKEN

# Claims of the second issuer that differ from those of the first.
SECOND = {"iss": "https://second.example", "aud": "second", "scope": None}


@pytest.fixture(scope="module")
def second(work):
    return Issuer(work / "second-jwks.json")


@pytest.fixture(scope="module")
def gateway(front, issuer, second, recorders_gateway):
    recorder, _ = recorders_gateway
    flags = ["--issuer", issuer.URL, "--jwks", issuer.jwks]
    flags += ["--audience", issuer.AUDIENCE, "--scope", issuer.SCOPE]
    flags += ["--issuer", SECOND["iss"], "--jwks", second.jwks]
    flags += ["--audience", SECOND["aud"], "--leeway", "4m"]
    with front("guarded-by-two-issuers", recorder.url, TOKEN, *flags) as gateway:
        gateway.token = issuer.token()
        yield gateway


def ask(gateway, token):
    return openai_client(gateway, token).chat.completions.create(**ASKED)


def test_tokens_of_both_issuers_are_accepted(gateway, issuer, second, recorder):
    for token in issuer.token(), second.token(**SECOND):
        assert gateway.record(ask(gateway, token)._request_id)["status"] == 200
    assert len(recorder.received) == 2


def test_key_audience_and_scope_of_one_issuer_do_not_count_for_the_other(
    gateway, issuer, second, recorder, is_refusal
):
    swapped = [
        issuer.token(**SECOND),
        issuer.token(aud=SECOND["aud"]),
        second.token(),
        second.token(**SECOND | {"aud": issuer.AUDIENCE}),
        second.token(**SECOND | {"iss": "https://third.example"}),
    ]
    for token in swapped:
        with pytest.raises(openai.AuthenticationError) as caught:
            ask(gateway, token)
        is_refusal(caught.value, gateway, 401, "invalid-token")
    with pytest.raises(openai.PermissionDeniedError) as caught:
        ask(gateway, issuer.token(scope=None))
    is_refusal(caught.value, gateway, 403, "insufficient-scope")
    assert recorder.received == []


def test_each_issuer_has_its_leeway(gateway, issuer, second, recorder, is_refusal):
    now = int(time.time())
    late, early = {"exp": now - 120}, {"nbf": now + 120}
    for claims, slug in (late, "expired-token"), (early, "invalid-token"):
        with pytest.raises(openai.AuthenticationError) as caught:
            ask(gateway, issuer.token(**claims))
        is_refusal(caught.value, gateway, 401, slug)
        assert recorder.received == []
        assert ask(gateway, second.token(**SECOND | claims)).choices
        recorder.clear()
