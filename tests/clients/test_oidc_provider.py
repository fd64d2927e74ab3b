"""A certified OpenID provider: JWT access tokens, algorithms and the rotation of keys."""

import openai
import pytest

import tokens
from clients import ASKED, openai_client
from provider import AUDIENCE, Provider, private_key
from recorder import TOKEN
from servers import Gateway, wait_for

ALGORITHMS = ["RS256", "PS256", "ES256", "EdDSA", "Ed25519"]


@pytest.fixture(scope="module")
def trusting(front):
    """Makes a gateway that finds the keys of a provider by discovery."""

    def make(name: str, provider: Provider, upstream: str) -> Gateway:
        known = ["--issuer", provider.url, "--audience", AUDIENCE, "--scope", "infer"]
        gateway = front(name, upstream, TOKEN, *known, "--jwks-cooldown", "1s")
        gateway.token = provider.token("ES256")
        return gateway

    return make


@pytest.fixture(scope="module")
def provider(work):
    # `Ed25519` and `EdDSA` have one key.
    keys = [private_key(it, f"key-{it}") for it in ALGORITHMS[:-1]]
    with Provider(work, "provider", keys) as provider:
        yield provider


@pytest.fixture(scope="module")
def guarded(trusting, provider, recorders_gateway):
    recorder, _ = recorders_gateway
    with trusting("guarded-by-provider", provider, recorder.url) as gateway:
        yield gateway


def ask(gateway, token):
    return openai_client(gateway, token).chat.completions.create(**ASKED)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_token_is_accepted(algorithm, provider, guarded, recorder):
    token = provider.token(algorithm)
    assert tokens.part(token, 0)["alg"] == algorithm
    record = guarded.record(ask(guarded, token)._request_id)
    assert (record["status"], record["tenant"]) == (200, "tenant-1")
    [received] = recorder.received
    assert received.values("authorization") == [f"Bearer {TOKEN}"]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_tampered_token_is_rejected(algorithm, provider, guarded, recorder, is_refusal):
    # The gateway knows the token when the tampered ones arrive.
    token = provider.token(algorithm)
    ask(guarded, token)
    recorder.clear()
    other = "PS256" if algorithm == "RS256" else "RS256"
    tampered = [
        tokens.with_claims(token, tenant="tenant-2"),
        tokens.with_claims(token, exp=2**33),
        tokens.with_bent_signature(token),
        tokens.with_header(token, alg=other),
        tokens.with_header(token, kid=f"key-{other}"),
        tokens.with_header(token, alg="none"),
        tokens.with_header(token, alg="none").rpartition(".")[0] + ".",
    ]
    for it in tampered:
        with pytest.raises(openai.AuthenticationError) as caught:
            ask(guarded, it)
        is_refusal(caught.value, guarded, 401, "invalid-token")
    assert recorder.received == []


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_token_for_another_audience_is_rejected(algorithm, provider, guarded, recorder, is_refusal):
    with pytest.raises(openai.AuthenticationError) as caught:
        ask(guarded, provider.token(algorithm, audience="https://another.example"))
    is_refusal(caught.value, guarded, 401, "invalid-token")
    assert recorder.received == []


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_token_without_the_scope_is_rejected(algorithm, provider, guarded, recorder, is_refusal):
    with pytest.raises(openai.PermissionDeniedError) as caught:
        ask(guarded, provider.token(algorithm, scope=None))
    is_refusal(caught.value, guarded, 403, "insufficient-scope")
    assert caught.value.response.headers["www-authenticate"].count('scope="infer"') == 1
    assert recorder.received == []


def test_rotated_keys(work, trusting, recorder):
    """A key signs, is published beside its successor, and is removed."""
    first, second, third = (private_key("ES256", f"rotated-{it}") for it in range(3))
    with (
        Provider(work, "rotating", [first]) as provider,
        trusting("guarded-by-rotating", provider, recorder.url) as gateway,
    ):
        old = provider.token("ES256")
        assert accepted(gateway, old)

        provider.restart([second, first])
        newer = provider.token("ES256")
        # The gateway fetches no keys during the cool-down.
        assert wait_for("the second key", lambda: accepted(gateway, newer))
        assert accepted(gateway, old)

        provider.restart([third, second])
        newest = provider.token("ES256")
        assert wait_for("the third key", lambda: accepted(gateway, newest))
        # The set with the third key has no first one.
        assert not accepted(gateway, old)
        assert accepted(gateway, newer)


def accepted(gateway, token) -> bool:
    try:
        return bool(ask(gateway, token).choices)
    except openai.AuthenticationError:
        return False
