"""AWS identities: boto3 presigns `GetCallerIdentity`, and STS confirms the caller."""

import openai
import pytest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from clients import ASKED, openai_client
from recorder import TOKEN
from signers import in_minutes
from sts import HEADER, HOST, URL, Sts, presigned, presigned_by_boto3, token

SERVER = "gateway.example"
ID = {HEADER: SERVER}
ACCOUNT = "123456789012"
ANOTHER_ACCOUNT = "111122223333"


@pytest.fixture(scope="module")
def user(moto):
    return moto.administrator


@pytest.fixture(scope="module")
def role(moto):
    return moto.role("batch")


@pytest.fixture(scope="module")
def stranger(moto):
    """A role of an account that the gateway does not know."""
    return moto.assume(f"arn:aws:iam::{ANOTHER_ACCOUNT}:role/batch")


@pytest.fixture(scope="module")
def aws_sts(moto, user, role, stranger):
    with Sts(moto) as sts:
        sts.known = [user, role, stranger]
        yield sts


@pytest.fixture
def sts(aws_sts):
    aws_sts.clear()
    return aws_sts


@pytest.fixture(scope="module")
def gateway(front, aws_sts, user, recorders_gateway):
    recorder, _ = recorders_gateway
    flags = ["--sts-server-id", SERVER, "--sts-accounts", f"{ACCOUNT},222233334444"]
    flags += ["--sts-endpoint", aws_sts.url]
    with front("guarded-by-sts", recorder.url, TOKEN, *flags) as gateway:
        gateway.token = token(presigned(user, ID))
        yield gateway


def ask(gateway, url):
    return openai_client(gateway, token(url)).chat.completions.create(**ASKED)


@pytest.mark.parametrize("caller", ["user", "role"])
def test_caller_is_confirmed_by_sts_once(caller, request, gateway, sts, recorder):
    credentials = request.getfixturevalue(caller)
    url = presigned_by_boto3(credentials, SERVER)
    for _ in range(3):
        record = gateway.record(ask(gateway, url)._request_id)
        assert (record["status"], record["tenant"]) == (200, ACCOUNT)
    assert [it.values("authorization") for it in recorder.received] == [[f"Bearer {TOKEN}"]] * 3
    [received] = sts.received
    assert received.method == "GET" and received.body == b""
    assert received.values("host") == [HOST]
    assert received.values(HEADER) == [SERVER]
    assert received.values("accept") == ["application/json"]
    # STS sees no header of the caller's request.
    names = {name.lower() for name, _ in received.fields}
    assert not names & {"authorization", "cookie", "x-request-id", "content-type"}


def test_moto_checks_signatures(moto, user):
    forger = Credentials(user.access_key, "another-secret")
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        moto.client("sts", forger).get_caller_identity()


def test_caller_of_another_account_is_rejected(stranger, gateway, sts, recorder, is_refusal):
    with pytest.raises(openai.PermissionDeniedError) as caught:
        ask(gateway, presigned_by_boto3(stranger, SERVER))
    is_refusal(caught.value, gateway, 403, "forbidden")
    assert ANOTHER_ACCOUNT not in caught.value.response.text
    assert len(sts.received) == 1 and recorder.received == []


def is_rejected(gateway, url, recorder, is_refusal, slug="invalid-token"):
    with pytest.raises(openai.AuthenticationError) as caught:
        ask(gateway, url)
    is_refusal(caught.value, gateway, 401, slug)
    assert recorder.received == []


def test_token_that_sts_does_not_confirm_is_rejected(
    user, role, gateway, sts, recorder, is_refusal
):
    url = presigned(user, ID)
    refused = [
        # Tokens for another server. The gateway sends its own id, so their signatures are wrong.
        presigned(user, {HEADER: "another.example"}),
        presigned_by_boto3(role, "another.example"),
        url[:-1] + ("1" if url.endswith("0") else "0"),
        url.replace(user.access_key, role.access_key),
        url.replace("X-Amz-Expires=900", "X-Amz-Expires=899"),
    ]
    for number, it in enumerate(refused, start=1):
        is_rejected(gateway, it, recorder, is_refusal)
        assert len(sts.received) == number, it


def test_expired_token_is_rejected_without_a_call(user, gateway, sts, recorder, is_refusal):
    old = presigned(user, ID, at=in_minutes(-16))
    is_rejected(gateway, old, recorder, is_refusal, slug="expired-token")
    is_rejected(gateway, presigned(user, ID, at=in_minutes(6)), recorder, is_refusal)
    assert sts.received == []


def other_addresses(sts) -> list[str]:
    """URLs that are not the one of STS."""
    places = [
        "https://sts.evil.example/",
        f"https://{HOST}.evil.example/",
        f"https://evil.example/{HOST}/",
        f"https://{HOST}@evil.example/",
        f"https://evil.example#{HOST}/",
        f"https://{HOST}%2eevil.example/",
        f"https://{HOST}:8443/",
        f"https://{HOST}/another/",
        f"http://{HOST}/",
        "https://iam.amazonaws.com/",
        "https://169.254.169.254/",
        f"{sts.url}/",
        f"{sts.url.replace('http', 'https')}/",
    ]
    query = URL.partition("?")[2]
    return [f"{place}?{query}" for place in places]


def test_token_of_another_request_is_rejected_without_a_call(
    user, gateway, sts, recorder, is_refusal
):
    another = URL.replace("GetCallerIdentity", "GetSessionToken")
    refused = [presigned(user, ID, url=it) for it in other_addresses(sts)]
    refused += [
        presigned(user, ID, url=another),
        # CVE-2022-2385: one parameter in two spellings.
        presigned(user, ID, url=f"{URL}&action=GetSessionToken"),
        presigned(user, ID, url=f"{URL}&Tags.member.1.Key=a"),
        presigned(user, ID) + "&X-Amz-Signature=00",
        presigned(user, ID, region="us-east-1"),
        presigned(user, ID, service="iam"),
        # The server id is not signed, or another header is.
        presigned(user, {}),
        presigned(user, ID | {"x-another": "1"}),
    ]
    for url in refused:
        is_rejected(gateway, url, recorder, is_refusal)
    assert sts.received == []
