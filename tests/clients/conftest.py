"""What the tests share: the model, the gateways, and what makes a refusal one of ours."""

import json
import os
import pathlib
import secrets
import shutil
import socket
import subprocess
import sys

import pytest

from aws import Moto
from clients import TIMEOUT
from issuer import Issuer
from recorder import TOKEN, Recorder
from servers import HERE, Gateway, Model


@pytest.fixture(scope="session")
def work() -> pathlib.Path:
    return pathlib.Path(os.environ["CLIENTS_WORK"])


@pytest.fixture(scope="session")
def issuer(work):
    return Issuer(work / "jwks.json")


@pytest.fixture(scope="session")
def nowhere():
    """An address that refuses connections for as long as it is held: bound, never listening."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


@pytest.fixture(scope="session")
def front(work):
    """Makes a gateway in front of `upstream`, whose token it has."""

    def make(name: str, upstream: str, token: str, *flags) -> Gateway:
        real = ["--upstream", upstream, "--hf-token-env", "UPSTREAM_TOKEN"]
        return Gateway(work, name, *real, *flags, env={"UPSTREAM_TOKEN": token})

    return make


@pytest.fixture(scope="session")
def guard(front, issuer):
    """Makes a gateway in front of `upstream` that knows the issuer."""

    def make(name: str, upstream: str, token: str, *flags, jwks=issuer.jwks) -> Gateway:
        known = ["--issuer", issuer.URL, "--jwks", jwks]
        known += ["--audience", issuer.AUDIENCE, "--scope", issuer.SCOPE]
        gateway = front(name, upstream, token, *known, *flags)
        gateway.token = issuer.token()
        return gateway

    return make


@pytest.fixture(scope="session")
def moto(work):
    with Moto(work) as moto:
        yield moto


@pytest.fixture(scope="session")
def model(work):
    with Model(work, secrets.token_hex(16)) as model:
        yield model


@pytest.fixture(scope="session")
def javascript(work):
    """Makes one request with one of the SDKs, in a process of its own."""
    # Modules are found from the folder of the script that imports them.
    script = shutil.copy(HERE / "js" / "sdks.mjs", os.environ["CLIENTS_NODE_MODULES"])
    node = pathlib.Path(sys.executable).with_name("node")

    def send(sdk: str, server, token: str | None = None, stream=False, tools=False) -> dict:
        request = {"sdk": sdk, "url": server.url, "token": token or server.token}
        request |= {"stream": stream, "tools": tools}
        done = subprocess.run(
            [node, script], input=json.dumps(request), capture_output=True, text=True, timeout=TIMEOUT
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return send


@pytest.fixture(scope="session")
def guarded_model(guard, model):
    """The gateway in front of the model, with a small limit for bodies, and schemas for them."""
    strict = ["--max-body", "64KiB", "--schema", "builtin"]
    with guard("guarded-model", model.url, model.token, *strict) as gateway:
        yield gateway


@pytest.fixture(scope="session")
def recorders_gateway(guard):
    with Recorder() as recorder:
        strict = ["--schema", "builtin"]
        with guard("guarded-recorder", recorder.url, TOKEN, *strict) as gateway:
            yield recorder, gateway


@pytest.fixture
def recorder(recorders_gateway):
    recorder, _ = recorders_gateway
    recorder.clear()
    return recorder


@pytest.fixture
def guarded_recorder(recorders_gateway, recorder):
    _, gateway = recorders_gateway
    return gateway


@pytest.fixture(scope="session")
def guarded_nothing(guard, nowhere):
    """A gateway whose upstream is down."""
    with guard("guarded-nothing", nowhere, TOKEN) as gateway:
        yield gateway


@pytest.fixture(scope="session")
def keyless(guard, nowhere):
    """A gateway that cannot get its issuer's keys, and so can recognise nobody."""
    with guard("keyless", nowhere, TOKEN, jwks=f"{nowhere}/jwks") as gateway:
        yield gateway


@pytest.fixture(scope="session")
def demo(work):
    """The gateway as it comes, without a flag of its real parts."""
    with Gateway(work, "demo") as gateway:
        gateway.token = gateway.said(r"^TOKEN=(\S+)$")
        gateway.token_without_scope = gateway.said(r"^TOKEN_WITHOUT_SCOPE=(\S+)$")
        yield gateway


@pytest.fixture(scope="session")
def is_refusal():
    """Asserts that an SDK's exception is our refusal, and says so to whoever reads it."""

    def check(error: Exception, gateway: Gateway, status: int, slug: str):
        response = error.response
        assert response.status_code == status, response.text
        assert response.headers["content-type"] == "application/problem+json"
        problem = response.json()
        assert problem["type"].endswith(f":{slug}")
        assert problem["error"]["message"]
        assert problem["error"]["message"] in str(error)
        assert error.request_id == response.headers["x-request-id"] == problem["instance"]
        assert gateway.token not in str(error) + response.text
        record = gateway.record(error.request_id)
        assert (record["status"], record["refusal"]) == (status, slug)

    return check


def pytest_unconfigure(config):
    """The closing line, as any language's runner has it."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    passed, failed, broken = (
        len(reporter.stats.get(it, [])) for it in ("passed", "failed", "error")
    )
    # What ends before a test has run has not gone well either.
    failed = (failed + broken) or int(not passed)
    reporter.write_line(f"{passed} passed, {failed} failed")
