"""Tokens that are changed after they were signed."""

import base64
import json


def part(token: str, index: int) -> dict:
    """The header (0) or the claims (1) of a token."""
    return json.loads(_decode(token.split(".")[index]))


def with_claims(token: str, **claims) -> str:
    """The token with other claims and its old signature."""
    header, _, signature = token.split(".")
    return ".".join([header, _encode_json(part(token, 1) | claims), signature])


def with_header(token: str, **fields) -> str:
    """The token with another header and its old signature."""
    _, claims, signature = token.split(".")
    return ".".join([_encode_json(part(token, 0) | fields), claims, signature])


def with_bent_signature(token: str) -> str:
    """The token with one bit of its signature inverted."""
    *signed, signature = token.split(".")
    bent = bytearray(_decode(signature))
    bent[len(bent) // 2] ^= 1
    return ".".join([*signed, _encode(bytes(bent))])


def _encode_json(value: dict) -> str:
    return _encode(json.dumps(value, separators=(",", ":")).encode())


def _encode(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
