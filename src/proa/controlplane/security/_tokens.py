"""Tokens of service accounts: JSON web tokens signed with the server's own key (ES256)."""

from __future__ import annotations

import base64
import binascii
import time
import uuid
from collections.abc import Mapping
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from proa.controlplane._json import Document, UnreadableError, decode, encode

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

ISSUER = "https://kubernetes.default.svc.cluster.local"


MAX_REMEMBERED = 4096
"""Of how many tokens it is remembered that their signature is right: checking one takes some 100 µs."""


class InvalidTokenError(ValueError):
    """The token is not one of ours, or not valid any more."""


class TokenIssuer:
    """Signs and verifies service-account tokens with a private key (PEM)."""

    def __init__(self, key: bytes) -> None:
        self._pem = key
        self._verified: dict[str, Document] = {}

    @cached_property
    def _key(self) -> EllipticCurvePrivateKey:
        from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        key = load_pem_private_key(self._pem, None)
        assert isinstance(key, EllipticCurvePrivateKey)
        return key

    @cached_property
    def key_set(self) -> Document:
        """The public key, as a set of JSON web keys (RFC 7517)."""
        numbers = self._key.public_key().public_numbers()
        x, y = (_base64(number.to_bytes(32, "big")) for number in (numbers.x, numbers.y))
        # The thumbprint of RFC 7638: members in this order, without spaces.
        thumbprint = sha256(encode({"crv": "P-256", "kty": "EC", "x": x, "y": y})).digest()
        key = {"use": "sig", "kty": "EC", "kid": _base64(thumbprint), "crv": "P-256", "alg": "ES256"}
        return {"keys": [{**key, "x": x, "y": y}]}

    def issue(self, claims: Mapping[str, Any], lifetime: int, audiences: list[str]) -> tuple[str, float]:
        """A signed token with these claims, and when it expires (seconds since the epoch)."""
        from cryptography.hazmat.primitives.asymmetric import ec, utils
        from cryptography.hazmat.primitives.hashes import SHA256

        now = int(time.time())
        payload = {
            "aud": audiences or [ISSUER],
            "exp": now + lifetime,
            "iat": now,
            "nbf": now,
            "iss": ISSUER,
            "jti": str(uuid.uuid4()),
            **claims,
        }
        signed = (
            f"{_text({'alg': 'ES256', 'kid': self.key_set['keys'][0]['kid'], 'typ': 'JWT'})}.{_text(payload)}"
        )
        first, second = utils.decode_dss_signature(self._key.sign(signed.encode(), ec.ECDSA(SHA256())))
        signature = first.to_bytes(32, "big") + second.to_bytes(32, "big")
        return f"{signed}.{_base64(signature)}", now + lifetime

    def verify(self, token: str, audiences: list[str] | None = None) -> Document:
        """The claims of a token for one of these audiences (by default, this API).

        Raises:
            InvalidTokenError: It is malformed, not signed by this server, for another audience, or not
                valid now.
        """
        claims = self._verified.get(token)
        if claims is None:
            claims = self._verify_signature(token)
            if len(self._verified) >= MAX_REMEMBERED:
                self._verified.clear()
            self._verified[token] = claims
        if not claims["nbf"] <= time.time() < claims["exp"]:
            raise InvalidTokenError("the token is not valid at this time")
        if not set(audiences or [ISSUER]) & set(claims["aud"]):
            raise InvalidTokenError("the token is for another audience")
        return claims

    def _verify_signature(self, token: str) -> Document:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric import ec, utils
        from cryptography.hazmat.primitives.hashes import SHA256

        try:
            head, body, signature = token.split(".")
            raw = _unbase64(signature)
            encoded = utils.encode_dss_signature(
                int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
            )
            self._key.public_key().verify(encoded, f"{head}.{body}".encode(), ec.ECDSA(SHA256()))
            claims: Document = decode(_unbase64(body))
        except (ValueError, InvalidSignature, UnreadableError) as error:
            raise InvalidTokenError("not a token of this server") from error
        return claims


def _text(value: Any) -> str:
    return _base64(encode(value))


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _unbase64(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError) as error:
        raise InvalidTokenError("not base64") from error
