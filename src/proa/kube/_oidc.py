"""OpenID Connect: id tokens, renewed with a refresh token (OpenID Connect Core, section 12)."""

from __future__ import annotations

import asyncio
import base64
import binascii
import ssl
from typing import Any

import aiohttp
import msgspec

from proa.kube.errors import ConfigError
from proa.kube.identity import Oidc

TIMEOUT = aiohttp.ClientTimeout(total=30)


class Tokens(msgspec.Struct):
    """What the provider answers."""

    id_token: str | None = None
    refresh_token: str | None = None


class _Endpoints(msgspec.Struct):
    token_endpoint: str


class _Claims(msgspec.Struct):
    exp: float | None = None


def expiry(token: str) -> float | None:
    """Return when a JSON web token expires, in seconds since 1970; None for what is no such token."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        payload = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
        return msgspec.json.decode(payload, type=_Claims).exp
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        return None


async def renew(oidc: Oidc, refresh_token: str | None) -> Tokens:
    """Ask the provider for a new id token.

    Raises:
        ConfigError: there is no refresh token, or the provider gives none for it.
    """
    if not refresh_token:
        raise _fail(oidc, "id-token has expired and there is no refresh-token: log in again")
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token, "client_id": oidc.client_id}
    if oidc.client_secret:
        form["client_secret"] = oidc.client_secret
    trust = await asyncio.to_thread(_trust, oidc)
    try:
        async with aiohttp.ClientSession(
            timeout=TIMEOUT, connector=aiohttp.TCPConnector(ssl=trust)
        ) as session:
            found = await _json(
                session.get(f"{oidc.issuer_url.rstrip('/')}/.well-known/openid-configuration")
            )
            endpoint = msgspec.json.decode(found, type=_Endpoints).token_endpoint
            tokens = msgspec.json.decode(await _json(session.post(endpoint, data=form)), type=Tokens)
    except TimeoutError as error:
        raise _fail(oidc, f"{oidc.issuer_url} gave no answer within {TIMEOUT.total:g} s") from error
    except (aiohttp.ClientError, msgspec.MsgspecError) as error:
        raise _fail(oidc, f"{oidc.issuer_url} gave no token: {' '.join(str(error).split())}") from error
    if not tokens.id_token:
        raise _fail(oidc, f"{oidc.issuer_url} answered without an id_token")
    return tokens


async def _json(request: Any) -> bytes:
    async with request as answer:
        body: bytes = await answer.read()
        if answer.status >= 400:
            text = " ".join(body[:300].decode(errors="replace").split())
            raise aiohttp.ClientPayloadError(f"{answer.status} {text}")
        return body


def _trust(oidc: Oidc) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(
            cadata=oidc.ca_data.decode("ascii", "replace") if oidc.ca_data else None
        )
    except (ssl.SSLError, ValueError) as error:
        raise _fail(oidc, "idp-certificate-authority is no PEM certificate") from error


def _fail(oidc: Oidc, problem: str) -> ConfigError:
    return ConfigError(f"{oidc.where}: {problem}")
