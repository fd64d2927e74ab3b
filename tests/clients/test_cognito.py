"""Cognito, served by moto: access and id tokens of a user of a pool."""

import openai
import pytest

import tokens
from aws import REGION
from clients import ASKED, openai_client
from recorder import TOKEN

# The only scope of tokens for a password.
SCOPE = "aws.cognito.signin.user.admin"
PASSWORD = "Inv3nted-Pass-w0rd!"


class Pool:
    """A user pool with a user in a group."""

    def __init__(self, moto):
        self._cognito = moto.client("cognito-idp")
        self.id = self._cognito.create_user_pool(PoolName="callers")["UserPool"]["Id"]
        # moto names the issuer as AWS does and serves the keys at its own address.
        self.issuer = f"https://cognito-idp.{REGION}.amazonaws.com/{self.id}"
        self.jwks = f"{moto.url}/{self.id}/.well-known/jwks.json"
        user = {"UserPoolId": self.id, "Username": "caller"}
        self._cognito.admin_create_user(**user, MessageAction="SUPPRESS")
        self._cognito.admin_set_user_password(**user, Password=PASSWORD, Permanent=True)
        self._cognito.create_group(UserPoolId=self.id, GroupName="scientists")
        self._cognito.admin_add_user_to_group(**user, GroupName="scientists")

    def app_client(self) -> str:
        created = self._cognito.create_user_pool_client(
            UserPoolId=self.id,
            ClientName="an-app",
            ExplicitAuthFlows=["ALLOW_ADMIN_USER_PASSWORD_AUTH"],
        )
        return created["UserPoolClient"]["ClientId"]

    def sign_in(self, client: str) -> dict:
        return self._cognito.admin_initiate_auth(
            UserPoolId=self.id,
            ClientId=client,
            AuthFlow="ADMIN_USER_PASSWORD_AUTH",
            AuthParameters={"USERNAME": "caller", "PASSWORD": PASSWORD},
        )["AuthenticationResult"]


@pytest.fixture(scope="module")
def pool(moto):
    return Pool(moto)


@pytest.fixture(scope="module")
def app(pool):
    return pool.app_client()


@pytest.fixture(scope="module")
def signed_in(pool, app):
    return pool.sign_in(app)


@pytest.fixture(scope="module")
def gateway(front, pool, app, signed_in, recorders_gateway):
    recorder, _ = recorders_gateway
    flags = ["--issuer", pool.issuer, "--preset", "cognito", "--jwks", pool.jwks]
    flags += ["--audience", app, "--scope", SCOPE]
    with front("guarded-by-cognito", recorder.url, TOKEN, *flags) as gateway:
        gateway.token = signed_in["AccessToken"]
        yield gateway


def test_access_token_is_accepted(gateway, recorder):
    claims = tokens.part(gateway.token, 1)
    assert "aud" not in claims and claims["token_use"] == "access"
    chat = openai_client(gateway).chat.completions.create(**ASKED)
    assert gateway.record(chat._request_id)["status"] == 200
    [received] = recorder.received
    assert received.values("authorization") == [f"Bearer {TOKEN}"]


def test_id_token_is_rejected(gateway, signed_in, recorder, is_refusal):
    token = signed_in["IdToken"]
    assert tokens.part(token, 1)["token_use"] == "id"
    is_rejected(gateway, token, recorder, is_refusal)


def test_access_token_of_another_app_is_rejected(gateway, pool, recorder, is_refusal):
    token = pool.sign_in(pool.app_client())["AccessToken"]
    is_rejected(gateway, token, recorder, is_refusal)


def test_access_token_of_another_pool_is_rejected(gateway, moto, recorder, is_refusal):
    """moto has one key for all pools, so only the issuer differs."""
    another = Pool(moto)
    token = another.sign_in(another.app_client())["AccessToken"]
    is_rejected(gateway, token, recorder, is_refusal)


def test_tampered_access_token_is_rejected(gateway, app, signed_in, recorder, is_refusal):
    access, identity = signed_in["AccessToken"], signed_in["IdToken"]
    tampered = [
        tokens.with_claims(access, **{"cognito:groups": ["administrators"]}),
        tokens.with_claims(access, client_id="another-app"),
        tokens.with_claims(identity, token_use="access", client_id=app, scope=SCOPE),
        tokens.with_header(access, alg="none"),
        tokens.with_bent_signature(access),
    ]
    for token in tampered:
        is_rejected(gateway, token, recorder, is_refusal)


def is_rejected(gateway, token, recorder, is_refusal):
    with pytest.raises(openai.AuthenticationError) as caught:
        openai_client(gateway, token).chat.completions.create(**ASKED)
    is_refusal(caught.value, gateway, 401, "invalid-token")
    assert recorder.received == []
