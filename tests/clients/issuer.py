"""An issuer without a server: a key, its JWKS in a file, and tokens."""

import json
import pathlib
import time

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm


class Issuer:
    URL = "https://issuer.example"
    AUDIENCE = "clients"
    SCOPE = "infer"

    def __init__(self, jwks: pathlib.Path):
        self.jwks = jwks
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        public = RSAAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        public |= {"kid": "clients", "use": "sig", "alg": "RS256"}
        jwks.write_text(json.dumps({"keys": [public]}))

    def token(self, **claims) -> str:
        """A token that is taken, unless `claims` say otherwise. None takes a claim away."""
        now = int(time.time())
        whole = {
            "iss": self.URL,
            "aud": self.AUDIENCE,
            "sub": "caller",
            "scope": self.SCOPE,
            "tenant": "tenant-1",
            "iat": now,
            "exp": now + 3600,
        } | claims
        whole = {name: value for name, value in whole.items() if value is not None}
        headers = {"kid": "clients", "typ": "at+jwt"}
        return jwt.encode(whole, self._key, algorithm="RS256", headers=headers)

    def forged(self) -> str:
        """One that says the same, and that another key has signed."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        claims = jwt.decode(self.token(), options={"verify_signature": False})
        headers = {"kid": "clients", "typ": "at+jwt"}
        return jwt.encode(claims, key, algorithm="RS256", headers=headers)
