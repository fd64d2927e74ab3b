"""moto: a server with the APIs of AWS, and clients of boto3 for it."""

import json
import pathlib
import sys

import boto3
import botocore.config
from botocore.credentials import Credentials

from clients import TIMEOUT
from servers import Server

REGION = "eu-west-1"
EVERYTHING = {"Effect": "Allow", "Action": "*", "Resource": "*"}


def document(statement: dict) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def client(service: str, endpoint: str, credentials: Credentials):
    """A client of boto3 with the given credentials alone and without retries."""
    return boto3.session.Session().client(
        service,
        region_name=REGION,
        endpoint_url=endpoint,
        aws_access_key_id=credentials.access_key,
        aws_secret_access_key=credentials.secret_key,
        aws_session_token=credentials.token,
        config=botocore.config.Config(
            connect_timeout=TIMEOUT,
            read_timeout=TIMEOUT,
            retries={"total_max_attempts": 1},
        ),
    )


class Moto(Server):
    """Serves Cognito, IAM and STS. It checks the signature of each request after the three that
    create an administrator."""

    def __init__(self, work: pathlib.Path):
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
        super().__init__(command, work / "moto.out", {"INITIAL_NO_AUTH_ACTION_COUNT": "3"})

    def __enter__(self):
        self.url = self.said(r"Running on (http://\S+)$")
        iam = client("iam", self.url, Credentials("AKIAINVENTED", "invented"))
        iam.create_user(UserName="administrator")
        allowed = {"UserName": "administrator", "PolicyName": "everything"}
        iam.put_user_policy(**allowed, PolicyDocument=document(EVERYTHING))
        key = iam.create_access_key(UserName="administrator")["AccessKey"]
        self.administrator = Credentials(key["AccessKeyId"], key["SecretAccessKey"])
        return self

    def client(self, service: str, credentials: Credentials | None = None):
        return client(service, self.url, credentials or self.administrator)

    def role(self, name: str) -> Credentials:
        """Credentials of a session of a new role."""
        anyone = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": "*"}}
        role = self.client("iam").create_role(
            RoleName=name, AssumeRolePolicyDocument=document(anyone)
        )["Role"]
        return self.assume(role["Arn"])

    def assume(self, arn: str) -> Credentials:
        session = self.client("sts").assume_role(RoleArn=arn, RoleSessionName="a-session")
        key = session["Credentials"]
        return Credentials(key["AccessKeyId"], key["SecretAccessKey"], key["SessionToken"])
