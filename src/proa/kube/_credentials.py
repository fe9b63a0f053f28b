"""What each request is authenticated with, renewed before it expires."""

from __future__ import annotations

import asyncio
import base64
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from proa.kube.config import Config
from proa.kube.identity import ExecPlugin, Oidc

TOKEN_FILE_LIFETIME = 60.0
MARGIN = 60.0
_PEM_BLOCK = re.compile(r"-----BEGIN ([A-Z ]+)-----.*?-----END \1-----", re.DOTALL)


@dataclass(frozen=True)
class Credential:
    """What a request carries, and the connection it goes over."""

    authorization: str | None = None
    certificate: tuple[bytes, bytes] | None = None
    expires: float | None = None
    """When it must be renewed, in seconds since 1970; None is never."""


class Credentials:
    """A credential that is renewed when it expires and when the server has refused it; one task at a time."""

    def __init__(
        self, renew: Callable[[Credential | None], Awaitable[Credential]], *, may_change: bool
    ) -> None:
        self._renew = renew
        self._may_change = may_change
        self._current: Credential | None = None
        self._lock = asyncio.Lock()

    async def get(self) -> Credential:
        """Return a valid credential; raises ConfigError if none can be had."""
        if (current := self._current) is not None and _fresh(current):
            return current
        async with self._lock:
            if self._current is None or not _fresh(self._current):
                self._current = await self._renew(self._current)
            return self._current

    def reject(self, refused: Credential) -> bool:
        """Note that the server has refused a credential; tell whether another may be had."""
        if self._current is refused and self._may_change:
            self._current = None
        return self._may_change


def credentials_of(config: Config) -> Credentials:
    """Return the credentials of a configuration: of several, the first that kubectl would take."""
    if config.token_file is not None:
        return Credentials(_from_file(config.token_file, config.token), may_change=False)
    if config.token is not None:
        return _fixed(f"Bearer {config.token}")
    if config.client_certificate_file is not None:
        return Credentials(_certificate_from_file(config.client_certificate_file), may_change=True)
    if config.username is not None:
        pair = f"{config.username}:{config.password or ''}".encode()
        return _fixed(f"Basic {base64.b64encode(pair).decode()}")
    if config.exec is not None:
        return Credentials(_from_program(config.exec), may_change=True)
    if config.oidc is not None:
        return Credentials(_from_provider(config.oidc), may_change=True)
    return _fixed(None)


def _fresh(credential: Credential) -> bool:
    return credential.expires is None or time.time() < credential.expires


def _fixed(authorization: str | None) -> Credentials:
    async def renew(_: Credential | None) -> Credential:
        return Credential(authorization)

    return Credentials(renew, may_change=False)


def _from_file(path: Path, otherwise: str | None) -> Callable[[Credential | None], Awaitable[Credential]]:
    """Read the file each minute; while it cannot be read, what it held before is kept."""

    async def renew(before: Credential | None) -> Credential:
        token = await asyncio.to_thread(_read, path)
        kept = before.authorization if before else (f"Bearer {otherwise}" if otherwise else None)
        return Credential(f"Bearer {token}" if token else kept, expires=time.time() + TOKEN_FILE_LIFETIME)

    return renew


def _certificate_from_file(path: Path) -> Callable[[Credential | None], Awaitable[Credential]]:
    async def renew(before: Credential | None) -> Credential:
        pem = await asyncio.to_thread(_read, path)
        kept = before.certificate if before else None
        certificate = _taken_apart(pem) if pem else kept
        return Credential(certificate=certificate, expires=time.time() + TOKEN_FILE_LIFETIME)

    return renew


def _taken_apart(pem: str) -> tuple[bytes, bytes]:
    blocks = [(match[1], match[0]) for match in _PEM_BLOCK.finditer(pem)]
    certificates = [block for kind, block in blocks if kind == "CERTIFICATE"]
    keys = [block for kind, block in blocks if kind.endswith("PRIVATE KEY")]
    return "\n".join(certificates).encode(), "\n".join(keys).encode()


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None


def _from_program(plugin: ExecPlugin) -> Callable[[Credential | None], Awaitable[Credential]]:
    async def renew(_: Credential | None) -> Credential:
        from proa.kube import _exec_plugin

        issued = await _exec_plugin.run(plugin)
        authorization = f"Bearer {issued.token}" if issued.token else None
        expires = _early(issued.expires.timestamp()) if issued.expires else None
        return Credential(authorization, issued.certificate, expires)

    return renew


def _from_provider(oidc: Oidc) -> Callable[[Credential | None], Awaitable[Credential]]:
    refresh_token = oidc.refresh_token
    initial = oidc.id_token

    async def renew(_: Credential | None) -> Credential:
        from proa.kube import _oidc

        nonlocal refresh_token, initial
        given, initial = initial, None
        found = _signed_in(given, _oidc.expiry(given)) if given else None
        if found is not None and _fresh(found):
            return found
        tokens = await _oidc.renew(oidc, refresh_token)
        refresh_token = tokens.refresh_token or refresh_token
        token = tokens.id_token or ""
        return _signed_in(token, _oidc.expiry(token))

    return renew


def _signed_in(token: str, expires: float | None) -> Credential:
    return Credential(f"Bearer {token}", expires=_early(expires) if expires else None)


def _early(expires: float) -> float:
    """Return when to renew: a minute before it expires, or half-way there for what lives shorter."""
    left = expires - time.time()
    return expires - min(MARGIN, max(left, 0) / 2)
