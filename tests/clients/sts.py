"""AWS STS for the tests, and the tokens of its callers.

moto checks signatures in headers alone. The server here checks the one in the query with botocore
and gets the identity from moto."""

import base64
import datetime
import hmac
from urllib.parse import parse_qs, urlsplit

from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

import aws
from recorder import Answer, Received, Recorder, answer
from signers import botocore_clock

HEADER = "x-inference-server-id"
HOST = f"sts.{aws.REGION}.amazonaws.com"
URL = f"https://{HOST}/?Action=GetCallerIdentity&Version=2011-06-15"


def presigned(
    credentials: Credentials,
    headers: dict[str, str],
    url: str = URL,
    at: datetime.datetime | None = None,
    region: str = aws.REGION,
    service: str = "sts",
) -> str:
    """A URL that botocore has signed for 15 minutes from `at` or now."""
    request = AWSRequest("GET", url, headers)
    with botocore_clock(at):
        SigV4QueryAuth(credentials, service, region, expires=15 * 60).add_auth(request)
    return request.url


def presigned_by_boto3(credentials: Credentials, server_id: str) -> str:
    """A URL that a client of boto3 has signed, as `aws eks get-token` does."""
    sts = aws.client("sts", None, credentials)
    sts.meta.events.register(
        "before-sign.sts.GetCallerIdentity",
        lambda request, **_: request.headers.add_header(HEADER, server_id),
    )
    return sts.generate_presigned_url("get_caller_identity", ExpiresIn=15 * 60, HttpMethod="GET")


def token(url: str) -> str:
    return "aws-sts-v1." + base64.urlsafe_b64encode(url.encode()).rstrip(b"=").decode()


class Sts(Recorder):
    """Confirms callers with one of the `known` credentials."""

    def __init__(self, moto: aws.Moto):
        super().__init__()
        self._moto = moto
        self.known: list[Credentials] = []

    def respond(self, received: Received) -> Answer:
        pairs = parse_qs(urlsplit(received.path).query, strict_parsing=True)
        query = {name: value for name, [value] in pairs.items()}
        key_id, _, region, *_ = query["X-Amz-Credential"].split("/")
        for credentials in self.known:
            if credentials.access_key == key_id and self._is_signed(
                received, query, credentials, region
            ):
                return self._identity(credentials)
        error = {"Code": "SignatureDoesNotMatch", "Message": "another signature", "Type": "Sender"}
        return answer({"Error": error, "RequestId": "1"}, 403)

    def _is_signed(self, it: Received, query: dict, credentials: Credentials, region: str) -> bool:
        """Whether the signature is of this request."""
        at = datetime.datetime.strptime(query["X-Amz-Date"], "%Y%m%dT%H%M%S%z")
        age = datetime.datetime.now(datetime.timezone.utc) - at
        [host] = it.values("host")
        path, _, signature = it.path.rpartition("&X-Amz-Signature=")
        names = query["X-Amz-SignedHeaders"].split(";")
        signed = {name: ",".join(it.values(name)) for name in names}
        request = AWSRequest(it.method, f"https://{host}{path}", signed, it.body)
        request.context["timestamp"] = query["X-Amz-Date"]
        auth = SigV4QueryAuth(credentials, "sts", region)
        text = auth.string_to_sign(request, auth.canonical_request(request))
        return (
            age.total_seconds() <= int(query["X-Amz-Expires"])
            and query.get("X-Amz-Security-Token") == credentials.token
            and hmac.compare_digest(auth.signature(text, request), signature)
        )

    def _identity(self, credentials: Credentials) -> Answer:
        caller = self._moto.client("sts", credentials).get_caller_identity()
        result = {name: caller[name] for name in ("Account", "Arn", "UserId")}
        response = {"GetCallerIdentityResult": result, "ResponseMetadata": {"RequestId": "1"}}
        return answer({"GetCallerIdentityResponse": response})
