"""Clients that sign chat completions with AWS Signature Version 4."""

import contextlib
import dataclasses
import datetime
import hashlib
import json
import subprocess
import tempfile
import unittest.mock
from collections.abc import Callable

import botocore.auth
import botocore.httpsession
import requests
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from requests_aws4auth import AWS4Auth

from aws import REGION
from clients import TIMEOUT

SERVICE = "execute-api"


def in_minutes(count: int) -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=count)


def botocore_clock(at: datetime.datetime | None):
    """A context in which botocore takes `at` for the current time."""
    if not at:
        return contextlib.nullcontext()
    return unittest.mock.patch("botocore.auth.get_current_datetime", return_value=at)


@dataclasses.dataclass
class Result:
    status: int
    body: bytes
    request_id: str


@dataclasses.dataclass
class Signing:
    """The settings of a signature. `at` is the time, the current one by default."""

    credentials: Credentials
    region: str = REGION
    service: str = SERVICE
    at: datetime.datetime | None = None
    content_type: str = "application/json"

    @property
    def fields(self) -> dict[str, str]:
        return {"content-type": self.content_type}


class QueryAuth(botocore.auth.SigV4QueryAuth):
    """Presigns a request with a body, which botocore would move into the query."""

    def add_auth(self, request: AWSRequest):
        self._body, request.data = request.data, b""
        super().add_auth(request)
        request.data = self._body

    def payload(self, request: AWSRequest) -> str:
        return hashlib.sha256(self._body).hexdigest()


def with_botocore(auth, request: AWSRequest, signing: Signing) -> Result:
    """Signs with a class of botocore and sends with the HTTP client of boto3."""
    with botocore_clock(signing.at):
        auth.add_auth(request)
    response = botocore.httpsession.URLLib3Session(timeout=TIMEOUT).send(request.prepare())
    return Result(response.status_code, response.content, response.headers["x-request-id"])


def botocore_header(url: str, body: bytes, signing: Signing) -> Result:
    auth = botocore.auth.SigV4Auth(signing.credentials, signing.service, signing.region)
    return with_botocore(auth, AWSRequest("POST", url, signing.fields, body), signing)


def botocore_hashed(url: str, body: bytes, signing: Signing) -> Result:
    """Sends and signs `x-amz-content-sha256`, which botocore does for S3 alone."""
    fields = signing.fields | {"x-amz-content-sha256": hashlib.sha256(body).hexdigest()}
    auth = botocore.auth.SigV4Auth(signing.credentials, signing.service, signing.region)
    return with_botocore(auth, AWSRequest("POST", url, fields, body), signing)


def botocore_presigned(url: str, body: bytes, signing: Signing, expires: int = 60) -> Result:
    auth = QueryAuth(signing.credentials, signing.service, signing.region, expires)
    return with_botocore(auth, AWSRequest("POST", url, signing.fields, body), signing)


def aws4auth(url: str, body: bytes, signing: Signing, **settings) -> Result:
    credentials = signing.credentials
    auth = AWS4Auth(
        credentials.access_key,
        credentials.secret_key,
        signing.region,
        signing.service,
        session_token=credentials.token,
        **settings,
    )
    fields = signing.fields
    if signing.at:
        fields["x-amz-date"] = f"{signing.at:%Y%m%dT%H%M%SZ}"
    response = requests.post(url, data=body, headers=fields, auth=auth, timeout=TIMEOUT)
    return Result(response.status_code, response.content, response.headers["x-request-id"])


def aws4auth_few(url: str, body: bytes, signing: Signing) -> Result:
    """Sends `x-amz-content-sha256` without signing the header."""
    few = {"host", "content-type", "x-amz-date"}
    return aws4auth(url, body, signing, include_hdrs=few)


def curl(url: str, body: bytes, signing: Signing) -> Result:
    credentials = signing.credentials
    settings = {
        "url": url,
        "aws-sigv4": f"aws:amz:{signing.region}:{signing.service}",
        "user": f"{credentials.access_key}:{credentials.secret_key}",
        "write-out": "\n%{http_code} %header{x-request-id}",
        "max-time": TIMEOUT,
    }
    fields = signing.fields
    if credentials.token:
        fields["x-amz-security-token"] = credentials.token
    # curl 7.88 sends a date that it is given twice.
    assert not signing.at
    lines = [f"{name} = {json.dumps(str(value))}" for name, value in settings.items()]
    lines += [f'header = "{name}: {value}"' for name, value in fields.items()]
    command = ["curl", "--disable", "--silent", "--show-error", "--config", "-"]
    with tempfile.NamedTemporaryFile() as file:
        file.write(body)
        file.flush()
        done = subprocess.run(
            [*command, "--data-binary", f"@{file.name}"],
            input="\n".join(lines).encode(),
            capture_output=True,
            timeout=TIMEOUT,
        )
    assert done.returncode == 0, done.stderr
    answered, _, told = done.stdout.rpartition(b"\n")
    status, request_id = told.decode().split(" ")
    return Result(int(status), answered, request_id)


Client = Callable[[str, bytes, Signing], Result]
CLIENTS: list[Client] = [
    botocore_header,
    botocore_hashed,
    botocore_presigned,
    aws4auth,
    aws4auth_few,
    curl,
]
