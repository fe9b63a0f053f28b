"""Answering a registry's challenges: Basic, and Bearer tokens as Docker's token specification describes
them.
"""

import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import aiohttp
import msgspec
from yarl import URL

from proa.app.threads import SharedWork
from proa.oci import credentials as _credentials
from proa.oci.credentials import Credentials
from proa.oci.errors import RegistryError, RegistryUnavailableError, UnauthorizedError

__all__ = ("Authenticator", "Challenge", "Scope", "parse_challenges")

_TOKEN_LIMIT: Final = 256 * 1024
_TOKEN_TIMEOUT: Final = 30.0
_LEAST_LIFE: Final = 60.0  # what the token specification promises where a server says nothing
_LEEWAY: Final = 10.0
_PART = re.compile(
    r"""[\s,]*(?:
        (?P<key>[\w-]+)\s*=\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>[^\s,]+))
        |(?P<scheme>[\w-]+)(?=[\s,]|$)
    )""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Scope:
    """What a request wants to do where: pull from or push to a repository, or just speak to the registry."""

    registry: str
    repository: str = ""
    push: bool = False

    def __str__(self) -> str:
        return (
            f"repository:{self.repository}:{'pull,push' if self.push else 'pull'}" if self.repository else ""
        )


@dataclass(frozen=True, slots=True)
class Challenge:
    """One challenge of a `WWW-Authenticate` header; scheme and parameter names are lower case."""

    scheme: str
    parameters: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Grant:
    header: str
    expires: float


class _Token(msgspec.Struct):
    token: str | None = None
    access_token: str | None = None
    expires_in: float | None = None


class Authenticator:
    """Keeps what registries granted, for each scope until it expires.

    Args:
        session: the session that fetches tokens.
        credentials: by registry, or by registry and a prefix of the repository.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        credentials: Mapping[str, Credentials],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session = session
        self._credentials = credentials
        self._clock = clock
        self._grants: dict[Scope, _Grant] = {}
        self._fetching: SharedWork[_Grant] = SharedWork()

    def header(self, scope: Scope) -> str | None:
        """Return the `Authorization` header that was granted for `scope` and still holds."""
        grant = self._grants.get(scope)
        return grant.header if grant is not None and grant.expires > self._clock() else None

    async def answer(self, scope: Scope, base: URL, challenges: Iterable[str]) -> str | None:
        """Answer a registry's `WWW-Authenticate` headers and return the `Authorization` to try again with.

        None means that there is nothing to try: no credentials, or a scheme that is not known here.

        Raises:
            UnauthorizedError: the token server refused.
            RegistryError: its answer makes no sense, or it would have us send a password in the clear.
        """
        by_scheme = {challenge.scheme: challenge for challenge in parse_challenges(challenges)}
        if (bearer := by_scheme.get("bearer")) is not None:
            grant = await self._fetching.run(scope, lambda: self._fetch_token(scope, base, bearer))
        elif "basic" in by_scheme and (known := self._find(scope)) is not None:
            grant = _Grant(known.basic, float("inf"))
        else:
            return None
        self._grants[scope] = grant
        return grant.header

    def _find(self, scope: Scope) -> Credentials | None:
        return _credentials.find(self._credentials, scope.registry, scope.repository)

    async def _fetch_token(self, scope: Scope, base: URL, challenge: Challenge) -> _Grant:
        realm = _realm(scope, base, challenge)
        query = {"service": challenge.parameters.get("service", ""), "scope": str(scope)}
        known = self._find(scope)
        async with self._session.get(
            realm.update_query({key: value for key, value in query.items() if value}),
            headers={"Authorization": known.basic} if known else {},
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=_TOKEN_TIMEOUT),
        ) as response:
            _check_token_status(scope, realm, response.status, anonymous=known is None)
            content = await response.content.read(_TOKEN_LIMIT)
        try:
            token = msgspec.json.decode(content, type=_Token)
        except msgspec.DecodeError:
            raise RegistryError(f"{realm.host} gave no usable token for {scope.registry}") from None
        return _Grant(
            f"Bearer {_usable(token, realm)}",
            self._clock() + max(token.expires_in or 0.0, _LEAST_LIFE) - _LEEWAY,
        )


def parse_challenges(headers: Iterable[str]) -> list[Challenge]:
    """Read `WWW-Authenticate` headers, each of which may hold several challenges. What is malformed is left
    out.
    """
    challenges: list[tuple[str, dict[str, str]]] = []
    for header in headers:
        for part in _PART.finditer(header):
            if part["scheme"] is not None:
                challenges.append((part["scheme"].lower(), {}))
            elif challenges:
                value = part["plain"] if part["quoted"] is None else re.sub(r"\\(.)", r"\1", part["quoted"])
                challenges[-1][1][part["key"].lower()] = value
    return [Challenge(scheme, parameters) for scheme, parameters in challenges]


def _realm(scope: Scope, base: URL, challenge: Challenge) -> URL:
    try:
        realm = URL(challenge.parameters.get("realm", ""))
    except ValueError:
        realm = URL()
    if realm.scheme not in {"http", "https"} or not realm.host:
        raise RegistryError(f"{scope.registry} asks for a token but names no usable place to get one")
    if realm.scheme == "http" and base.scheme == "https":
        raise RegistryError(f"{scope.registry} would have credentials sent over plain HTTP to {realm.host}")
    return realm.with_user(None)


def _check_token_status(scope: Scope, realm: URL, status: int, *, anonymous: bool) -> None:
    if status == 200:
        return
    if status in {400, 401, 403, 404}:
        hint = (
            "no credentials are known for it" if anonymous else "the credentials are wrong or lack the right"
        )
        raise UnauthorizedError(
            f"{realm.host} refused a token for {scope.registry}/{scope.repository}: {hint}"
        )
    if status == 429 or status >= 500:
        raise RegistryUnavailableError(
            f"{realm.host}, which grants tokens for {scope.registry}, answered {status}"
        )
    raise RegistryError(f"{realm.host}, which grants tokens for {scope.registry}, answered {status}")


def _usable(token: _Token, realm: URL) -> str:
    value = token.token or token.access_token or ""
    if not re.fullmatch(r"[\x21-\x7e]+", value):
        raise RegistryError(f"{realm.host} gave no usable token")
    return value
